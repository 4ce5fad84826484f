/* held: what we have in a registry, as its plugin is told. */
#pragma once

#include "registry/desired.h"

#include <lauxlib.h>

/* Adds { service, id, lease } to the list on top of L. Raises for memory. */
void push_held(lua_State *L, const struct desired_entry *e);
