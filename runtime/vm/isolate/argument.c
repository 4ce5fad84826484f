#include "vm/isolate/argument.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/text.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *errno_name(int error) {
  const char *name = strerrorname_np(error < 0 ? -error : error);
  return name ? name : "EIO";
}

int push_error(lua_State *L, int error, const char *format, ...) {
  char text[600];
  va_list ap;
  va_start(ap, format);
  vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  lua_pushnil(L);
  lua_pushstring(L, text);
  lua_pushstring(L, errno_name(error));
  return 3;
}

int64_t duration_check(lua_State *L, int index) {
  if (lua_type(L, index) == LUA_TSTRING) {
    int64_t ns;
    struct fault f;
    if (duration_parse(lua_tostring(L, index), &ns, &f) != 0)
      luaL_argerror(L, index, f.text);
    return ns;
  }
  double seconds = luaL_checknumber(L, index);
  luaL_argcheck(L, seconds >= 0 && seconds <= 1e9, index, "seconds, from 0 to 1e9");
  return (int64_t)(seconds * 1e9);
}

static int buf_gc(lua_State *L) {
  buf_free(lua_touserdata(L, 1));
  return 0;
}

struct buf *push_buf(lua_State *L) {
  struct buf *b = lua_newuserdata(L, sizeof *b);
  *b = (struct buf){0};
  if (luaL_newmetatable(L, "buf")) {
    lua_pushcfunction(L, buf_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return b;
}
