/* perigee.pack, unpack, pack_size: binary structures, in the letters of Lua 5.3's string.pack.
 *
 *     <  >  =      little, big, the host's byte order, from here on (at first: big, the network's)
 *     b B h H      1 and 2 bytes, signed and unsigned;  l L j J: 8;  i I: 4, or i1 ... i8
 *     f d          4 and 8 bytes of IEEE 754
 *     sN           text with its length before it, in N bytes (4 unless given)
 *     z            text with a NUL after it
 *     cN           text of exactly N bytes
 *     x            one byte, 0 when packing
 *     space        nothing
 *
 * Numbers are doubles: an integer beyond 2^53 is refused, not rounded. */
#include "vm/bind/bindings.h"

#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define EXACT 9007199254740992.0 /* 2^53 */

struct field {
  char letter; /* 'i' 'I' 'f' 'd' 's' 'z' 'c' 'x', or 0 at the end */
  int size;    /* bytes: of the integer, of the length before a text, of the text */
};
struct format {
  const char *at;
  bool little;
};

static bool host_is_little(void) {
  const uint16_t one = 1;
  return *(const uint8_t *)&one == 1;
}

static int read_size(lua_State *L, struct format *f, int otherwise, int most) {
  if (*f->at < '0' || *f->at > '9')
    return otherwise;
  int size = 0;
  while (*f->at >= '0' && *f->at <= '9' && size <= most)
    size = size * 10 + (*f->at++ - '0');
  if (size < 1 || size > most)
    luaL_error(L, "format: a size from 1 to %d", most);
  return size;
}

static struct field next_field(lua_State *L, struct format *f) {
  for (;;) {
    char c = *f->at;
    if (c == '\0')
      return (struct field){0, 0};
    f->at++;
    switch (c) {
    case ' ':
      break;
    case '<':
      f->little = true;
      break;
    case '>':
      f->little = false;
      break;
    case '=':
      f->little = host_is_little();
      break;
    case 'b':
      return (struct field){'i', 1};
    case 'B':
      return (struct field){'I', 1};
    case 'h':
      return (struct field){'i', 2};
    case 'H':
      return (struct field){'I', 2};
    case 'l':
    case 'j':
      return (struct field){'i', 8};
    case 'L':
    case 'J':
      return (struct field){'I', 8};
    case 'i':
    case 'I':
    case 's':
      return (struct field){c, read_size(L, f, 4, 8)};
    case 'c':
      return (struct field){'c', read_size(L, f, 1, 1 << 20)};
    case 'f':
      return (struct field){'f', 4};
    case 'd':
    case 'n':
      return (struct field){'d', 8};
    case 'z':
      return (struct field){'z', 0};
    case 'x':
      return (struct field){'x', 1};
    default:
      luaL_error(L, "format: \"%c\" is none of < > = b B h H l L j J i I f d n s z c x", c);
    }
  }
}

static void add_bits(luaL_Buffer *b, uint64_t bits, int size, bool little) {
  for (int i = 0; i < size; i++)
    luaL_addchar(b, (char)(bits >> 8 * (little ? i : size - 1 - i)));
}

static uint64_t get_bits(const char *at, int size, bool little) {
  uint64_t bits = 0;
  for (int i = 0; i < size; i++)
    bits |= (uint64_t)(uint8_t)at[i] << 8 * (little ? i : size - 1 - i);
  return bits;
}

static uint64_t check_integer(lua_State *L, int index, struct field field) {
  double n = luaL_checknumber(L, index);
  bool is_signed = field.letter == 'i';
  double most = ldexp(1, 8 * field.size - is_signed), least = is_signed ? -most : 0;
  luaL_argcheck(L, n == floor(n) && fabs(n) <= EXACT, index, "an integer of at most 2^53");
  luaL_argcheck(L, n >= least && n < most, index, "does not fit the format's size");
  return (uint64_t)(int64_t)n;
}

static int pack_call(lua_State *L) {
  struct format f = {luaL_checkstring(L, 1), false};
  struct field field;
  int argument = 1, count = lua_gettop(L);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  while ((field = next_field(L, &f)).letter) {
    size_t length;
    const char *text;
    float narrow;
    double wide;
    uint32_t bits32;
    uint64_t bits;
    if (field.letter == 'x') {
      luaL_addchar(&b, '\0');
      continue;
    }
    if (++argument > count) /* above them the buffer keeps its pieces */
      return luaL_error(L, "pack: %d values, the format wants more", count - 1);
    switch (field.letter) {
    case 'i':
    case 'I':
      add_bits(&b, check_integer(L, argument, field), field.size, f.little);
      break;
    case 'f':
      narrow = (float)luaL_checknumber(L, argument);
      memcpy(&bits32, &narrow, sizeof bits32);
      add_bits(&b, bits32, 4, f.little);
      break;
    case 'd':
      wide = luaL_checknumber(L, argument);
      memcpy(&bits, &wide, sizeof bits);
      add_bits(&b, bits, 8, f.little);
      break;
    default:
      text = luaL_checklstring(L, argument, &length);
      if (field.letter == 's') {
        luaL_argcheck(L, field.size == 8 || length >> 8 * field.size == 0, argument,
                      "too long for the format's length");
        add_bits(&b, length, field.size, f.little);
      }
      luaL_argcheck(L, field.letter != 'c' || length == (size_t)field.size, argument,
                    "not of the format's length");
      luaL_argcheck(L, field.letter != 'z' || !memchr(text, '\0', length), argument,
                    "has a NUL inside");
      luaL_addlstring(&b, text, length);
      if (field.letter == 'z')
        luaL_addchar(&b, '\0');
    }
  }
  luaL_pushresult(&b);
  return 1;
}

static void push_integer(lua_State *L, const char *at, struct field field, bool little) {
  uint64_t bits = get_bits(at, field.size, little);
  double n = (double)bits;
  if (field.letter == 'i' && field.size < 8 && bits >> (8 * field.size - 1))
    n = (double)((int64_t)bits - ((int64_t)1 << 8 * field.size));
  else if (field.letter == 'i')
    n = (double)(int64_t)bits;
  if (fabs(n) > EXACT)
    luaL_error(L, "unpack: an integer beyond 2^53");
  lua_pushnumber(L, n);
}

/* unpack(format, bytes[, position]): the values, and the position after them. Raises when the bytes
 * end too early. */
static int unpack_call(lua_State *L) {
  struct format f = {luaL_checkstring(L, 1), false};
  size_t length;
  const char *bytes = luaL_checklstring(L, 2, &length);
  lua_Integer position = luaL_optinteger(L, 3, 1);
  luaL_argcheck(L, position >= 1 && (size_t)position <= length + 1, 3, "outside of the bytes");
  size_t at = (size_t)position - 1;
  struct field field;
  int count = 0;
  while ((field = next_field(L, &f)).letter) {
    size_t take = (size_t)field.size;
    luaL_checkstack(L, 2, "too many values");
    if (field.letter == 'z') {
      const char *end = memchr(bytes + at, '\0', length - at);
      take = end ? (size_t)(end - bytes) - at + 1 : length - at + 1;
    }
    if (take > length - at)
      return luaL_error(L, "unpack: the bytes end at %d, inside a value", (int)length);
    const char *from = bytes + at;
    at += take;
    float narrow;
    double wide;
    uint32_t bits32;
    uint64_t bits;
    switch (field.letter) {
    case 'x':
      continue;
    case 'i':
    case 'I':
      push_integer(L, from, field, f.little);
      break;
    case 'f':
      bits32 = (uint32_t)get_bits(from, 4, f.little);
      memcpy(&narrow, &bits32, sizeof narrow);
      lua_pushnumber(L, (double)narrow);
      break;
    case 'd':
      bits = get_bits(from, 8, f.little);
      memcpy(&wide, &bits, sizeof wide);
      lua_pushnumber(L, wide);
      break;
    case 's':
      bits = get_bits(from, field.size, f.little);
      if (bits > length - at)
        return luaL_error(L, "unpack: the bytes end at %d, inside a value", (int)length);
      lua_pushlstring(L, bytes + at, (size_t)bits);
      at += (size_t)bits;
      break;
    case 'z':
      lua_pushlstring(L, from, take - 1);
      break;
    default:
      lua_pushlstring(L, from, take);
    }
    count++;
  }
  lua_pushinteger(L, (lua_Integer)at + 1);
  return count + 1;
}

/* pack_size(format): bytes; raises when the format has texts of any length. */
static int size_call(lua_State *L) {
  struct format f = {luaL_checkstring(L, 1), false};
  struct field field;
  lua_Integer size = 0;
  while ((field = next_field(L, &f)).letter) {
    luaL_argcheck(L, field.letter != 's' && field.letter != 'z', 1, "has a text of any length");
    size += field.size;
  }
  lua_pushinteger(L, size);
  return 1;
}

int open_pack(lua_State *L) {
  static const struct luaL_Reg functions[] = {
      {"pack", pack_call}, {"unpack", unpack_call}, {"pack_size", size_call}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
