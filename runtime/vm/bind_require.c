/* require("perigee.NAME"): lua/perigee/NAME.lua of the library, run once an isolate: what several
 * plugins share, and what ships to build one's own from. Nothing else can be required. */
#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#include "vm/bindings.h"
#include "vm/inside.h"

#define MODULES "required modules"

/* "perigee.etcd.watch" → "perigee/etcd/watch"; false: no module's name. It cannot lead out of the
 * library's directory. */
static bool path_of(const char *name, char *path, size_t size) {
  char before = '.';
  if (strncmp(name, "perigee.", 8) != 0 || strlen(name) >= size)
    return false;
  for (; *name; before = *name++) {
    bool dot = *name == '.';
    if (dot ? before == '.' || !name[1] : !isalnum((unsigned char)*name) && *name != '_')
      return false;
    *path++ = dot ? '/' : *name;
  }
  *path = '\0';
  return true;
}

/* The source is a file of a few pages on a local disk, read when the plugin is loaded. */
static int require_call(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  char path[100];
  lua_settop(L, 1);
  lua_getfield(L, LUA_REGISTRYINDEX, MODULES);
  lua_getfield(L, 2, name);
  if (!lua_isnil(L, 3))
    return 1;
  if (!path_of(name, path, sizeof path))
    return luaL_error(L,
                      "require: \"%s\": only the library's own can be required, as in "
                      "\"perigee.members\"",
                      name);
  lua_pushfstring(L, "%s/lua/%s.lua", isolate_vm(isolate_of(L))->directory, path);
  if (luaL_loadfilex(L, lua_tostring(L, 4), "t") != 0)
    return lua_error(L);
  lua_call(L, 0, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, 2, name);
  return 1;
}

void push_module(lua_State *L, const char *name) {
  lua_pushcfunction(L, require_call);
  lua_pushstring(L, name);
  lua_call(L, 1, 1);
}

int open_require(lua_State *L) {
  lua_newtable(L);
  lua_setfield(L, LUA_REGISTRYINDEX, MODULES);
  lua_pushcfunction(L, require_call);
  lua_setglobal(L, "require");
  return 0;
}
