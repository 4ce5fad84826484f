/* exchange: what bind_http.c and script_http.c share. Control thread only. */
#pragma once

#include <lua.h>
#include <stdbool.h>

#include "io/fetch.h"
#include "vm/isolate/task.h"

struct http_options;

/* exchange: one request and its response. It belongs to the task that waits for its response, or to
 * Lua as a handle: `open`'s from the start, a stream's from its response on. */
struct exchange {
  struct handle handle;
  bool held; /* by Lua */
  struct fetch *fetch;
  struct task_wait *asker, *reader, *writer;
  bool any_status, stream, outside;
  enum { EXCHANGE_ASKED, EXCHANGE_ANSWERED, EXCHANGE_TOLD } state;
  int error;
  const struct fetch_response *response;
  char method[16];
};
void exchange_free(struct exchange *x);

struct telling {
  struct exchange *exchange;
  bool kept; /* Lua has it: it may be gone when task_wake returns */
};
/* Pushes what a call returns for it, from `struct telling`. */
int exchange_push_outcome(lua_State *L, void *telling);

/* Of a scripted vm: asks the script's `verb` with the request as a table, and waits. */
int script_http(lua_State *L, const char *verb, const struct http_options *options);
