/* library: puts `perigee` together: the namespaces in C, then the Lua that rounds them off. */
#include "vm/bindings.h"
#include "vm/grant.h"
#include "vm/inside.h"
#include "vm/script.h"

#include "base/clock.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

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

static const char *const waiting_chunks[] = {"task", "instance",  "registry",
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

static void push_chunk(lua_State *L, const char *name, bool as_plugins) {
  const struct library_chunk *chunk = isolate_vm(isolate_of(L))->library;
  while (strcmp(chunk->name, name) != 0)
    chunk++;
  const char *as = lua_pushfstring(L, "=perigee/%s.lua", chunk->name);
  int status = as_plugins ? chunk_load(L, chunk->source, chunk->length, as)
                          : luaL_loadbufferx(L, chunk->source, chunk->length, as, "t");
  if (status != 0)
    lua_error(L);
  lua_remove(L, -2);
}

static void run_chunk(lua_State *L, const char *name, int perigee, int host) {
  push_chunk(L, name, false);
  lua_pushvalue(L, perigee);
  lua_pushvalue(L, host);
  lua_call(L, 2, 0);
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
  run_chunk(L, "test", perigee, host);
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
    run_chunk(L, *name, perigee, host);
  lua_getfield(L, host, "instance");
  lua_setfield(L, LUA_REGISTRYINDEX, "instance");
  if (scripted(L))
    open_scripted(L, perigee, host);
}

/* Opened once a state: opening it again would make all its types anew. */
void library_push_ffi(lua_State *L) {
  static const char KEPT[] = "ffi";
  lua_getfield(L, LUA_REGISTRYINDEX, KEPT);
  if (!lua_isnil(L, -1))
    return;
  lua_pop(L, 1);
  lua_pushcfunction(L, luaopen_ffi);
  lua_call(L, 0, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, KEPT);
}

void library_run(lua_State *L, const char *name) {
  lua_pushnil(L);
  run_chunk(L, name, lua_gettop(L), lua_gettop(L) - 1);
  lua_pop(L, 1);
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
  run_chunk(L, "fuel", perigee, host);
  lua_getfield(L, host, "counter");
  iso->ref_fuel = luaL_ref(L, LUA_REGISTRYINDEX);
  iso->fuel.left = iso->limits.steps; /* for what is loaded with checks before the first turn */
}

void library_open(lua_State *L) {
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
  run_chunk(L, "depth", perigee, host);
  run_chunk(L, "coroutine", perigee, host);
  run_chunk(L, "collect", perigee, host);
  lua_getfield(L, host, "collector");
  isolate_of(L)->ref_collector = luaL_ref(L, LUA_REGISTRYINDEX);
  if (isolate_of(L)->limits.compiled)
    open_compiled(L, perigee, host);
  else
    open_waiting(L, perigee, host);
  push_chunk(L, "sort", true); /* as long as there is to sort, it counts as the plugin's own */
  lua_call(L, 0, 0);
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
