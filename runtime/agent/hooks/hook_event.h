/* hook_event: an event as a hook's function gets it. */
#pragma once

#include "agent/hooks/hook.h"

#include <lua.h>

extern const char *const event_names[EVENT_KINDS];     /* "change", ... */
extern const char *const event_functions[EVENT_KINDS]; /* "on.change", ... */

/* Pushes one table. Raises for memory: under protection. `sets` outlives the plugin's isolate, or
 * at least its last turn. */
void push_event(lua_State *L, const struct event *e, struct sets *sets);
