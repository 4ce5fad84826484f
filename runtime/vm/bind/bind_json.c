/* perigee.json: decode (lua-cjson, one configuration an isolate, what is small), encode, null,
 * array. */
#include "vm/bind/bindings.h"
#include "vm/bind/json.h"
#include "vm/isolate/inside.h"

#include <errno.h>
#include <lauxlib.h>

enum {
  TEXT_SHARE = 4,    /* a text is at most this part of the isolate's memory */
  SMALL = 16 << 10,  /* bytes that lua-cjson decodes: some tenths of a millisecond */
  DECODE_GROWTH = 40 /* bytes of tables that a byte of JSON can become: "[[],[],..." */
};

int luaopen_cjson(lua_State *L);

int json_push_too_much(lua_State *L, size_t length) {
  return push_error(L, -ENOMEM, "%zu bytes of JSON need more memory than the plugin has", length);
}

/* decode(text): the value, or nil, message, code.
 * lua-cjson leaks its buffer when an allocation raises, so the limit is lifted while it works and
 * looked at afterwards. */
static int decode_call(lua_State *L) {
  struct isolate *iso = isolate_of(L);
  size_t length, hard = iso->limits.memory_hard, most = hard / TEXT_SHARE;
  if (lua_type(L, 1) != LUA_TSTRING)
    return push_error(L, -EINVAL, "not a text to decode but a %s", luaL_typename(L, 1));
  lua_tolstring(L, 1, &length);
  if (length > most)
    return push_error(L, -E2BIG, "%zu bytes of JSON, at most %zu", length, most);
  if (length > SMALL)
    return json_decode(L);
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  size_t lift = length * DECODE_GROWTH + (64 << 10);
  iso->lifted += lift;
  int status = lua_pcall(L, 1, 1, 0);
  iso->lifted -= lift;
  if (iso->memory > hard) {
    lua_settop(L, 0);
    lua_gc(L, LUA_GCCOLLECT, 0);
    return json_push_too_much(L, length);
  }
  if (status != 0)
    return push_error(L, -EINVAL, "not JSON: %s", lua_tostring(L, -1));
  return 1;
}

/* array([table]): marks a table so that it is written as [] when it is empty. */
static int array_call(lua_State *L) {
  if (lua_isnoneornil(L, 1))
    lua_settop(L, 0), lua_newtable(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_getmetatable(L, JSON_ARRAY);
  lua_setmetatable(L, 1);
  return 1;
}

int open_json(lua_State *L) {
  luaL_newmetatable(L, JSON_ARRAY);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);

  lua_newtable(L);
  lua_pushcfunction(L, luaopen_cjson);
  lua_call(L, 0, 1);
  lua_getfield(L, -1, "decode_max_depth");
  lua_pushinteger(L, JSON_DEPTH_MAX);
  lua_call(L, 1, 0);
  lua_getfield(L, -1, "decode_invalid_numbers");
  lua_pushboolean(L, 0);
  lua_call(L, 1, 0);
  lua_getfield(L, -1, "decode");
  lua_pushcclosure(L, decode_call, 1);
  lua_setfield(L, -3, "decode");
  lua_pop(L, 1);
  lua_pushcfunction(L, json_encode);
  lua_setfield(L, -2, "encode");
  lua_pushcfunction(L, array_call);
  lua_setfield(L, -2, "array");
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  return 1;
}
