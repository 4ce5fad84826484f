#include "vm/bind/http_options.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "vm/bind/bind_io.h"
#include "vm/bind/bindings.h"

enum { TIMEOUT_MS = 30000, LIMIT_MAX = 256 * 1024 * 1024, HEADERS_MAX = 200 };

/* Replaces the value on top by what perigee.NAMESPACE's function makes of it: a text. */
static const char *convert(lua_State *L, const char *kept, const char *option, size_t *length) {
  lua_getfield(L, LUA_REGISTRYINDEX, kept);
  lua_insert(L, -2);
  lua_call(L, 1, 2);
  if (lua_isnil(L, -2))
    luaL_error(L, "%s: %s", option, lua_tostring(L, -1));
  lua_pop(L, 1);
  return lua_tolstring(L, -1, length);
}

/* The URL with its query, before its fragment; what it is made of stays on the stack. */
static const char *read_url(lua_State *L, int index, const char *url) {
  lua_getfield(L, index, "query");
  if (lua_isnil(L, -1))
    return url;
  luaL_checktype(L, -1, LUA_TTABLE);
  const char *query = convert(L, "http query", "query", NULL);
  const char *fragment = strchrnul(url, '#');
  lua_pushlstring(L, url, (size_t)(fragment - url));
  lua_pushfstring(L, "%s%s%s%s", lua_tostring(L, -1), strchr(lua_tostring(L, -1), '?') ? "&" : "?",
                  query, fragment);
  return lua_tostring(L, -1);
}

/* ---- headers ---- */

struct lines {
  lua_State *L;
  int keep; /* index of the table that keeps the texts */
  const char **items;
  int count;
};

/* Adds "NAME: VALUE". A value may not bring lines of its own. */
static void add_line(struct lines *lines, const char *name, const char *value) {
  if (lines->count == HEADERS_MAX)
    luaL_error(lines->L, "headers: more than %d", HEADERS_MAX);
  if (!*name || strpbrk(name, ":\r\n") || strpbrk(value, "\r\n"))
    luaL_error(lines->L, "headers: \"%s\" cannot be a header", name);
  lua_pushfstring(lines->L, "%s: %s", name, value);
  lines->items[lines->count++] = lua_tostring(lines->L, -1);
  lua_rawseti(lines->L, lines->keep, lines->count);
}

static void add_header_table(struct lines *lines) {
  lua_State *L = lines->L;
  int from = lua_gettop(L);
  luaL_checktype(L, from, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, from)) {
    if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1))
      luaL_error(L, "headers: { Name = \"value\" } expected");
    lua_pushvalue(L, -1); /* a number turns to text in a copy, not under lua_next */
    add_line(lines, lua_tostring(L, -3), lua_tostring(L, -1));
    lua_pop(L, 2);
  }
}

static const char *const *read_headers(lua_State *L, int index, bool json) {
  struct lines lines = {.L = L};
  const char *bearer = option_text(L, index, "bearer"), *etag = option_text(L, index, "etag");
  lua_getfield(L, index, "headers");
  int given = lua_gettop(L);
  if (!json && !bearer && !etag && lua_isnil(L, given))
    return NULL;
  lua_newtable(L);
  lines.keep = lua_gettop(L);
  lines.items = lua_newuserdata(L, (HEADERS_MAX + 1) * sizeof *lines.items);
  if (json)
    add_line(&lines, "Content-Type", "application/json");
  if (bearer) {
    lua_pushfstring(L, "Bearer %s", bearer);
    add_line(&lines, "Authorization", lua_tostring(L, -1));
    lua_pop(L, 1);
  }
  if (etag)
    add_line(&lines, "If-None-Match", etag);
  lua_pushvalue(L, given);
  if (!lua_isnil(L, -1))
    add_header_table(&lines);
  lua_pop(L, 1);
  lines.items[lines.count] = NULL;
  return lines.items;
}

/* ---- the rest ---- */

static bool read_body(lua_State *L, int index, bool send, struct fetch_options *out) {
  lua_getfield(L, index, "json");
  lua_getfield(L, index, "body");
  bool json = !lua_isnil(L, -2), body = !lua_isnil(L, -1);
  if ((json && body) || (send && (json || body)))
    luaL_error(L, send ? "a request that is written has no json or body"
                       : "json and body: one of them");
  if (body) {
    if (lua_type(L, -1) != LUA_TSTRING)
      luaL_error(L, "body: text expected, not a %s", luaL_typename(L, -1));
    out->body = lua_tolstring(L, -1, &out->body_length);
  } else if (json) {
    lua_pop(L, 1);
    out->body = convert(L, "http json", "json", &out->body_length);
  }
  return json;
}

static void read_redirects(lua_State *L, int index, struct fetch_options *out) {
  lua_getfield(L, index, "redirects");
  bool never = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
  lua_pop(L, 1);
  double n = never ? 0 : option_integer(L, index, "redirects", 0, 100, FETCH_REDIRECTS);
  out->no_redirects = n == 0;
  out->redirects = (unsigned)n;
}

enum {
  QUERY,
  HEADERS,
  BEARER,
  ETAG,
  JSON,
  BODY,
  TIMEOUT,
  CONNECT_TIMEOUT,
  LIMIT,
  REDIRECTS,
  ANY_STATUS,
  FRESH,
  STREAM,
  OUTSIDE,
  UNIX,
  TLS,
  OPTIONS
};
static const char *const known[OPTIONS + 1] = {[QUERY] = "query",
                                               [HEADERS] = "headers",
                                               [BEARER] = "bearer",
                                               [ETAG] = "etag",
                                               [JSON] = "json",
                                               [BODY] = "body",
                                               [TIMEOUT] = "timeout",
                                               [CONNECT_TIMEOUT] = "connect_timeout",
                                               [LIMIT] = "limit",
                                               [REDIRECTS] = "redirects",
                                               [ANY_STATUS] = "any_status",
                                               [FRESH] = "fresh",
                                               [STREAM] = "stream",
                                               [OUTSIDE] = "outside",
                                               [UNIX] = "unix",
                                               [TLS] = "tls"};

/* Most requests have few of the options: only those are looked up. */
static void read_given(lua_State *L, int index, unsigned given, struct http_options *out) {
  struct fetch_options *f = &out->fetch;
  struct {
    int option;
    bool *flag;
  } flags[] = {{ANY_STATUS, &out->any_status},
               {OUTSIDE, &out->outside},
               {STREAM, &f->stream},
               {FRESH, &f->fresh}};
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
    if (given & 1u << flags[i].option)
      *flags[i].flag = option_flag(L, index, known[flags[i].option]);
  if (given & 1u << TIMEOUT)
    f->timeout_ms = option_ms(L, index, "timeout", f->timeout_ms);
  if (given & 1u << CONNECT_TIMEOUT)
    f->connect_timeout_ms = option_ms(L, index, "connect_timeout", f->connect_timeout_ms);
  if (given & 1u << LIMIT)
    f->limit = (size_t)option_integer(L, index, "limit", 1, LIMIT_MAX, FETCH_LIMIT);
  if (given & 1u << UNIX)
    f->unix_path = option_text(L, index, "unix");
  if (given & 1u << REDIRECTS)
    read_redirects(L, index, f);
  if (given & 1u << TLS)
    option_tls(L, index, "tls", &f->tls);
}

void http_options_read(lua_State *L, int index, const char *method, const char *url, bool send,
                       struct http_options *out) {
  struct fetch_options *f = &out->fetch;
  *out = (struct http_options){.fetch = {.method = method,
                                         .url = url,
                                         .send = send,
                                         .timeout_ms = TIMEOUT_MS,
                                         .connect_timeout_ms = FETCH_CONNECT_TIMEOUT_MS,
                                         .limit = FETCH_LIMIT,
                                         .redirects = FETCH_REDIRECTS}};
  if (lua_isnoneornil(L, index))
    return;
  unsigned given = options_check(L, index, known);
  luaL_checkstack(L, 20, "options");
  read_given(L, index, given, out);
  if (out->outside && (send || f->stream))
    luaL_error(L, "outside: not of a stream, nor of a request that is written");
  bool json = given & (1u << JSON | 1u << BODY) && read_body(L, index, send, f);
  if (json || given & (1u << HEADERS | 1u << BEARER | 1u << ETAG))
    f->headers = read_headers(L, index, json);
  if (given & 1u << QUERY)
    f->url = read_url(L, index, url);
}
