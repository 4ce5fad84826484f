/* Decoding what is large: lua-cjson holds the thread until it is through. As it, but for what it
 * lets pass that is no JSON.
 *
 * What it is in the midst of is on the Lua stack (each table that is open, and of an object the key
 * whose value comes) and in a list beside it, so that it can stop between any two values. */
#include "base/buf.h"
#include "vm/bind/bindings.h"
#include "vm/bind/json.h"
#include "vm/isolate/inside.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

enum {
  STEPS = 64,       /* values between two looks at the turn */
  PIECE = 4096,     /* bytes of a string, or of space, at a time */
  NUMBER_MAX = 1000 /* bytes */
};
enum { TEXT = 1, STRING, STATE };

struct decoder {
  lua_State *L;
  const char *text, *at, *end;
  struct buf *string; /* so far */
  const char *problem;
  bool in_string;
  enum { A_VALUE, A_VALUE_OR_END, A_KEY, A_KEY_OR_END, A_COLON, A_COMMA_OR_END, NOTHING } expected;
  int depth;
  unsigned steps;
  struct {
    bool object;
    int count;
  } table[JSON_DEPTH_MAX];
};

static const char *const names[] = {
    [A_VALUE] = "expected a value",
    [A_VALUE_OR_END] = "expected a value or ]",
    [A_KEY] = "expected a name",
    [A_KEY_OR_END] = "expected a name or }",
    [A_COLON] = "expected a colon",
    [A_COMMA_OR_END] = "expected a comma or the end of the list",
    [NOTHING] = "expected the end of the text",
};

static bool at_key(const struct decoder *d) {
  return d->expected == A_KEY || d->expected == A_KEY_OR_END;
}

static bool at_value(const struct decoder *d) {
  return d->expected == A_VALUE || d->expected == A_VALUE_OR_END;
}

/* The value on top is whole: puts it where it belongs. */
static void decoded(struct decoder *d) {
  if (d->depth == 0) {
    d->expected = NOTHING;
    return;
  }
  if (d->table[d->depth - 1].object)
    lua_rawset(d->L, -3);
  else
    lua_rawseti(d->L, -2, ++d->table[d->depth - 1].count);
  d->expected = A_COMMA_OR_END;
}

static void open_table(struct decoder *d, bool object) {
  if (d->depth == JSON_DEPTH_MAX) {
    d->problem = "nested more than 100 deep";
    return;
  }
  d->table[d->depth].object = object;
  d->table[d->depth++].count = 0;
  lua_newtable(d->L);
  d->expected = object ? A_KEY_OR_END : A_VALUE_OR_END;
}

static void close_table(struct decoder *d, bool object) {
  bool may_end =
      d->expected == A_COMMA_OR_END || d->expected == (object ? A_KEY_OR_END : A_VALUE_OR_END);
  if (d->depth == 0 || d->table[d->depth - 1].object != object || !may_end) {
    d->problem = names[d->expected];
    return;
  }
  d->at++;
  d->depth--;
  decoded(d);
}

static int hex4(const char *s) {
  int n = 0;
  for (int i = 0; i < 4; i++) {
    int c = s[i] | 0x20;
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0 || (digit < 10 && s[i] != c))
      return -1;
    n = n * 16 + digit;
  }
  return n;
}

static void add_character(struct buf *b, int c) {
  if (c < 0x80) {
    buf_char(b, (char)c);
    return;
  }
  if (c < 0x800) {
    buf_char(b, (char)(0xc0 | c >> 6));
  } else if (c < 0x10000) {
    buf_char(b, (char)(0xe0 | c >> 12));
    buf_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
  } else {
    buf_char(b, (char)(0xf0 | c >> 18));
    buf_char(b, (char)(0x80 | (c >> 12 & 0x3f)));
    buf_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
  }
  buf_char(b, (char)(0x80 | (c & 0x3f)));
}

/* "\u" and four digits at d->at, or two of them. */
static void decode_code(struct decoder *d) {
  int c = d->end - d->at >= 6 ? hex4(d->at + 2) : -1;
  int size = 6;
  if (c >= 0xd800 && c < 0xdc00) {
    bool pair = d->end - d->at >= 12 && d->at[6] == '\\' && d->at[7] == 'u';
    int low = pair ? hex4(d->at + 8) : -1;
    c = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((c & 0x3ff) << 10) + (low & 0x3ff) : -1;
    size = 12;
  } else if (c >= 0xdc00 && c < 0xe000) {
    c = -1;
  }
  if (c < 0) {
    d->problem = "invalid \\u";
    return;
  }
  add_character(d->string, c);
  d->at += size;
}

static void decode_escape(struct decoder *d) {
  static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
  char c = d->at + 1 < d->end ? d->at[1] : '\0';
  const char *letter = c ? strchr(letters, c) : NULL;
  if (c == 'u') {
    decode_code(d);
  } else if (letter) {
    buf_char(d->string, bytes[letter - letters]);
    d->at += 2;
  } else {
    d->problem = "invalid escape";
  }
}

static void string_whole(struct decoder *d) {
  if (d->string->failed) {
    d->problem = "out of memory";
    return;
  }
  d->at++;
  d->in_string = false;
  lua_pushlstring(d->L, d->string->length ? d->string->data : "", d->string->length);
  buf_clear(d->string);
  if (at_key(d))
    d->expected = A_COLON;
  else
    decoded(d);
}

/* The next piece of the string that d->at is in. */
static void decode_string(struct decoder *d) {
  const char *from = d->at, *most = d->end - from > PIECE ? from + PIECE : d->end;
  while (d->at < most && *d->at != '"' && *d->at != '\\' && *d->at)
    d->at++;
  d->steps += (unsigned)(d->at - from) / 64;
  buf_add(d->string, from, (size_t)(d->at - from));
  if (d->at == most && d->at < d->end)
    return;
  if (*d->at == '"')
    string_whole(d);
  else if (*d->at == '\\')
    decode_escape(d);
  else
    d->problem = "a string has no end";
}

static void decode_number(struct decoder *d) {
  const char *digits = d->at + (*d->at == '-');
  bool zero = *digits == '0' && digits[1] >= '0' && digits[1] <= '9';
  size_t length = strspn(d->at, "+-.0123456789eE");
  char *end;
  if (*digits < '0' || *digits > '9' || zero || length > NUMBER_MAX || (digits[1] | 0x20) == 'x') {
    d->problem = "invalid number";
    return;
  }
  lua_pushnumber(d->L, strtod(d->at, &end));
  d->at = end;
  decoded(d);
}

static void decode_word(struct decoder *d) {
  size_t left = (size_t)(d->end - d->at);
  if (left >= 4 && memcmp(d->at, "true", 4) == 0) {
    lua_pushboolean(d->L, true);
    d->at += 4;
  } else if (left >= 5 && memcmp(d->at, "false", 5) == 0) {
    lua_pushboolean(d->L, false);
    d->at += 5;
  } else if (left >= 4 && memcmp(d->at, "null", 4) == 0) {
    lua_pushlightuserdata(d->L, NULL);
    d->at += 4;
  } else {
    d->problem = names[d->expected];
    return;
  }
  decoded(d);
}

static void decode_value(struct decoder *d, char c) {
  if (c == '{' || c == '[') {
    d->at++;
    open_table(d, c == '{');
  } else if (c == '-' || (c >= '0' && c <= '9')) {
    decode_number(d);
  } else {
    decode_word(d);
  }
}

static void decode_comma(struct decoder *d) {
  if (d->expected != A_COMMA_OR_END || d->depth == 0) {
    d->problem = names[d->expected];
    return;
  }
  d->at++;
  d->expected = d->table[d->depth - 1].object ? A_KEY : A_VALUE;
}

static void decode_next(struct decoder *d) {
  const char *from = d->at;
  while (d->at < d->end && d->at - from < PIECE && strchr(" \t\r\n", *d->at) && *d->at)
    d->at++;
  d->steps += (unsigned)(d->at - from) / 64;
  char c = d->at < d->end ? *d->at : '\0';
  if (d->at - from == PIECE)
    return; /* there may be more of it */
  if (c == '"' && (at_key(d) || at_value(d))) {
    d->in_string = true;
    d->at++;
  } else if (c == ',') {
    decode_comma(d);
  } else if (c == '}' || c == ']') {
    close_table(d, c == '}');
  } else if (c == ':' && d->expected == A_COLON) {
    d->at++;
    d->expected = A_VALUE;
  } else if (at_value(d)) {
    decode_value(d, c);
  } else {
    d->problem = names[d->expected];
  }
}

/* LuaJIT collects by what is allocated; a turn that is over ends at Lua's next line. */
static bool too_much(const struct decoder *d) {
  const struct isolate *iso = isolate_of(d->L);
  size_t hard = iso->limits.memory_hard;
  return iso->memory + d->string->capacity > hard - hard / 16;
}

static bool through(struct decoder *d) {
  return !d->in_string && d->expected == NOTHING && d->at + strspn(d->at, " \t\r\n") == d->end;
}

static int decode_on(lua_State *L);

static int decode_run(lua_State *L, struct decoder *d) {
  while (!d->problem && !through(d)) {
    if (++d->steps >= STEPS) {
      d->steps = 0;
      if (too_much(d))
        return json_push_too_much(L, (size_t)(d->end - d->text));
      turn_poll(L, STEPS);
      if (task_should_give_way(L)) {
        if (lua_isnil(L, STATE)) {
          memcpy(lua_newuserdata(L, sizeof *d), d, sizeof *d);
          lua_replace(L, STATE);
        }
        return task_give_way(L, decode_on);
      }
    }
    if (d->in_string)
      decode_string(d);
    else
      decode_next(d);
  }
  buf_free(d->string);
  if (d->problem)
    return push_error(L, -EINVAL, "not JSON: %s at character %d", d->problem,
                      (int)(d->at - d->text) + 1);
  return 1;
}

static int decode_on(lua_State *L) {
  struct decoder *d = lua_touserdata(L, STATE);
  luaL_checkstack(L, JSON_DEPTH_MAX * 2 + 20, "decode");
  d->L = L;
  return decode_run(L, d);
}

int json_decode(lua_State *L) {
  struct decoder d;
  size_t length;
  lua_settop(L, 1);
  luaL_checkstack(L, JSON_DEPTH_MAX * 2 + 20, "decode");
  d.L = L;
  d.text = d.at = lua_tolstring(L, TEXT, &length);
  d.end = d.text + length;
  d.string = push_buf(L);
  d.problem = NULL;
  d.in_string = false;
  d.expected = A_VALUE;
  d.depth = 0;
  d.steps = 0;
  lua_pushnil(L);
  return decode_run(L, &d);
}
