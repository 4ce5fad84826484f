/* perigee.http: get, put, post, delete (url, options), request(method, url, options): a response
 * { status, reason, headers, body, url }, whose headers are found in any case. A status other than
 * 2xx and 304 is an error with the code "HTTP_503" and the response as fourth value, unless
 * `any_status`. For the options see http_options.h.
 *
 * With `outside` the body of a good response (2xx) is a handle of what lies outside Lua, for
 * set:replace_json: body:length(), body:text([bytes]), body:close().
 *
 * With `stream` the body comes by response:read([timeout]), a piece at a time, nil at the end; and
 * response:close(). open(method, url, options) is a request whose body is written as it comes:
 * request:write(text), then request:response(). */
#include <ctype.h>
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/fault.h"
#include "base/identity.h"
#include "vm/bind/bind_http.h"
#include "vm/bind/bind_io.h"
#include "vm/bind/bindings.h"
#include "vm/bind/exchange.h"
#include "vm/isolate/grant.h"
#include "vm/bind/http_options.h"
#include "vm/isolate/inside.h"
#include "vm/isolate/script.h"

/* Bodies are outside the isolate's account while they are on their way: together at most this many
 * times its memory limit. */
enum { BODIES_SHARE = 4 };

void exchange_free(struct exchange *x) {
  if (x->fetch) /* a script's has none */
    fetch_close(x->fetch);
  free(x);
}

static int push_closed(lua_State *L, void *arg) {
  return push_error(L, -ECANCELED, "another task closed the exchange");
}

static void exchange_close(struct handle *h) {
  struct exchange *x = (struct exchange *)h;
  struct task_wait *waits[] = {x->asker, x->reader, x->writer};
  handle_gone(h);
  exchange_free(x);
  for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
    if (waits[i])
      task_wake(waits[i], push_closed, NULL);
}

/* ---- the response ---- */

static void push_lower(lua_State *L, const char *name, size_t length) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (size_t i = 0; i < length; i++)
    luaL_addchar(&b, (char)tolower((unsigned char)name[i]));
  luaL_pushresult(&b);
}

/* headers[name], in any case: the table has lower-case names. */
static int header_get(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  if (lua_type(L, 2) != LUA_TSTRING)
    return 0;
  size_t length;
  const char *name = lua_tolstring(L, 2, &length);
  push_lower(L, name, length);
  lua_rawget(L, 1);
  return 1;
}

/* By lower-case names; those that came more than once are joined with ", ". */
static void push_headers(lua_State *L, const struct fetch_response *r) {
  lua_createtable(L, 0, (int)r->header_count);
  for (size_t i = 0; i < r->header_count; i++) {
    push_lower(L, r->headers[i].name, strlen(r->headers[i].name));
    lua_pushvalue(L, -1);
    lua_rawget(L, -3);
    if (lua_isnil(L, -1))
      lua_pushstring(L, r->headers[i].value);
    else
      lua_pushfstring(L, "%s, %s", lua_tostring(L, -1), r->headers[i].value);
    lua_remove(L, -2);
    lua_rawset(L, -3);
  }
  luaL_getmetatable(L, "http headers");
  lua_setmetatable(L, -2);
}

static bool status_good(int status) {
  return (status >= 200 && status < 300) || status == 304;
}

static bool body_stays(const struct exchange *x) {
  return x->outside && status_good(x->response->status);
}

static void push_response_table(lua_State *L, const struct exchange *x) {
  const struct fetch_response *r = x->response;
  lua_createtable(L, 0, 6);
  lua_pushinteger(L, r->status);
  lua_setfield(L, -2, "status");
  lua_pushstring(L, r->reason);
  lua_setfield(L, -2, "reason");
  lua_pushstring(L, r->url);
  lua_setfield(L, -2, "url");
  push_headers(L, r);
  lua_setfield(L, -2, "headers");
  if (!x->stream && !body_stays(x)) {
    lua_pushlstring(L, r->body, r->body_length);
    lua_setfield(L, -2, "body");
  }
}

static int push_status_error(lua_State *L, const struct exchange *x) {
  const struct fetch_response *r = x->response;
  lua_pushnil(L);
  lua_pushfstring(L, "%s %s: %d %s", x->method, r->url, r->status, r->reason);
  lua_pushfstring(L, "HTTP_%d", r->status);
  push_response_table(L, x);
  return 4;
}

/* Pushes the exchange's handle, the same one each time: a weak table finds the one there is. */
static void push_exchange(lua_State *L, struct exchange *x) {
  if (luaL_newmetatable(L, "http exchanges")) {
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_pushvalue(L, -1);
    lua_setmetatable(L, -2);
  }
  lua_pushlightuserdata(L, x);
  if (x->held) {
    lua_rawget(L, -2);
  } else {
    x->held = true;
    handle_push(L, &x->handle, EXCHANGE_TYPE, exchange_close);
    lua_pushvalue(L, -1);
    lua_insert(L, -3);
    lua_rawset(L, -4);
  }
  lua_remove(L, -2);
}

/* What is wrong with an answer that is this agent's own, or has come through it; NULL: nothing. */
static const char *is_own(const struct fetch_response *r) {
  for (size_t i = 0; i < r->header_count; i++) {
    const char *name = r->headers[i].name, *value = r->headers[i].value;
    if (strcasecmp(name, IDENTITY_HEADER) == 0 && strcmp(value, identity()) == 0)
      return "is this very agent: a registry is elsewhere";
    if (strcasecmp(name, VIA_HEADER) == 0 && strstr(value, identity()))
      return "has this from this very agent: agents that watch each other in a ring know nothing";
  }
  return NULL;
}

int exchange_push_outcome(lua_State *L, void *arg) {
  struct telling *telling = arg;
  struct exchange *x = telling->exchange;
  if (x->error < 0) {
    const struct fault *fault = fetch_fault(x->fetch);
    return push_error(L, x->error, "%s", fault ? fault->text : uv_strerror(x->error));
  }
  const char *own = isolate_of(L)->limits.elsewhere ? is_own(x->response) : NULL;
  if (own)
    return push_error(L, -ELOOP, "%s %s", x->response->url, own);
  if (!x->any_status && !status_good(x->response->status))
    return push_status_error(L, x);
  push_response_table(L, x);
  if (body_stays(x)) {
    telling->kept = true;
    handle_push(L, &x->handle, BODY_TYPE, exchange_close);
    lua_setfield(L, -2, "body");
    return 1;
  }
  if (!x->stream)
    return 1;
  telling->kept = true; /* also when what follows raises: the collector has it then */
  push_exchange(L, x);
  lua_setfield(L, -2, "exchange");
  luaL_getmetatable(L, "http stream");
  lua_setmetatable(L, -2);
  return 1;
}

/* Tells the asker, who is the owner until Lua is. */
static void exchange_tell(struct exchange *x) {
  struct telling telling = {x, x->held};
  struct task_wait *w = x->asker;
  x->asker = NULL;
  x->state = EXCHANGE_TOLD;
  task_wake(w, exchange_push_outcome, &telling);
  if (!telling.kept)
    exchange_free(x);
}

static void on_response(void *arg, int error, const struct fetch_response *response,
                        const struct fault *fault) {
  struct exchange *x = arg;
  x->state = EXCHANGE_ANSWERED;
  x->error = error;
  x->response = response;
  if (x->asker)
    exchange_tell(x);
}

static void ask_cancel(void *operation) {
  struct exchange *x = operation;
  x->asker = NULL;
  if (!x->held)
    exchange_free(x);
}

/* ---- asking ---- */

/* The isolate's own, for as long as its state. */
struct http {
  struct fetch_budget budget;
  char url[500], host[256]; /* the last one that was read, which most often comes again */
  uint16_t port;
};

static struct http *http_of(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, "http");
  struct http *http = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return http;
}

static int origin_of(struct http *http, const char *url, struct fault *f) {
  if (strcmp(http->url, url) == 0)
    return 0;
  http->url[0] = '\0';
  int rc = fetch_origin(url, http->host, sizeof http->host, &http->port, f);
  if (rc == 0 && strlen(url) < sizeof http->url)
    snprintf(http->url, sizeof http->url, "%s", url);
  return rc;
}

/* False with three values pushed where it may not. */
static bool may_connect(lua_State *L, struct http *http, struct fetch_options *to) {
  struct fault fault;
  if (origin_of(http, to->url, &fault) < 0) {
    push_error(L, fault.code, "%s", fault.text);
    return false;
  }
  bool may = to->unix_path ? granted_unix(L, GRANT_CONNECT, to->unix_path, &to->unix_root)
                           : granted_host(L, GRANT_CONNECT, http->host, http->port);
  if (!may)
    push_ungranted(L);
  return may;
}

/* False with three values pushed where it may not be asked. */
static bool read_request(lua_State *L, const char *method, const char *url, int index, bool send,
                         struct http_options *out) {
  lua_settop(L, index);
  http_options_read(L, index, method, url, send, out);
  struct http *http = http_of(L);
  out->fetch.budget = &http->budget;
  wait_check(L);
  if (!may_connect(L, http, &out->fetch))
    return false;
  if (!tls_granted(L, &out->fetch.tls)) {
    push_ungranted(L);
    return false;
  }
  out->fetch.stay = !granted_everywhere(L);
  return true;
}

/* NULL with three values pushed where it cannot start. */
static struct exchange *exchange_start(lua_State *L, const struct http_options *options) {
  struct fault fault;
  struct exchange *x = calloc(1, sizeof *x);
  if (!x) {
    push_error(L, -ENOMEM, "out of memory");
    return NULL;
  }
  x->any_status = options->any_status;
  x->stream = options->fetch.stream;
  x->outside = options->outside;
  snprintf(x->method, sizeof x->method, "%s", options->fetch.method);
  int rc = fetch_start(io_of(L), &options->fetch, on_response, x, &x->fetch, &fault);
  if (rc < 0) {
    free(x);
    push_error(L, outside_code(rc), "%s", fault.text);
    return NULL;
  }
  return x;
}

static int ask(lua_State *L, const char *method, const char *url, int index) {
  struct http_options options;
  if (!read_request(L, method, url, index, false, &options))
    return 3;
  if (scripted(L))
    return script_http(L, "http", &options);
  struct exchange *x = exchange_start(L, &options);
  return x ? task_wait(L, x, ask_cancel, &x->asker) : 3;
}

static int get_call(lua_State *L) {
  return ask(L, "GET", luaL_checkstring(L, 1), 2);
}

static int put_call(lua_State *L) {
  return ask(L, "PUT", luaL_checkstring(L, 1), 2);
}

static int post_call(lua_State *L) {
  return ask(L, "POST", luaL_checkstring(L, 1), 2);
}

static int delete_call(lua_State *L) {
  return ask(L, "DELETE", luaL_checkstring(L, 1), 2);
}

static int request_call(lua_State *L) {
  return ask(L, luaL_checkstring(L, 1), luaL_checkstring(L, 2), 3);
}

static int open_call(lua_State *L) {
  const char *method = luaL_checkstring(L, 1), *url = luaL_checkstring(L, 2);
  struct http_options options;
  if (!read_request(L, method, url, 3, true, &options))
    return 3;
  if (scripted(L))
    return script_http(L, "open", &options);
  struct exchange *x = exchange_start(L, &options);
  if (!x)
    return 3;
  push_exchange(L, x);
  return 1;
}

/* request:response(): the body is complete; waits for what comes of it. Once. */
static int request_response(lua_State *L) {
  struct exchange *x = (struct exchange *)handle_check(L, 1, EXCHANGE_TYPE);
  if (x->state == EXCHANGE_TOLD)
    return push_error(L, -EINVAL, "its response was taken already");
  if (x->asker)
    return push_error(L, -EBUSY, "another task waits for this response");
  if (x->state == EXCHANGE_ANSWERED) { /* before the body was complete */
    x->state = EXCHANGE_TOLD;
    return exchange_push_outcome(L, &(struct telling){x, true});
  }
  wait_check(L);
  task_keep(L, 1);
  fetch_finish(x->fetch);
  return task_wait(L, x, ask_cancel, &x->asker);
}

/* Makes a metatable whose __index is on top, which it pops. */
static void push_metatable(lua_State *L, const char *name) {
  luaL_newmetatable(L, name);
  lua_insert(L, -2);
  lua_setfield(L, -2, "__index");
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

/* Keeps perigee.NAMESPACE's function for http_options.c: what a plugin does to its `perigee` does
 * not change what http does. */
static void keep_function(lua_State *L, lua_CFunction open, const char *name, const char *kept) {
  lua_pushcfunction(L, open);
  lua_call(L, 0, 1);
  lua_getfield(L, -1, name);
  lua_setfield(L, LUA_REGISTRYINDEX, kept);
  lua_pop(L, 1);
}

int open_http(lua_State *L) {
  static const struct luaL_Reg functions[] = {
      {"get", get_call},         {"put", put_call},   {"post", post_call}, {"delete", delete_call},
      {"request", request_call}, {"open", open_call}, {NULL, NULL}};
  static const struct luaL_Reg stream[] = {
      {"read", http_stream_read}, {"close", http_stream_close}, {NULL, NULL}};
  static const struct luaL_Reg body[] = {
      {"length", http_body_length}, {"text", http_body_text}, {NULL, NULL}};
  static const struct luaL_Reg request[] = {
      {"write", http_request_write}, {"response", request_response}, {NULL, NULL}};
  struct http *http = lua_newuserdata(L, sizeof *http);
  *http = (struct http){.budget.limit = BODIES_SHARE * isolate_of(L)->limits.memory_hard};
  lua_setfield(L, LUA_REGISTRYINDEX, "http");
  keep_function(L, open_url, "query", "http query");
  keep_function(L, open_json, "encode", "http json");
  lua_pushcfunction(L, header_get);
  push_metatable(L, "http headers");
  lua_newtable(L);
  luaL_register(L, NULL, stream);
  push_metatable(L, "http stream");
  handle_type(L, EXCHANGE_TYPE, request);
  handle_type(L, BODY_TYPE, body);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
