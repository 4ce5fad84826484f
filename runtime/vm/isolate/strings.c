/* strings: string.find, match, gmatch and gsub, as in Lua 5.1, on pattern.c in place of LuaJIT's:
 * there a pattern that backtracks for ever holds the thread. */
#include "vm/isolate/inside.h"
#include "vm/isolate/pattern.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

/* What find, match, gmatch or gsub is at. */
struct search {
  struct pattern_match m;
  const char *at, *pattern;
  bool anchored;
  enum { FIND, MATCH, EACH, EACH_FIRST } what; /* the last two: where, and the captures or all */
  lua_Integer count, most;                     /* gsub: matches so far, at most */
  size_t *next;                                /* gmatch: where the next match is looked for */
};

/* A pattern ends with its first NUL, as in Lua 5.1: "%z" stands for one. */
static void search_begin(struct search *s, lua_State *L, const char *text, size_t length,
                         const char *pattern) {
  s->m.L = L;
  s->m.text = text;
  s->m.text_end = text + length;
  s->m.pattern_end = pattern + strlen(pattern);
  s->m.steps = 0;
  s->anchored = *pattern == '^';
  s->pattern = pattern + s->anchored;
}

static void search_at(struct search *s, const char *at) {
  s->at = at;
  pattern_begin(&s->m, at, s->pattern);
}

/* The first match from s->at on. */
static enum pattern_end search_run(struct search *s) {
  enum pattern_end end = pattern_run(&s->m);
  while (end == PATTERN_NOWHERE && !s->anchored && s->at < s->m.text_end) {
    search_at(s, s->at + 1);
    end = pattern_run(&s->m);
  }
  return end;
}

/* In the next slice, with the search behind the first `kept` values of the stack. */
static int search_later(lua_State *L, const struct search *s, int kept, lua_CFunction go_on) {
  if (lua_gettop(L) == kept)
    memcpy(lua_newuserdata(L, sizeof *s), s, sizeof *s);
  return task_give_way(L, go_on);
}

static struct search *search_again(lua_State *L) {
  struct search *s = lua_touserdata(L, lua_gettop(L));
  s->m.L = L;
  return s;
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

enum { PLAIN_AT_ONCE = 128 << 10 };

static int find_plain_on(lua_State *L);

/* By memmem, which is linear, where a naive search of a long needle takes for ever as well; a part
 * of the text at once, as long as the needle at least. On the stack: the text, the needle. */
static int find_plain(lua_State *L, size_t from) {
  size_t length, needle_length;
  const char *text = lua_tolstring(L, 1, &length), *needle = lua_tolstring(L, 2, &needle_length);
  size_t step = PLAIN_AT_ONCE + needle_length;
  for (;;) {
    size_t left = length - from, piece = left < step + needle_length ? left : step + needle_length;
    const char *at = memmem(text + from, piece, needle, needle_length);
    if (at) {
      lua_pushinteger(L, at - text + 1);
      lua_pushinteger(L, at - text + (ptrdiff_t)needle_length);
      return 2;
    }
    if (piece == left) {
      lua_pushnil(L);
      return 1;
    }
    from += step;
    turn_poll(L, (int32_t)(piece / 64));
    if (task_should_give_way(L)) {
      lua_settop(L, 2);
      lua_pushinteger(L, (lua_Integer)from);
      return task_give_way(L, find_plain_on);
    }
  }
}

static int find_plain_on(lua_State *L) {
  return find_plain(L, (size_t)lua_tointeger(L, 3));
}

static bool is_plain(const char *pattern, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (pattern[i] && strchr("^$*+?.([%-", pattern[i]))
      return false;
  return true;
}

static int find_on(lua_State *L);

static int find_run(lua_State *L, struct search *s) {
  switch (search_run(s)) {
  case PATTERN_LATER:
    return search_later(L, s, 2, find_on);
  case PATTERN_NOWHERE:
    lua_pushnil(L);
    return 1;
  case PATTERN_HERE:
    break;
  }
  if (s->what == MATCH)
    return pattern_push_all(&s->m, s->at, s->m.s);
  lua_pushinteger(L, s->at - s->m.text + 1);
  lua_pushinteger(L, s->m.s - s->m.text);
  if (s->what != EACH_FIRST)
    return 2 + pattern_push_all(&s->m, s->what == EACH ? s->at : NULL, s->m.s);
  pattern_push(&s->m, 0, s->at, s->m.s);
  return 3;
}

static int find_on(lua_State *L) {
  return find_run(L, search_again(L));
}

static int find_as(lua_State *L, int what) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  const char *pattern = luaL_checkstring(L, 2);
  size_t from = offset_check(L, 3, length);
  struct search s;
  s.what = what;
  search_begin(&s, L, text, length, pattern);
  search_at(&s, text + from);
  lua_settop(L, 2);
  return find_run(L, &s);
}

static int find_call(lua_State *L) {
  size_t length, pattern_length;
  luaL_checklstring(L, 1, &length);
  const char *pattern = luaL_checklstring(L, 2, &pattern_length);
  size_t from = offset_check(L, 3, length);
  if (lua_toboolean(L, 4) || is_plain(pattern, pattern_length))
    return find_plain(L, from);
  return find_as(L, FIND);
}

/* For gsub that calls, in lua/perigee/text.lua, which hides it: find_each(text, pattern, from,
 * whether only the first capture is wanted). */
static int find_each_call(lua_State *L) {
  return find_as(L, lua_toboolean(L, 4) ? EACH_FIRST : EACH);
}

static int match_call(lua_State *L) {
  return find_as(L, MATCH);
}

static int gmatch_on(lua_State *L);

static int gmatch_run(lua_State *L, struct search *s) {
  enum pattern_end end = search_run(s);
  if (end == PATTERN_LATER)
    return search_later(L, s, 3, gmatch_on);
  if (end == PATTERN_NOWHERE) {
    *s->next = (size_t)(s->m.text_end - s->m.text) + 1;
    return 0;
  }
  *s->next = (size_t)(s->m.s - s->m.text) + (s->m.s == s->at); /* an empty match moves on by one */
  return pattern_push_all(&s->m, s->at, s->m.s);
}

static int gmatch_on(lua_State *L) {
  return gmatch_run(L, search_again(L));
}

/* Upvalues: the text, the pattern, the offset where the next match is looked for. */
static int gmatch_next(lua_State *L) {
  struct search s;
  size_t length;
  lua_settop(L, 0);
  for (int i = 1; i <= 3; i++)
    lua_pushvalue(L, lua_upvalueindex(i));
  const char *text = lua_tolstring(L, 1, &length);
  s.next = lua_touserdata(L, 3);
  search_begin(&s, L, text, length, lua_tostring(L, 2));
  s.pattern -= s.anchored; /* a "^" is a character like others here */
  s.anchored = false;
  if (*s.next > length)
    return 0;
  search_at(&s, text + *s.next);
  return gmatch_run(L, &s);
}

static int gmatch_call(lua_State *L) {
  luaL_checkstring(L, 1);
  luaL_checkstring(L, 2);
  lua_settop(L, 2);
  *(size_t *)lua_newuserdata(L, sizeof(size_t)) = 0;
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

enum { DONE = 4 };

static void push_done(lua_State *L, luaL_Buffer *b) {
  luaL_pushresult(b);
  if (lua_isnil(L, DONE))
    return;
  lua_pushvalue(L, DONE);
  lua_insert(L, -2);
  lua_concat(L, 2);
}

static int gsub_on(lua_State *L);

/* On the stack: the text, the pattern, the replacement, and what it has come to so far, or nil. */
static int gsub_run(lua_State *L, struct search *s) {
  struct pattern_match *m = &s->m;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  while (s->count < s->most) {
    enum pattern_end end = pattern_run(m);
    if (end == PATTERN_LATER) {
      push_done(L, &b);
      lua_replace(L, DONE);
      return search_later(L, s, DONE, gsub_on);
    }
    if (end == PATTERN_HERE) {
      s->count++;
      add_text(m, &b, s->at, m->s);
    }
    if (end == PATTERN_HERE && m->s > s->at)
      s->at = m->s;
    else if (s->at < m->text_end)
      luaL_addchar(&b, *s->at++);
    else
      break;
    if (s->anchored)
      break;
    search_at(s, s->at);
  }
  luaL_addlstring(&b, s->at, (size_t)(m->text_end - s->at));
  push_done(L, &b);
  lua_pushinteger(L, s->count);
  return 2;
}

static int gsub_on(lua_State *L) {
  return gsub_run(L, search_again(L));
}

static int gsub_call(lua_State *L) {
  struct search s;
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  const char *pattern = luaL_checkstring(L, 2);
  luaL_checkstring(L, 3); /* what calls for each match is in lua/perigee/text.lua */
  s.most = luaL_optinteger(L, 4, (lua_Integer)length + 1);
  s.count = 0;
  search_begin(&s, L, text, length, pattern);
  search_at(&s, text);
  lua_settop(L, 3);
  lua_pushnil(L);
  return gsub_run(L, &s);
}

void string_bound(lua_State *L) {
  static const struct luaL_Reg functions[] = {{"find", find_call},   {"find_each", find_each_call},
                                              {"match", match_call}, {"gmatch", gmatch_call},
                                              {"gsub", gsub_call},   {NULL, NULL}};
  luaL_register(L, LUA_STRLIBNAME, functions);
  lua_pushnil(L);
  lua_setfield(L, -2, "gfind"); /* gmatch's name in Lua 5.0: LuaJIT's own */
  lua_pop(L, 1);
}
