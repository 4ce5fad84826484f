/* require("perigee.NAME"): lua/perigee/NAME.lua of the library: what several plugins share, and
 * what ships to build one's own from. require("NAME"): lua/NAME.lua beside the directory of plugins
 * that the plugin is in. Each is run once an isolate, with what the plugin itself may do. Nothing
 * else can be required. */
#include <ctype.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/value.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/inside.h"

#define MODULES "required modules"

/* "perigee.etcd.watch" → "perigee/etcd/watch"; false: no module's name. It cannot lead out of the
 * directory it is looked for in. */
static bool path_of(const char *name, char *path, size_t size) {
  char before = '.';
  if (!*name || strlen(name) >= size)
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

/* Remembers that the plugin is made of this file too. `own`: with its text. 0 or -ENOMEM. */
static int note_required(struct isolate *iso, const char *name, const char *path, bool own,
                         const struct buf *source) {
  size_t length = strlen(path) + 1;
  struct required *r = calloc(1, sizeof *r + length), **last = &iso->required;
  if (!r)
    return -ENOMEM;
  memcpy(r->path, path, length);
  source_hash(source->data, source->length, r->hash);
  r->name = strdup(name);
  r->text = own ? value_text(source->data, source->length) : NULL;
  while (*last)
    last = &(*last)->next;
  *last = r;
  return r->name && (r->text || !own) ? 0 : -ENOMEM;
}

/* Pushes the file's chunk. It is a few pages on a local disk, read when the plugin is loaded; or
 * what the version that is loaded was made of. */
static void push_chunk(lua_State *L, const char *name, const char *path, bool own) {
  struct buf *source = push_buf(L);
  const struct value *part = own ? value_get(isolate_of(L)->parts, name) : NULL;
  struct fault f;
  if (part)
    buf_add(source, value_as_text(part, ""), value_text_length(part));
  else if (source_read(path, source, &f) != 0)
    luaL_error(L, "require: %s", f.text);
  if (source->failed || buf_reserve(source, 1) != 0)
    luaL_error(L, "require: out of memory");
  if (source->length > 0 && source->data[0] == LUA_SIGNATURE[0])
    luaL_error(L, "require: %s: bytecode is refused", path);
  if (note_required(isolate_of(L), name, path, own, source) != 0)
    luaL_error(L, "require: out of memory");
  lua_pushfstring(L, "@%s", path);
  if (chunk_load(L, source->data, source->length, lua_tostring(L, -1)) != 0)
    lua_error(L);
}

static int require_call(lua_State *L) {
  const char *name = luaL_checkstring(L, 1), *own = isolate_of(L)->own_library;
  char path[100];
  bool ships = strncmp(name, "perigee.", strlen("perigee.")) == 0;
  lua_settop(L, 1);
  lua_getfield(L, LUA_REGISTRYINDEX, MODULES);
  lua_getfield(L, 2, name);
  if (lua_toboolean(L, 3))
    return 1;
  if (!lua_isnil(L, 3))
    return luaL_error(L, "require: \"%s\" requires itself, or has failed before", name);
  if (!path_of(name, path, sizeof path) || (!ships && !own))
    return luaL_error(L,
                      "require: \"%s\": \"perigee.NAME\" of the library can be required, and "
                      "\"NAME\", which is lua/NAME.lua beside plugins/",
                      name);
  lua_pushboolean(L, false);
  lua_setfield(L, 2, name);
  if (ships)
    lua_pushfstring(L, "%s/lua/%s.lua", isolate_vm(isolate_of(L))->directory, path);
  else
    lua_pushfstring(L, "%s/%s.lua", own, path);
  push_chunk(L, name, lua_tostring(L, 4), !ships);
  lua_call(L, 0, 1);
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    lua_pushboolean(L, true);
  }
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
