/* perigee.json: decode (lua-cjson, one configuration an isolate), encode, null, array.
 *
 * Encoding is ours: lua-cjson writes at most 14 digits, which mangles a time in microseconds or a
 * 53-bit index, and knows no empty array. */
#include "base/buf.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/inside.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <string.h>

enum {
  DEPTH_MAX = 100,
  TEXT_SHARE = 4,   /* a text is at most this part of the isolate's memory */
  TABLE_BYTES = 64, /* what each table takes, and each value in it, at the least */
  VALUE_BYTES = 8,
  DECODE_GROWTH = 40 /* bytes of tables that a byte of JSON can become: "[[],[],..." */
};

int luaopen_cjson(lua_State *L);

struct encoder {
  lua_State *L;
  struct buf *out;
  size_t limit;
  const char *problem; /* set at the first thing that JSON cannot say */
};

static void encode_value(struct encoder *e, int depth);

static void encode_number(struct encoder *e, double n) {
  if (!isfinite(n))
    e->problem = "a number that is not finite";
  else if (n == floor(n) && fabs(n) < 9007199254740992.0)
    buf_integer(e->out, (int64_t)n);
  else
    buf_json_number(e->out, n);
}

/* The length of the table on top as an array: its keys are 1 to n; or -1. */
static int array_length(lua_State *L, int *fields) {
  double largest = 0;
  int count = 0;
  *fields = 0;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pop(L, 1);
    double key = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
    if (key >= 1 && key == floor(key)) {
      count++;
      largest = key > largest ? key : largest;
    } else {
      ++*fields;
    }
  }
  return largest == count ? count : -1;
}

static bool is_marked_array(lua_State *L) {
  if (!lua_getmetatable(L, -1))
    return false;
  luaL_getmetatable(L, "json array");
  bool marked = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return marked;
}

static void encode_array(struct encoder *e, int count, int depth) {
  buf_char(e->out, '[');
  for (int i = 1; i <= count && !e->problem; i++) {
    if (i > 1)
      buf_char(e->out, ',');
    lua_rawgeti(e->L, -1, i);
    encode_value(e, depth + 1);
    lua_pop(e->L, 1);
  }
  buf_char(e->out, ']');
}

static void encode_object(struct encoder *e, int depth) {
  lua_State *L = e->L;
  bool first = true;
  buf_char(e->out, '{');
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    size_t length;
    if (lua_type(L, -2) != LUA_TSTRING)
      e->problem = "a table with both named and numbered fields, or with holes";
    if (e->problem) {
      lua_pop(L, 2);
      return;
    }
    if (!first)
      buf_char(e->out, ',');
    first = false;
    const char *key = lua_tolstring(L, -2, &length);
    buf_json_bytes(e->out, key, length);
    buf_char(e->out, ':');
    encode_value(e, depth + 1);
    lua_pop(L, 1);
  }
  buf_char(e->out, '}');
}

static void encode_table(struct encoder *e, int depth) {
  int fields, count = array_length(e->L, &fields);
  if (depth >= DEPTH_MAX)
    e->problem = "tables nested more than 100 deep";
  else if (fields == 0 && (count > 0 || (count == 0 && is_marked_array(e->L))))
    encode_array(e, count, depth);
  else
    encode_object(e, depth);
}

/* Appends the value on top. Raises nothing: it keeps to raw accesses and checked stack. */
static void encode_value(struct encoder *e, int depth) {
  size_t length;
  const char *text;
  if (e->problem)
    return;
  if (turn_is_over()) {
    e->problem = "what takes longer than the turn";
    return;
  }
  if (e->out->length > e->limit) {
    e->problem = "more text than a quarter of the plugin's memory";
    return;
  }
  switch (lua_type(e->L, -1)) {
  case LUA_TNIL:
    buf_text(e->out, "null");
    break;
  case LUA_TBOOLEAN:
    buf_text(e->out, lua_toboolean(e->L, -1) ? "true" : "false");
    break;
  case LUA_TNUMBER:
    encode_number(e, lua_tonumber(e->L, -1));
    break;
  case LUA_TSTRING:
    text = lua_tolstring(e->L, -1, &length);
    buf_json_bytes(e->out, text, length);
    break;
  case LUA_TTABLE:
    encode_table(e, depth);
    break;
  case LUA_TLIGHTUSERDATA:
    if (!lua_touserdata(e->L, -1)) {
      buf_text(e->out, "null");
      break;
    } /* fall through */
  default:
    e->problem = luaL_typename(e->L, -1);
  }
}

/* encode(value): text, or nil, message, code. */
static int encode_call(lua_State *L) {
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  luaL_checkstack(L, DEPTH_MAX * 4 + 20, "encode");
  struct encoder e = {.L = L, .limit = isolate_of(L)->limits.memory_hard / TEXT_SHARE};
  e.out = push_buf(L);
  lua_pushvalue(L, 1);
  encode_value(&e, 0);
  if (!e.problem && e.out->failed)
    e.problem = "out of memory";
  if (e.problem) {
    buf_free(e.out);
    return push_error(L, -EINVAL, "JSON cannot hold this: %s", e.problem);
  }
  lua_pushlstring(L, e.out->data, e.out->length);
  buf_free(e.out);
  return 1;
}

/* What comes of the text takes this much memory, if not more. */
static size_t least_bytes(const char *text, size_t length) {
  size_t tables = 0, values = 0;
  bool quoted = false;
  for (size_t i = 0; i < length; i++) {
    char c = text[i];
    if (quoted && c == '\\')
      i++;
    else if (c == '"')
      quoted = !quoted;
    else if (!quoted && (c == '[' || c == '{'))
      tables++;
    else if (!quoted && c == ',')
      values++;
  }
  return tables * TABLE_BYTES + values * VALUE_BYTES;
}

static int push_too_much(lua_State *L, size_t length) {
  return push_error(L, -ENOMEM, "%zu bytes of JSON need more memory than the plugin has", length);
}

/* decode(text): the value, or nil, message, code.
 * lua-cjson leaks its buffer when an allocation raises, so the limit is lifted while it works and
 * looked at afterwards. */
static int decode_call(lua_State *L) {
  struct isolate *iso = isolate_of(L);
  size_t length, hard = iso->limits.memory_hard, most = hard / TEXT_SHARE;
  if (lua_type(L, 1) != LUA_TSTRING)
    return push_error(L, -EINVAL, "not a text to decode but a %s", luaL_typename(L, 1));
  const char *text = lua_tolstring(L, 1, &length);
  if (length > most)
    return push_error(L, -E2BIG, "%zu bytes of JSON, at most %zu", length, most);
  if (least_bytes(text, length) > hard)
    return push_too_much(L, length);
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  size_t lift = length * DECODE_GROWTH + (64 << 10);
  iso->lifted += lift;
  int status = lua_pcall(L, 1, 1, 0);
  iso->lifted -= lift;
  if (iso->memory > hard) {
    lua_settop(L, 0);
    lua_gc(L, LUA_GCCOLLECT, 0);
    return push_too_much(L, length);
  }
  if (status != 0)
    return push_error(L, -EINVAL, "not JSON: %s", lua_tostring(L, -1));
  return 1;
}

/* array([table]): marks a table so that it is written as [] when it is empty. */
static int array_call(lua_State *L) {
  if (lua_isnoneornil(L, 1))
    lua_settop(L, 0), lua_newtable(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_getmetatable(L, "json array");
  lua_setmetatable(L, 1);
  return 1;
}

int open_json(lua_State *L) {
  luaL_newmetatable(L, "json array");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);

  lua_newtable(L);
  lua_pushcfunction(L, luaopen_cjson);
  lua_call(L, 0, 1);
  lua_getfield(L, -1, "decode_max_depth");
  lua_pushinteger(L, DEPTH_MAX);
  lua_call(L, 1, 0);
  lua_getfield(L, -1, "decode_invalid_numbers");
  lua_pushboolean(L, 0);
  lua_call(L, 1, 0);
  lua_getfield(L, -1, "decode");
  lua_pushcclosure(L, decode_call, 1);
  lua_setfield(L, -3, "decode");
  lua_pop(L, 1);
  lua_pushcfunction(L, encode_call);
  lua_setfield(L, -2, "encode");
  lua_pushcfunction(L, array_call);
  lua_setfield(L, -2, "array");
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  return 1;
}
