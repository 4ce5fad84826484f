/* chunk: the one way in which source becomes a function in an isolate. */
#include "base/buf.h"
#include "base/clock.h"
#include "vm/isolate/inside.h"

#include <inttypes.h>
#include <lauxlib.h>
#include <stdio.h>

enum { COMPILED_MAX = 128 * 1024 }; /* bytes of source: with the checks it is ten times as much */

/* The chunk must compile as it is, so that its mistakes are named as they are written, and so that
 * it cannot close the function around it. */
static int load_checked(lua_State *L, const char *text, size_t length, const char *name) {
  char counter[20];
  struct buf *b = push_buf(L);
  snprintf(counter, sizeof counter, "_%016" PRIx64, clock_random()); /* nobody can write it */
  fuel_rewrite(text, length, counter, b);
  if (b->failed) {
    lua_pushfstring(L, "%s: not enough memory", name);
    return LUA_ERRMEM;
  }
  int status = luaL_loadbufferx(L, b->data, b->length, name, "t");
  buf_free(b);
  if (status != 0)
    return status;
  lua_rawgeti(L, LUA_REGISTRYINDEX, isolate_of(L)->ref_fuel);
  lua_call(L, 1, 1);
  lua_remove(L, -2);
  return 0;
}

int chunk_load(lua_State *L, const char *text, size_t length, const char *name) {
  int status = luaL_loadbufferx(L, text, length, name, "t");
  if (status != 0 || !isolate_of(L)->limits.compiled)
    return status;
  lua_pop(L, 1);
  if (length <= COMPILED_MAX)
    return load_checked(L, text, length, name);
  lua_pushfstring(L, "%s: more than %d bytes of source, for what is compiled", name, COMPILED_MAX);
  return LUA_ERRSYNTAX;
}
