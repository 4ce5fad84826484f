/* strings: string.find, match, gmatch and gsub, as in Lua 5.1, on pattern.c in place of LuaJIT's:
 * there a pattern that backtracks for ever holds the thread. */
#include "vm/isolate/inside.h"
#include "vm/isolate/pattern.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

/* A pattern ends with its first NUL, as in Lua 5.1: "%z" stands for one. */
static struct pattern_match pattern_begin(lua_State *L, const char *text, size_t length,
                                          const char *pattern) {
  return (struct pattern_match){
      .L = L, .text = text, .text_end = text + length, .pattern_end = pattern + strlen(pattern)};
}

/* The argument `init` as an offset into a text of `length` bytes. */
static size_t offset_check(lua_State *L, int index, size_t length) {
  lua_Integer init = luaL_optinteger(L, index, 1);
  if (init < 0)
    init += (lua_Integer)length + 1;
  if (init < 1)
    return 0;
  return (size_t)init - 1 > length ? length : (size_t)init - 1;
}

/* memmem is linear, where a naive search of a long needle takes for ever as well. */
static int find_plain(lua_State *L, const char *text, size_t length, size_t from,
                      const char *needle, size_t needle_length) {
  const char *at = memmem(text + from, length - from, needle, needle_length);
  if (!at) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushinteger(L, at - text + 1);
  lua_pushinteger(L, at - text + (ptrdiff_t)needle_length);
  return 2;
}

static bool is_plain(const char *pattern, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (pattern[i] && strchr("^$*+?.([%-", pattern[i]))
      return false;
  return true;
}

static int find_or_match(lua_State *L, bool find) {
  size_t length, pattern_length;
  const char *text = luaL_checklstring(L, 1, &length);
  const char *pattern = luaL_checklstring(L, 2, &pattern_length);
  size_t from = offset_check(L, 3, length);
  if (find && (lua_toboolean(L, 4) || is_plain(pattern, pattern_length)))
    return find_plain(L, text, length, from, pattern, pattern_length);
  struct pattern_match m = pattern_begin(L, text, length, pattern);
  bool anchored = *pattern == '^';
  pattern += anchored;
  const char *at = text + from;
  do {
    const char *end = pattern_match(&m, at, pattern);
    if (end && find) {
      lua_pushinteger(L, at - text + 1);
      lua_pushinteger(L, end - text);
      return 2 + pattern_push_all(&m, NULL, NULL);
    }
    if (end)
      return pattern_push_all(&m, at, end);
  } while (at++ < m.text_end && !anchored);
  lua_pushnil(L);
  return 1;
}

static int find_call(lua_State *L) {
  return find_or_match(L, true);
}

static int match_call(lua_State *L) {
  return find_or_match(L, false);
}

/* Upvalues: the text, the pattern, the offset where the next match is looked for. */
static int gmatch_next(lua_State *L) {
  size_t length;
  const char *text = lua_tolstring(L, lua_upvalueindex(1), &length);
  const char *pattern = lua_tostring(L, lua_upvalueindex(2));
  struct pattern_match m = pattern_begin(L, text, length, pattern);
  const char *at = text + (size_t)lua_tonumber(L, lua_upvalueindex(3));
  for (; at <= m.text_end; at++) {
    const char *end = pattern_match(&m, at, pattern);
    if (!end)
      continue;
    lua_pushnumber(L, (double)(end - text) + (end == at)); /* an empty match moves on by one */
    lua_replace(L, lua_upvalueindex(3));
    return pattern_push_all(&m, at, end);
  }
  return 0;
}

static int gmatch_call(lua_State *L) {
  luaL_checkstring(L, 1);
  luaL_checkstring(L, 2);
  lua_settop(L, 2);
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, gmatch_next, 3);
  return 1;
}

/* "%1" and the like in the text at 3. */
static void add_text(struct pattern_match *m, luaL_Buffer *b, const char *at, const char *end) {
  size_t length;
  const char *with = lua_tolstring(m->L, 3, &length);
  for (size_t i = 0; i < length; i++) {
    if (with[i] != '%') {
      luaL_addchar(b, with[i]);
    } else if (with[++i] < '0' || with[i] > '9') {
      luaL_addchar(b, with[i]);
    } else if (with[i] == '0') {
      luaL_addlstring(b, at, (size_t)(end - at));
    } else {
      pattern_push(m, with[i] - '1', at, end);
      luaL_addvalue(b);
    }
  }
}

/* Adds what replaces the match: by text, by function or by table. */
static void add_replacement(struct pattern_match *m, luaL_Buffer *b, const char *at,
                            const char *end) {
  lua_State *L = m->L;
  switch (lua_type(L, 3)) {
  case LUA_TFUNCTION:
    lua_pushvalue(L, 3);
    lua_call(L, pattern_push_all(m, at, end), 1);
    break;
  case LUA_TTABLE:
    pattern_push(m, 0, at, end);
    lua_gettable(L, 3);
    break;
  default:
    add_text(m, b, at, end);
    return;
  }
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    lua_pushlstring(L, at, (size_t)(end - at));
  } else if (!lua_isstring(L, -1)) {
    luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  }
  luaL_addvalue(b);
}

static int gsub_call(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  const char *pattern = luaL_checkstring(L, 2);
  int type = lua_type(L, 3);
  if (type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TFUNCTION && type != LUA_TTABLE)
    luaL_typerror(L, 3, "string/function/table");
  lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)length + 1), count = 0;
  bool anchored = *pattern == '^';
  struct pattern_match m = pattern_begin(L, text, length, pattern);
  const char *at = text;
  luaL_Buffer b;
  if (turn_is_deep())
    return luaL_error(L, "stack overflow");
  pattern += anchored;
  luaL_buffinit(L, &b);
  while (count < most) {
    const char *end = pattern_match(&m, at, pattern);
    if (end) {
      count++;
      add_replacement(&m, &b, at, end);
    }
    if (end && end > at)
      at = end;
    else if (at < m.text_end)
      luaL_addchar(&b, *at++);
    else
      break;
    if (anchored)
      break;
  }
  luaL_addlstring(&b, at, (size_t)(m.text_end - at));
  luaL_pushresult(&b);
  lua_pushinteger(L, count);
  return 2;
}

void string_bound(lua_State *L) {
  static const struct luaL_Reg functions[] = {{"find", find_call},
                                              {"match", match_call},
                                              {"gmatch", gmatch_call},
                                              {"gsub", gsub_call},
                                              {NULL, NULL}};
  luaL_register(L, LUA_STRLIBNAME, functions);
  lua_pushnil(L);
  lua_setfield(L, -2, "gfind"); /* gmatch's name in Lua 5.0: LuaJIT's own */
  lua_pop(L, 1);
}
