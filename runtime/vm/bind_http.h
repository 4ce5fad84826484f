/* bind_http: what bind_set.c needs of a body that stays outside Lua. Control thread only. */
#pragma once

#include <lua.h>

#define BODY_TYPE "body"

/* The bytes of the body at `index`, until it is closed; FETCH_PADDING more can be read behind them.
 * Raises for what is no body, or a closed one. */
const char *http_body_check(lua_State *L, int index, size_t *length);
