/* table.sort, as in Lua 5.1: LuaJIT's cannot be interrupted, and comparing a million times two long
 * texts takes minutes. */
#include "vm/bindings.h"
#include "vm/inside.h"

#include <lauxlib.h>
#include <lualib.h>

enum { TABLE = 1, LESS = 2 };
enum { COMPARING = 20 }; /* steps that one comparison is worth */

static bool less(lua_State *L, int a, int b) {
  turn_poll(L, COMPARING);
  if (lua_isnil(L, LESS))
    return lua_lessthan(L, a, b);
  lua_pushvalue(L, LESS);
  lua_pushvalue(L, a < 0 ? a - 1 : a);
  lua_pushvalue(L, b < 0 ? b - 2 : b);
  lua_call(L, 2, 1);
  bool answer = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return answer;
}

/* Stores the two on top: the top one at i, the one below at j. */
static void store_two(lua_State *L, int i, int j) {
  lua_rawseti(L, TABLE, i);
  lua_rawseti(L, TABLE, j);
}

/* Puts the elements at i < j in order. */
static void order_two(lua_State *L, int i, int j) {
  lua_rawgeti(L, TABLE, i);
  lua_rawgeti(L, TABLE, j);
  if (less(L, -1, -2))
    store_two(L, i, j);
  else
    lua_pop(L, 2);
}

/* Splits low..high, whose first, middle and last are in order, around the middle one; its place.
 * The pivot waits at high - 1. A comparator that lies would lead the scans out of the array. */
static int split(lua_State *L, int low, int high) {
  int middle = low + (high - low) / 2, i = low, j = high - 1;
  lua_rawgeti(L, TABLE, middle);
  lua_pushvalue(L, -1);
  lua_rawgeti(L, TABLE, high - 1);
  store_two(L, middle, high - 1);
  for (;;) { /* the pivot is on top */
    while (lua_rawgeti(L, TABLE, ++i), less(L, -1, -2)) {
      if (i >= high)
        luaL_error(L, "invalid order function for sorting");
      lua_pop(L, 1);
    }
    while (lua_rawgeti(L, TABLE, --j), less(L, -3, -1)) {
      if (j <= low)
        luaL_error(L, "invalid order function for sorting");
      lua_pop(L, 1);
    }
    if (j < i)
      break;
    store_two(L, i, j);
  }
  lua_pop(L, 3);
  lua_rawgeti(L, TABLE, high - 1);
  lua_rawgeti(L, TABLE, i);
  store_two(L, high - 1, i);
  return i;
}

/* Quicksort; the smaller part by recursion, so that it is at most log n deep. */
static void sort(lua_State *L, int low, int high) {
  while (low < high) {
    order_two(L, low, high);
    if (high - low == 1)
      return;
    int middle = low + (high - low) / 2;
    order_two(L, low, middle);
    order_two(L, middle, high);
    if (high - low == 2)
      return;
    int at = split(L, low, high);
    if (at - low < high - at) {
      sort(L, low, at - 1);
      low = at + 1;
    } else {
      sort(L, at + 1, high);
      high = at - 1;
    }
  }
}

static int sort_call(lua_State *L) {
  luaL_checktype(L, TABLE, LUA_TTABLE);
  if (!lua_isnoneornil(L, LESS))
    luaL_checktype(L, LESS, LUA_TFUNCTION);
  lua_settop(L, 2);
  luaL_checkstack(L, 40 * 4, "too many arguments");
  if (turn_is_deep())
    return luaL_error(L, "stack overflow");
  sort(L, 1, (int)lua_objlen(L, TABLE));
  return 0;
}

void table_bound(lua_State *L) {
  static const struct luaL_Reg functions[] = {{"sort", sort_call}, {NULL, NULL}};
  luaL_register(L, LUA_TABLIBNAME, functions);
  lua_pop(L, 1);
}
