/* roster: who was in a service at one moment, so that a hook can be told what has changed since.
 * One owner each. Control thread only. */
#pragma once

#include <lua.h>
#include <stddef.h>

struct roster;
struct sets;

/* Of the service as it is now; empty where there is none by that name. NULL: out of memory. */
struct roster *roster_new(struct sets *sets, const char *service);
void roster_free(struct roster *r);
const char *roster_service(const void *roster); /* a table's key */
size_t roster_count(const struct roster *r);

/* Sets the fields `added`, `removed` and `changed` of the table on top: lists of ids, by id, at
 * most ROSTER_TOLD_MAX each. `before` NULL: all are added. Raises for memory. */
enum { ROSTER_TOLD_MAX = 1000 };
void roster_push_changes(lua_State *L, const struct roster *before, const struct roster *now);
