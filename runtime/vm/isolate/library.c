/* library: the Lua that rounds off what is written in C: lua/perigee/NAME.lua. */
#include "base/buf.h"
#include "vm/isolate/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct library_chunk {
  const char *name;
  char *source;
  size_t length;
};

static const char *const library_names[] = {"depth",     "coroutine", "collect",  "sort",    "text",
                                            "task",      "instance",  "registry", "factory", "call",
                                            "endpoints", "fuel",      "view",     "test",    NULL};

static int library_read(const char *directory, const char *name, struct library_chunk *chunk,
                        struct fault *f) {
  struct buf path = {0}, text = {0};
  buf_format(&path, "%s/lua/perigee/%s.lua", directory, name);
  if (path.failed)
    return fault_set(f, -ENOMEM, "out of memory");
  int fd = open(path.data, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : 0;
  while (fd >= 0 && buf_reserve(&text, 4096) == 0 &&
         (n = read(fd, text.data + text.length, 4096)) > 0)
    text.length += (size_t)n;
  int code = n < 0 ? fault_set(f, -errno, "%s: %s", path.data, strerror(errno)) : 0;
  if (fd >= 0)
    close(fd);
  buf_free(&path);
  *chunk = (struct library_chunk){name, text.data, text.length};
  return code;
}

void library_free(struct vm *vm) {
  for (size_t i = 0; vm->library && library_names[i]; i++)
    free(vm->library[i].source);
  free(vm->library);
}

int library_load(struct vm *vm, const char *directory, struct fault *f) {
  size_t count = sizeof library_names / sizeof *library_names;
  vm->library = calloc(count, sizeof *vm->library);
  if (!vm->library)
    return fault_set(f, -ENOMEM, "out of memory");
  for (size_t i = 0; library_names[i]; i++) {
    int code = library_read(directory, library_names[i], &vm->library[i], f);
    if (code != 0)
      return code;
  }
  return 0;
}

void library_push(lua_State *L, const char *name, bool as_plugins) {
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

void library_call(lua_State *L, const char *name, int perigee, int host) {
  library_push(L, name, false);
  lua_pushvalue(L, perigee);
  lua_pushvalue(L, host);
  lua_call(L, 2, 0);
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
  library_call(L, name, lua_gettop(L), lua_gettop(L) - 1);
  lua_pop(L, 1);
}
