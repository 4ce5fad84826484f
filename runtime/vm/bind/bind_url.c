/* perigee.url: parse, encode, decode, query. RFC 3986; names of parts are its own. */
#include "vm/bind/bindings.h"
#include "vm/isolate/task.h"

#include <ctype.h>
#include <errno.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Letters, digits and -._~ stay; all else becomes %XX. */
static void add_encoded(luaL_Buffer *b, const char *text, size_t length) {
  static const char hex[] = "0123456789ABCDEF";
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)text[i];
    if ((c < 128 && isalnum(c)) || (c && strchr("-._~", c))) {
      luaL_addchar(b, (char)c);
    } else {
      luaL_addchar(b, '%');
      luaL_addchar(b, hex[c >> 4]);
      luaL_addchar(b, hex[c & 15]);
    }
  }
}

static int encode_call(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  add_encoded(&b, text, length);
  luaL_pushresult(&b);
  return 1;
}

/* decode(text): %XX becomes the byte; or nil, message, code. `+` stays a plus. */
static int decode_call(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (size_t i = 0; i < length; i++) {
    if (text[i] != '%') {
      luaL_addchar(&b, text[i]);
      continue;
    }
    if (i + 2 >= length || !isxdigit((unsigned char)text[i + 1]) ||
        !isxdigit((unsigned char)text[i + 2]))
      return push_error(L, -EINVAL, "byte %zu: a %% without two hexadecimal digits", i + 1);
    char digits[3] = {text[i + 1], text[i + 2], '\0'};
    luaL_addchar(&b, (char)strtol(digits, NULL, 16));
    i += 2;
  }
  luaL_pushresult(&b);
  return 1;
}

static int compare_text(lua_State *L) {
  lua_pushboolean(L, strcmp(luaL_checkstring(L, 1), luaL_checkstring(L, 2)) < 0);
  return 1;
}

/* Adds key=value for the scalar on top of the stack; pops it. */
static void add_pair(lua_State *L, int pairs, const char *key) {
  size_t length, key_length = strlen(key);
  luaL_Buffer b;
  const char *value;
  if (lua_type(L, -1) == LUA_TBOOLEAN) {
    value = lua_toboolean(L, -1) ? "true" : "false";
    length = strlen(value);
  } else if (lua_isstring(L, -1)) {
    value = lua_tolstring(L, -1, &length);
  } else {
    luaL_error(L, "query: %s is a %s", key, luaL_typename(L, -1));
    return;
  }
  luaL_buffinit(L, &b);
  add_encoded(&b, key, key_length);
  luaL_addchar(&b, '=');
  add_encoded(&b, value, length);
  luaL_pushresult(&b);
  lua_rawseti(L, pairs, (int)lua_objlen(L, pairs) + 1);
  lua_pop(L, 1);
}

/* query{ a = 1, b = { "x", "y" } }: "a=1&b=x&b=y", keys sorted; false is "false". */
static int query_call(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_newtable(L); /* 2: keys */
  lua_newtable(L); /* 3: pairs */
  lua_pushnil(L);
  while (lua_next(L, 1)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING)
      return luaL_error(L, "query: a key is a %s", luaL_typename(L, -1));
    lua_pushvalue(L, -1);
    lua_rawseti(L, 2, (int)lua_objlen(L, 2) + 1);
  }
  lua_getfield(L, lua_upvalueindex(1), "sort");
  lua_pushvalue(L, 2);
  lua_pushcfunction(L, compare_text);
  lua_call(L, 2, 0);
  int count = (int)lua_objlen(L, 2);
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, 2, i);
    const char *key = lua_tostring(L, -1);
    lua_getfield(L, 1, key);
    if (lua_istable(L, -1)) {
      int values = lua_gettop(L), many = (int)lua_objlen(L, values);
      for (int j = 1; j <= many; j++) {
        lua_rawgeti(L, values, j);
        add_pair(L, 3, key);
      }
      lua_pop(L, 1);
    } else {
      add_pair(L, 3, key);
    }
    lua_pop(L, 1);
  }
  lua_getfield(L, lua_upvalueindex(1), "concat");
  lua_pushvalue(L, 3);
  lua_pushliteral(L, "&");
  lua_call(L, 2, 1);
  return 1;
}

static void set_part(lua_State *L, const char *name, const char *from, const char *to) {
  lua_pushlstring(L, from, (size_t)(to - from));
  lua_setfield(L, -2, name);
}

static const char *find_any(const char *from, const char *end, const char *stops) {
  while (from < end && !strchr(stops, *from))
    from++;
  return from;
}

/* Sets user, password, host and port; false when the host or the port is none. */
static bool parse_authority(lua_State *L, const char *from, const char *end) {
  const char *at = NULL, *host_end, *port = NULL;
  for (const char *p = from; p < end; p++)
    at = *p == '@' ? p : at;
  if (at) {
    const char *colon = find_any(from, at, ":");
    set_part(L, "user", from, colon);
    if (colon < at)
      set_part(L, "password", colon + 1, at);
    from = at + 1;
  }
  if (from < end && *from == '[') {
    host_end = find_any(from, end, "]");
    if (host_end == end)
      return false;
    set_part(L, "host", from + 1, host_end);
    host_end++;
    if (host_end < end && *host_end != ':')
      return false;
  } else {
    host_end = find_any(from, end, ":");
    set_part(L, "host", from, host_end);
  }
  if (host_end == from)
    return false;
  if (host_end < end)
    port = host_end + 1;
  if (port && port < end) {
    long number = 0;
    for (const char *p = port; p < end; p++) {
      if (!isdigit((unsigned char)*p) || (number = number * 10 + *p - '0') > 65535)
        return false;
    }
    lua_pushinteger(L, number);
    lua_setfield(L, -2, "port");
  }
  return true;
}

/* parse(url): { scheme, user, password, host, port, path, query, fragment }, what is not there nil
 * (the path ""); nothing decoded. nil, message, code for what is no absolute URL. */
static int parse_call(lua_State *L) {
  size_t length;
  const char *url = luaL_checklstring(L, 1, &length), *end = url + length, *p = url;
  if (!isalpha((unsigned char)*p) || memchr(url, '\0', length))
    return push_error(L, -EINVAL, "not a URL: \"%s\"", url);
  while (p < end && (isalnum((unsigned char)*p) || strchr("+-.", *p)))
    p++;
  if (end - p < 3 || strncmp(p, "://", 3) != 0)
    return push_error(L, -EINVAL, "not a URL, which begins with a scheme and \"://\": \"%s\"", url);
  lua_newtable(L);
  set_part(L, "scheme", url, p);
  const char *authority = p + 3, *path = find_any(authority, end, "/?#");
  if (path > authority && !parse_authority(L, authority, path))
    return push_error(L, -EINVAL, "not a host and a port: \"%.*s\"", (int)(path - authority),
                      authority);
  const char *query = find_any(path, end, "?#");
  set_part(L, "path", path, query);
  const char *fragment = find_any(query, end, "#");
  if (query < end && *query == '?')
    set_part(L, "query", query + 1, fragment);
  if (fragment < end)
    set_part(L, "fragment", fragment + 1, end);
  return 1;
}

int open_url(lua_State *L) {
  static const struct luaL_Reg functions[] = {
      {"encode", encode_call}, {"decode", decode_call}, {"parse", parse_call}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  lua_getglobal(L, "table");
  lua_pushcclosure(L, query_call, 1);
  lua_setfield(L, -2, "query");
  return 1;
}
