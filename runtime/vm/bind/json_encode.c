/* Encoding is ours: lua-cjson writes at most 14 digits, which mangles a time in microseconds or a
 * 53-bit index, and knows no empty array.
 *
 * What it is in the midst of is on the Lua stack (for each table that is open the table, and of an
 * object the key it is at) and in a list beside it, so that it can stop between any two values. */
#include "base/buf.h"
#include "vm/bind/bindings.h"
#include "vm/bind/json.h"
#include "vm/isolate/inside.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <string.h>

enum {
  STEPS = 64, /* values between two looks at the turn */
  NAME_MAX_BYTES = 64 << 10,
  PIECE = 4096,  /* bytes of a string at a time */
  TEXT_SHARE = 4 /* a text is at most this part of the isolate's memory */
};
enum { VALUE = 1, TEXT, STATE, OPEN };

struct table {
  enum { COUNTED, ARRAY, OBJECT } as;
  int count, fields, at; /* elements and others; which element, or how many fields so far */
  double largest;
};

struct encoder {
  lua_State *L;
  struct buf *out;
  size_t limit;
  const char *problem; /* set at the first thing that JSON cannot say */
  size_t written;      /* bytes of the string that is under way */
  int depth;
  unsigned steps;
  bool value; /* on top is a value; else the table that is open, or its key */
  struct table table[JSON_DEPTH_MAX];
};

static void encode_number(struct encoder *e, double n) {
  if (!isfinite(n))
    e->problem = "a number that is not finite";
  else if (n == floor(n) && fabs(n) < 9007199254740992.0)
    buf_integer(e->out, (int64_t)n);
  else
    buf_json_number(e->out, n);
}

/* Not within a character. */
static size_t piece_of(const char *text, size_t length) {
  size_t piece = PIECE;
  if (length <= piece)
    return length;
  while (piece > PIECE - 4 && ((unsigned char)text[piece] & 0xc0) == 0x80)
    piece--;
  return piece;
}

/* The next piece of the string on top; whether that was the last. */
static bool encode_string(struct encoder *e) {
  size_t length;
  const char *text = lua_tolstring(e->L, -1, &length) + e->written;
  length -= e->written;
  if (length > e->limit) {
    e->problem = "more text than a quarter of the plugin's memory";
    return true;
  }
  if (e->written == 0)
    buf_char(e->out, '"');
  size_t piece = piece_of(text, length);
  buf_json_inside(e->out, text, piece);
  e->written += piece;
  e->steps += (unsigned)piece / 64;
  if (piece < length)
    return false;
  buf_char(e->out, '"');
  e->written = 0;
  return true;
}

static void open_table(struct encoder *e) {
  if (e->depth == JSON_DEPTH_MAX) {
    e->problem = "tables nested more than 100 deep";
    return;
  }
  e->table[e->depth++] = (struct table){.as = COUNTED};
  e->value = false;
  lua_pushnil(e->L);
}

static bool is_marked_array(lua_State *L) {
  if (!lua_getmetatable(L, -1))
    return false;
  luaL_getmetatable(L, JSON_ARRAY);
  bool marked = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return marked;
}

/* One key more is looked at: a table is an array when its keys are 1 to n. */
static void count_key(struct encoder *e, struct table *t) {
  lua_State *L = e->L;
  if (lua_next(L, -2)) {
    lua_pop(L, 1);
    double key = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
    if (key >= 1 && key == floor(key)) {
      t->count++;
      t->largest = key > t->largest ? key : t->largest;
    } else {
      t->fields++;
    }
    return;
  }
  bool full = t->fields == 0 && t->largest == t->count;
  t->as = full && (t->count > 0 || is_marked_array(L)) ? ARRAY : OBJECT;
  buf_char(e->out, t->as == ARRAY ? '[' : '{');
  if (t->as == OBJECT)
    lua_pushnil(L);
}

static void close_table(struct encoder *e, char bracket) {
  buf_char(e->out, bracket);
  lua_pop(e->L, 1);
  e->depth--;
}

static void next_element(struct encoder *e, struct table *t) {
  if (t->at == t->count) {
    close_table(e, ']');
    return;
  }
  if (t->at++ > 0)
    buf_char(e->out, ',');
  lua_rawgeti(e->L, -1, t->at);
  e->value = true;
}

static void next_field(struct encoder *e, struct table *t) {
  lua_State *L = e->L;
  size_t length;
  if (!lua_next(L, -2)) {
    close_table(e, '}');
    return;
  }
  if (lua_type(L, -2) != LUA_TSTRING) {
    e->problem = "a table with both named and numbered fields, or with holes";
    return;
  }
  if (t->at++ > 0)
    buf_char(e->out, ',');
  const char *key = lua_tolstring(L, -2, &length);
  if (length > NAME_MAX_BYTES)
    e->problem = "a field whose name is longer than 64 KiB";
  else
    buf_json_bytes(e->out, key, length);
  buf_char(e->out, ':');
  e->value = true;
}

static void encode_value(struct encoder *e) {
  lua_State *L = e->L;
  switch (lua_type(L, -1)) {
  case LUA_TNIL:
    buf_text(e->out, "null");
    break;
  case LUA_TBOOLEAN:
    buf_text(e->out, lua_toboolean(L, -1) ? "true" : "false");
    break;
  case LUA_TNUMBER:
    encode_number(e, lua_tonumber(L, -1));
    break;
  case LUA_TSTRING:
    if (!encode_string(e))
      return;
    break;
  case LUA_TTABLE:
    open_table(e);
    return;
  case LUA_TLIGHTUSERDATA:
    if (!lua_touserdata(L, -1)) {
      buf_text(e->out, "null");
      break;
    } /* fall through */
  default:
    e->problem = luaL_typename(L, -1);
  }
  lua_pop(L, 1);
  e->value = false;
}

static void encode_next(struct encoder *e) {
  struct table *t = &e->table[e->depth - 1];
  if (e->value)
    encode_value(e);
  else if (t->as == COUNTED)
    count_key(e, t);
  else if (t->as == ARRAY)
    next_element(e, t);
  else
    next_field(e, t);
}

/* Whether it should go on later. */
static bool encode_look(struct encoder *e) {
  e->steps = 0;
  if (e->out->length > e->limit)
    e->problem = "more text than a quarter of the plugin's memory";
  else if (turn_is_over())
    e->problem = "what takes longer than the turn";
  return !e->problem && task_should_give_way(e->L);
}

static int encode_on(lua_State *L);

static int encode_run(lua_State *L, struct encoder *e) {
  while (!e->problem && (e->value || e->depth > 0)) {
    if (++e->steps >= STEPS && encode_look(e)) {
      if (lua_isnil(L, STATE)) {
        memcpy(lua_newuserdata(L, sizeof *e), e, sizeof *e);
        lua_replace(L, STATE);
      }
      return task_give_way(L, encode_on);
    }
    encode_next(e);
  }
  if (!e->problem && e->out->failed)
    e->problem = "out of memory";
  if (!e->problem && e->out->length > e->limit)
    e->problem = "more text than a quarter of the plugin's memory";
  if (e->problem) {
    buf_free(e->out);
    return push_error(L, -EINVAL, "JSON cannot hold this: %s", e->problem);
  }
  lua_pushlstring(L, e->out->data, e->out->length);
  buf_free(e->out);
  return 1;
}

static int encode_on(lua_State *L) {
  struct encoder *e = lua_touserdata(L, STATE);
  luaL_checkstack(L, JSON_DEPTH_MAX * 2 + 20, "encode");
  e->L = L;
  return encode_run(L, e);
}

int json_encode(lua_State *L) {
  struct encoder e;
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  luaL_checkstack(L, JSON_DEPTH_MAX * 2 + 20, "encode");
  e.L = L;
  e.out = push_buf(L);
  e.limit = isolate_of(L)->limits.memory_hard / TEXT_SHARE;
  e.problem = NULL;
  e.written = 0;
  e.depth = 0;
  e.steps = 0;
  e.value = true;
  lua_pushnil(L);
  lua_pushvalue(L, VALUE);
  return encode_run(L, &e);
}
