/* perigee.random([bytes]): a number in [0, 1), or that many random bytes. From clock.h, so that a
 * test can own it; not for keys. */
#include "base/clock.h"
#include "vm/bind/bindings.h"

#include <lauxlib.h>
#include <string.h>

enum { BYTES_MAX = 4096 };

static int random_call(lua_State *L) {
  char bytes[BYTES_MAX + sizeof(uint64_t)];
  if (lua_isnoneornil(L, 1)) {
    lua_pushnumber(L, clock_random_unit());
    return 1;
  }
  lua_Integer count = luaL_checkinteger(L, 1);
  luaL_argcheck(L, count >= 0 && count <= BYTES_MAX, 1, "bytes, from 0 to 4096");
  for (lua_Integer i = 0; i < count; i += (lua_Integer)sizeof(uint64_t)) {
    uint64_t word = clock_random();
    memcpy(bytes + i, &word, sizeof word);
  }
  lua_pushlstring(L, bytes, (size_t)count);
  return 1;
}

int open_random(lua_State *L) {
  lua_pushcfunction(L, random_call);
  return 1;
}
