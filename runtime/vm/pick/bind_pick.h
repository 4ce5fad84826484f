/* bind_pick: what the bindings that pick share. Control thread only; everything here may raise. */
#pragma once

#include "client/perigee.h"

#include <lua.h>

int open_pick(lua_State *L);    /* bind_pick.c: pushes perigee.pick */
int open_listing(lua_State *L); /* bind_catalog.c: perigee.endpoints */
int open_names(lua_State *L);   /* the same: perigee.services */
int open_tries(lua_State *L);   /* bind_call.c: what lua/perigee/call.lua rounds off */

/* 0 and the handle of a service, valid while what this pushes is kept: the last of it is the
 * userdata that begins with the handle. Else negative errno. */
int picked_service(lua_State *L, const char *name, struct perigee_service **out);
/* Pushes option `key`, which is kept as long as that; NULL: none. A number is a text, too. */
const char *push_key(lua_State *L, int index, size_t *length);
/* Pushes { id, address, port, status, weight, version }. */
int push_endpoint(lua_State *L, const struct perigee_endpoint *e, const char *id);
/* What a negative errno of a pick means, in words. */
const char *pick_reason(int error);
