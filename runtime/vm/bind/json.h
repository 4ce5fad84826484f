/* json: JSON in steps, so that the task gives way between two values, however long it takes. Both
 * are lua_CFunctions that call no Lua; raise for memory. */
#pragma once

#include <lua.h>

enum { JSON_DEPTH_MAX = 100 };

/* Tells JSON's arrays that have no element from its objects: the metatable of this name. */
#define JSON_ARRAY "json array"

/* (value): the text; or nil, message, code. */
int json_encode(lua_State *L);
/* (text): the value; or nil, message, code. */
int json_decode(lua_State *L);
/* For what does not fit: nil, message, code. */
int json_push_too_much(lua_State *L, size_t length);
