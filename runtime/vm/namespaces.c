/* namespaces: puts `perigee` together: the namespaces in C, then the Lua that rounds them off. */
#include "vm/bind/bindings.h"
#include "vm/isolate/grant.h"
#include "vm/isolate/inside.h"
#include "vm/isolate/script.h"
#include "vm/pick/bind_pick.h"
#include "vm/plan/bind_endpoints.h"
#include "vm/spec/spec_bench.h"

#include "base/clock.h"

#include <lauxlib.h>
#include <lualib.h>

/* What never waits, which all isolates have. */
static const struct luaL_Reg namespaces[] = {
    {"json", open_json}, {"base64", open_base64}, {"url", open_url},       {"hash", open_hash},
    {"log", open_log},   {"time", open_time},     {"random", open_random}, {NULL, NULL},
};
static const struct luaL_Reg waiting_namespaces[] = {
    {"sleep", open_sleep},
    {"http", open_http},
    {"tcp", open_tcp},
    {"unix", open_unix},
    {"dns", open_dns},
    {"process", open_process},
    {"fs", open_fs},
    {"pick", open_pick},
    {"endpoints", open_listing},
    {"services", open_names},
    {"env", open_env},
    {"watch", open_watch},
    {NULL, NULL},
};

/* As long as there is to sort, say, that counts as the plugin's own. */
static const char *const own_chunks[] = {"sort", "text", NULL};
static const char *const waiting_chunks[] = {"task", "instance",  "registry", "factory",
                                             "call", "endpoints", NULL};

static int outermost_call(lua_State *L) {
  lua_pushboolean(L, task_outermost(L));
  return 1;
}

static int gave_way_call(lua_State *L) {
  lua_pushboolean(L, task_gave_way(L));
  return 1;
}

static int enclose_call(lua_State *L) {
  task_enclose(L, (int)lua_tointeger(L, 1));
  return 0;
}

static int deep_call(lua_State *L) {
  lua_pushboolean(L, turn_is_deep());
  return 1;
}

/* Pushes the table that the library's chunks get beside `perigee`: what plugins must not have. */
static void push_host(lua_State *L) {
  open_task(L);
  lua_pushlightuserdata(L, (void *)&task_host_yield);
  lua_setfield(L, -2, "HOST");
  lua_pushcfunction(L, outermost_call);
  lua_setfield(L, -2, "outermost");
  lua_pushcfunction(L, gave_way_call);
  lua_setfield(L, -2, "gave_way");
  lua_pushcfunction(L, enclose_call);
  lua_setfield(L, -2, "enclose");
  lua_pushcfunction(L, memory_step);
  lua_setfield(L, -2, "collect");
  lua_pushcfunction(L, deep_call);
  lua_setfield(L, -2, "deep");
}

static void open_namespaces(lua_State *L, const struct luaL_Reg *n, int perigee) {
  for (; n->name; n++) {
    lua_pushcfunction(L, n->func);
    lua_call(L, 0, 1);
    lua_setfield(L, perigee, n->name);
  }
}

static void open_scripted(lua_State *L, int perigee, int host) {
  open_spec(L, host);
  library_call(L, "test", perigee, host);
  lua_getfield(L, host, "script");
  lua_setfield(L, LUA_REGISTRYINDEX, "script");
  lua_getfield(L, host, "spec");
  lua_setfield(L, LUA_REGISTRYINDEX, "spec");
}

static void open_waiting(lua_State *L, int perigee, int host) {
  open_namespaces(L, waiting_namespaces, perigee);
  open_set(L);
  open_endpoints(L);
  lua_setfield(L, host, "endpoints");
  open_require(L);
  open_registry(L);
  lua_setfield(L, host, "registry");
  open_tries(L);
  lua_setfield(L, host, "tries");
  for (const char *const *name = waiting_chunks; *name; name++)
    library_call(L, *name, perigee, host);
  lua_getfield(L, host, "instance");
  lua_setfield(L, LUA_REGISTRYINDEX, "instance");
  if (scripted(L))
    open_scripted(L, perigee, host);
}

/* The counter is in the isolate, which is where it is for as long as its state. */
static void open_compiled(lua_State *L, int perigee, int host) {
  struct isolate *iso = isolate_of(L);
  library_push_ffi(L);
  lua_setfield(L, host, "ffi");
  lua_pushliteral(L, FUEL_CDEF);
  lua_setfield(L, host, "fuel_type");
  lua_pushlightuserdata(L, &iso->fuel);
  lua_setfield(L, host, "fuel");
  lua_pushlightuserdata(L, (void *)(uintptr_t)clock_random_unit);
  lua_setfield(L, host, "random");
  library_call(L, "fuel", perigee, host);
  lua_getfield(L, host, "counter");
  iso->ref_fuel = luaL_ref(L, LUA_REGISTRYINDEX);
  iso->fuel.left = iso->limits.steps; /* for what is loaded with checks before the first turn */
}

void namespaces_open(lua_State *L) {
  lua_newtable(L);
  int perigee = lua_gettop(L);
  open_namespaces(L, namespaces, perigee);
  open_pack(L);
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, perigee);
  }
  lua_pop(L, 1);
  lua_pushcfunction(L, luaopen_bit);
  lua_call(L, 0, 1);
  lua_setfield(L, perigee, "bit");
  lua_pushnil(L);
  lua_setglobal(L, "bit");
  push_host(L);
  int host = lua_gettop(L);
  library_call(L, "depth", perigee, host);
  library_call(L, "coroutine", perigee, host);
  library_call(L, "collect", perigee, host);
  lua_getfield(L, host, "collector");
  isolate_of(L)->ref_collector = luaL_ref(L, LUA_REGISTRYINDEX);
  if (isolate_of(L)->limits.compiled)
    open_compiled(L, perigee, host);
  else
    open_waiting(L, perigee, host);
  for (const char *const *name = own_chunks; *name; name++) {
    library_push(L, *name, true);
    lua_call(L, 0, 0);
  }
  if (granted_ffi(L)) {
    library_push_ffi(L);
    lua_setglobal(L, "ffi");
  }
  lua_pushnil(L);
  lua_setfield(L, LUA_REGISTRYINDEX, "_LOADED"); /* what luaopen_* left there */
  lua_pushvalue(L, perigee);
  lua_setglobal(L, "perigee");
  lua_settop(L, 0);
}
