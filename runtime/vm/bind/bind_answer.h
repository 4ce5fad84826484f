/* bind_answer: how a plugin answers in pieces: request:start(status, headers), then request:write
 * (text) as often as it likes, which waits until there is room for more. Control thread only. */
#pragma once

#include <lua.h>
#include <stddef.h>

struct answer_binding;
struct fault;
struct value;

/* What the owner does with it. Both return 0, or negative errno with `f`: the call returns nil, the
 * message and its code. */
struct answer_events {
  /* The answer's status and headers (a table of texts; NULL: none); once, before the first write.
   */
  int (*start)(void *arg, int status, const struct value *headers, struct fault *f);
  /* More of it; answer_binding_room is called when there is room for more. */
  int (*write)(void *arg, const char *text, size_t length, struct fault *f);
};

/* Adds both functions to the table on top of L. Raises for memory, and then there is none. The
 * owner revokes it. */
struct answer_binding *push_answering(lua_State *L, const struct answer_events *events, void *arg);
void answer_binding_room(struct answer_binding *b);
/* Later calls say that it is closed. A task that waits for room waits on: its owner ends it. */
void answer_binding_revoke(struct answer_binding *b);
