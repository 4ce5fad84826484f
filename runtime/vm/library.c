/* library: puts `perigee` together: the namespaces in C, then the Lua that rounds them off. */
#include "vm/bindings.h"
#include "vm/grant.h"
#include "vm/inside.h"

#include <lauxlib.h>
#include <lualib.h>

static const struct luaL_Reg namespaces[] = {
    {"json", open_json},
    {"base64", open_base64},
    {"url", open_url},
    {"hash", open_hash},
    {"log", open_log},
    {"time", open_time},
    {"random", open_random},
    {"sleep", open_sleep},
    {"http", open_http},
    {"tcp", open_tcp},
    {"unix", open_unix},
    {"dns", open_dns},
    {"process", open_process},
    {"fs", open_fs},
    {"pick", open_pick},
    {"env", open_env},
    {NULL, NULL},
};

static int outermost_call(lua_State *L) {
  lua_pushboolean(L, task_outermost(L));
  return 1;
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
  lua_pushcfunction(L, deep_call);
  lua_setfield(L, -2, "deep");
  open_registry(L);
  lua_setfield(L, -2, "registry");
  open_tries(L);
  lua_setfield(L, -2, "tries");
}

static void run_chunk(lua_State *L, const struct library_chunk *chunk, int perigee, int host) {
  lua_pushfstring(L, "=perigee/%s.lua", chunk->name);
  if (luaL_loadbufferx(L, chunk->source, chunk->length, lua_tostring(L, -1), "t") != 0)
    lua_error(L);
  lua_pushvalue(L, perigee);
  lua_pushvalue(L, host);
  lua_call(L, 2, 0);
  lua_pop(L, 1);
}

void library_open(lua_State *L) {
  struct vm *vm = isolate_vm(isolate_of(L));
  lua_newtable(L);
  int perigee = lua_gettop(L);
  for (const struct luaL_Reg *n = namespaces; n->name; n++) {
    lua_pushcfunction(L, n->func);
    lua_call(L, 0, 1);
    lua_setfield(L, perigee, n->name);
  }
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
  if (granted_ffi(L)) {
    lua_pushcfunction(L, luaopen_ffi);
    lua_call(L, 0, 1);
    lua_setglobal(L, "ffi");
  }
  lua_pushnil(L);
  lua_setfield(L, LUA_REGISTRYINDEX, "_LOADED"); /* what luaopen_* left there */
  open_set(L);
  open_endpoints(L);
  open_require(L);
  push_host(L);
  int host = lua_gettop(L);
  if (vm->scripted)
    open_spec(L, host);
  for (size_t i = 0; i < vm->library_count; i++)
    run_chunk(L, &vm->library[i], perigee, host);
  lua_getfield(L, host, "instance");
  lua_setfield(L, LUA_REGISTRYINDEX, "instance");
  lua_getfield(L, host, "script");
  lua_setfield(L, LUA_REGISTRYINDEX, "script");
  lua_getfield(L, host, "spec");
  lua_setfield(L, LUA_REGISTRYINDEX, "spec");
  lua_pushvalue(L, perigee);
  lua_setglobal(L, "perigee");
  lua_settop(L, 0);
}
