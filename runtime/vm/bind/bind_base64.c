/* perigee.base64: RFC 4648. encode(bytes[, "url"]): the URL alphabet has no padding.
 * decode(text): either alphabet, with or without padding; or nil, message, code. */
#include "vm/bind/bindings.h"
#include "vm/isolate/task.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char for_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int encode_call(lua_State *L) {
  static const char *const forms[] = {"standard", "url", NULL};
  size_t length, n = 0;
  const unsigned char *in = (const unsigned char *)luaL_checklstring(L, 1, &length);
  int url = luaL_checkoption(L, 2, "standard", forms);
  const char *alphabet = url ? for_url : standard;
  char *out = lua_newuserdata(L, length / 3 * 4 + 5);
  for (size_t i = 0; i < length; i += 3) {
    size_t left = length - i;
    uint32_t bits = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                    (left > 2 ? in[i + 2] : 0);
    out[n++] = alphabet[bits >> 18];
    out[n++] = alphabet[bits >> 12 & 63];
    if (left > 1 || !url)
      out[n++] = left > 1 ? alphabet[bits >> 6 & 63] : '=';
    if (left > 2 || !url)
      out[n++] = left > 2 ? alphabet[bits & 63] : '=';
  }
  lua_pushlstring(L, out, n);
  return 1;
}

static int digit(unsigned char c) {
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  if (c >= 'a' && c <= 'z')
    return c - 'a' + 26;
  if (c >= '0' && c <= '9')
    return c - '0' + 52;
  return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

static int decode_call(lua_State *L) {
  size_t length, n = 0, padding = 0;
  const char *in = luaL_checklstring(L, 1, &length);
  while (length > 0 && padding < 2 && in[length - 1] == '=')
    length--, padding++;
  if (length % 4 == 1 || (padding && (length + padding) % 4 != 0))
    return push_error(L, -EINVAL, "not base64: its length is wrong");
  char *out = lua_newuserdata(L, length / 4 * 3 + 3);
  uint32_t bits = 0;
  int have = 0;
  for (size_t i = 0; i < length; i++) {
    int d = digit((unsigned char)in[i]);
    if (d < 0)
      return push_error(L, -EINVAL, "not base64: byte %zu", i + 1);
    bits = bits << 6 | (uint32_t)d;
    have += 6;
    if (have >= 8) {
      have -= 8;
      out[n++] = (char)(bits >> have);
    }
  }
  lua_pushlstring(L, out, n);
  return 1;
}

int open_base64(lua_State *L) {
  static const struct luaL_Reg functions[] = {
      {"encode", encode_call}, {"decode", decode_call}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
