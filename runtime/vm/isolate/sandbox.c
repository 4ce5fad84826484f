/* sandbox: the globals that a plugin sees: Lua 5.1's safe parts. What is not listed here is not
 * there: no io, os, debug, package, ffi, jit, no loading of files or bytecode, no newproxy (its
 * __gc could not be stopped), no environments of other functions, no time or chance but the host's.
 */
#include "base/clock.h"
#include "base/log.h"
#include "vm/isolate/inside.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

enum { LOAD_MAX = 128 << 10 }; /* bytes of source: some ms of parsing, which no hook interrupts */

static const char *const base_kept[] = {
    "assert",    "error",    "getmetatable", "ipairs", "next",   "pairs",
    "pcall",     "rawequal", "rawget",       "rawset", "select", "setmetatable",
    "tonumber",  "tostring", "type",         "unpack", "xpcall", "_VERSION",
    "coroutine", "table",    "string",       "math",   NULL};
static const char *const string_dropped[] = {"dump", NULL};
static const char *const math_dropped[] = {"randomseed", NULL};

/* load(text[, name[, mode[, environment]]]): text only, whatever `mode` says. */
static int load_call(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  const char *name = luaL_optstring(L, 2, "=(load)");
  if (length > LOAD_MAX)
    return push_error(L, -E2BIG, "load: %d bytes of source, at most %d", (int)length, LOAD_MAX);
  int environment = !lua_isnone(L, 4);
  if (chunk_load(L, text, length, name) != 0) {
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
  }
  if (environment) {
    luaL_checktype(L, 4, LUA_TTABLE);
    lua_pushvalue(L, 4);
    lua_setfenv(L, -2);
  }
  return 1;
}

/* math.random with Lua's arguments and the host's chance. */
static int random_call(lua_State *L) {
  double low = 1, high, unit = clock_random_unit();
  switch (lua_gettop(L)) {
  case 0:
    lua_pushnumber(L, unit);
    return 1;
  case 1:
    high = luaL_checknumber(L, 1);
    break;
  default:
    low = luaL_checknumber(L, 1);
    high = luaL_checknumber(L, 2);
  }
  luaL_argcheck(L, low <= high && high - low < 9e15, lua_gettop(L), "interval is empty");
  double chosen = low + (double)(int64_t)(unit * (high - low + 1));
  lua_pushnumber(L, chosen > high ? high : chosen);
  return 1;
}

static void open_one(lua_State *L, lua_CFunction open, const char *name) {
  lua_pushcfunction(L, open);
  lua_pushstring(L, name);
  lua_call(L, 1, 0);
}

static void drop(lua_State *L, const char *table, const char *const *names) {
  lua_getglobal(L, table);
  for (; *names; names++) {
    lua_pushnil(L);
    lua_setfield(L, -2, *names);
  }
  lua_pop(L, 1);
}

void sandbox_open(lua_State *L) {
  if (isolate_of(L)->limits.compiled)
    open_one(L, luaopen_jit, LUA_JITLIBNAME); /* which turns it on */
  open_one(L, luaopen_base, "");
  open_one(L, luaopen_table, LUA_TABLIBNAME);
  open_one(L, luaopen_string, LUA_STRLIBNAME);
  open_one(L, luaopen_math, LUA_MATHLIBNAME);

  lua_newtable(L);
  for (const char *const *name = base_kept; *name; name++) {
    lua_getglobal(L, *name);
    lua_setfield(L, -2, *name);
  }
  /* The globals table itself is emptied, not replaced: functions made so far have it as theirs. */
  lua_pushnil(L);
  while (lua_next(L, LUA_GLOBALSINDEX)) {
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_pushnil(L);
    lua_rawset(L, LUA_GLOBALSINDEX);
  }
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, LUA_GLOBALSINDEX);
  }
  lua_pop(L, 1);
  lua_pushvalue(L, LUA_GLOBALSINDEX);
  lua_setglobal(L, "_G");
  drop(L, LUA_STRLIBNAME, string_dropped);
  drop(L, LUA_MATHLIBNAME, math_dropped);

  string_bound(L);
  lua_register(L, "load", load_call);
  lua_register(L, "loadstring", load_call);
  lua_getglobal(L, LUA_MATHLIBNAME);
  lua_pushcfunction(L, random_call);
  lua_setfield(L, -2, "random");
  lua_pop(L, 1);
}
