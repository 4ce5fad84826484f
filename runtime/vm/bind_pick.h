/* bind_pick: what the bindings that pick share. Control thread only; everything here may raise. */
#pragma once

#include "client/perigee.h"

#include <lua.h>

/* 0 and the handle of a service, valid while what this pushes is kept: the last of it is the
 * userdata that begins with the handle. Else negative errno. */
int picked_service(lua_State *L, const char *name, struct perigee_service **out);
/* Pushes { id, address, port, status, weight, version }. */
int push_endpoint(lua_State *L, const struct perigee_endpoint *e, const char *id);
/* What a negative errno of a pick means, in words. */
const char *pick_reason(int error);
