/* script_http: perigee.http in a test: the request as a table for the script, and what the script
 * answers as the response that the plugin is used to. */
#include <ctype.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/bind/bind_io.h"
#include "vm/bind/bindings.h"
#include "vm/bind/exchange.h"
#include "vm/bind/http_options.h"
#include "vm/isolate/script.h"

static void set_text(lua_State *L, const char *name, const char *text, size_t length) {
  if (!text)
    return;
  lua_pushlstring(L, text, length);
  lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name, bool flag) {
  if (!flag)
    return;
  lua_pushboolean(L, true);
  lua_setfield(L, -2, name);
}

/* By names in lower case. */
static void set_headers(lua_State *L, const char *const *lines) {
  lua_newtable(L);
  for (; lines && *lines; lines++) {
    size_t length = strcspn(*lines, ":");
    luaL_Buffer name;
    luaL_buffinit(L, &name);
    for (size_t i = 0; i < length; i++)
      luaL_addchar(&name, (char)tolower((unsigned char)(*lines)[i]));
    luaL_pushresult(&name);
    lua_pushstring(L, *lines + length + strlen(": "));
    lua_rawset(L, -3);
  }
  lua_setfield(L, -2, "headers");
}

/* Asks the script's `verb` with the request as a table. */
int script_http(lua_State *L, const char *verb, const struct http_options *options) {
  const struct fetch_options *o = &options->fetch;
  char late[300];
  int waits;
  lua_createtable(L, 0, 8);
  set_text(L, "method", o->method, strlen(o->method));
  set_text(L, "url", o->url, strlen(o->url));
  set_text(L, "body", o->body, o->body_length);
  set_text(L, "unix", o->unix_path, o->unix_path ? strlen(o->unix_path) : 0);
  set_flag(L, "stream", o->stream);
  set_flag(L, "any_status", options->any_status);
  set_flag(L, "outside", options->outside);
  set_headers(L, o->headers);
  if ((waits = script_ask_at_once(L, verb, 1)) != 0)
    return waits;
  snprintf(late, sizeof late, "%s %s: no response in time", o->method, o->url);
  return script_ask_task(L, verb, 1, o->timeout_ms, late);
}

/* A script's exchange: it has its response itself. */
struct scripted_exchange {
  struct exchange exchange; /* first: it is freed as one */
  struct fetch_response response;
  char body[];
};

/* A body that stays outside needs an exchange that lasts; else Lua has a copy of all of it. */
static int push_scripted(lua_State *L, struct exchange *asked, struct fetch_response *r) {
  if (!asked->outside) {
    asked->response = r;
    return exchange_push_outcome(L, &(struct telling){asked, false});
  }
  struct scripted_exchange *s = calloc(1, sizeof *s + r->body_length + FETCH_PADDING);
  if (!s)
    return luaL_error(L, "out of memory");
  memcpy(s->body, r->body, r->body_length);
  s->response = *r;
  s->response.body = s->body;
  s->exchange = *asked;
  s->exchange.response = &s->response;
  struct telling telling = {&s->exchange, false};
  int pushed = exchange_push_outcome(L, &telling);
  if (!telling.kept)
    exchange_free(&s->exchange);
  return pushed;
}

/* What a call returns for response_call(request, { status, headers = { ... } }, reason, body): each
 * may be left out. */
static int response_call(lua_State *L) {
  struct fetch_header headers[100];
  struct fetch_response r = {.headers = headers};
  struct exchange asked = {0};
  lua_getfield(L, 1, "method");
  strncpy(asked.method, luaL_checkstring(L, -1), sizeof asked.method - 1);
  lua_getfield(L, 1, "url");
  r.url = luaL_checkstring(L, -1);
  asked.any_status = option_flag(L, 1, "any_status");
  asked.outside = option_flag(L, 1, "outside");
  r.status = (int)option_integer(L, 2, "status", 100, 599, 200);
  r.reason = luaL_optstring(L, 3, "");
  r.body = luaL_optlstring(L, 4, "", &r.body_length);
  lua_getfield(L, 2, "headers");
  if (lua_isnil(L, -1))
    return push_scripted(L, &asked, &r);
  luaL_checktype(L, -1, LUA_TTABLE);
  int from = lua_gettop(L);
  lua_pushnil(L);
  while (r.header_count < 100 && lua_next(L, from)) { /* names and values stay on the stack */
    headers[r.header_count].name = luaL_checkstring(L, -2);
    headers[r.header_count++].value = luaL_checkstring(L, -1);
    luaL_checkstack(L, 4, "headers");
    lua_pushvalue(L, -2);
  }
  return push_scripted(L, &asked, &r);
}

int open_http_response(lua_State *L) {
  lua_pushcfunction(L, response_call);
  return 1;
}
