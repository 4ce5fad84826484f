/* bodies that are not texts: those that stay outside Lua, and those that come and go piece by
 * piece. */
#include <errno.h>
#include <lauxlib.h>

#include "base/fault.h"
#include "vm/bind/bind_http.h"
#include "vm/bind/bind_io.h"
#include "vm/bind/bindings.h"
#include "vm/bind/exchange.h"
#include "vm/isolate/inside.h"

/* ---- outside Lua: the exchange that brought it ---- */

const char *http_body_check(lua_State *L, int index, size_t *length) {
  const struct exchange *x = (const struct exchange *)handle_check(L, index, BODY_TYPE);
  *length = x->response->body_length;
  return x->response->body;
}

int http_body_length(lua_State *L) {
  size_t length;
  http_body_check(L, 1, &length);
  lua_pushnumber(L, (lua_Number)length);
  return 1;
}

int http_body_text(lua_State *L) {
  size_t length;
  const char *body = http_body_check(L, 1, &length);
  lua_Number most = luaL_optnumber(L, 2, (lua_Number)length);
  lua_pushlstring(L, body, most >= 0 && most < (lua_Number)length ? (size_t)most : length);
  return 1;
}

/* ---- piece by piece ---- */

static struct exchange *check_exchange(lua_State *L, int index) {
  return (struct exchange *)handle_check(L, index, EXCHANGE_TYPE);
}

struct piece {
  struct exchange *exchange;
  ssize_t n;
  const char *data;
};

static int push_piece(lua_State *L, void *arg) {
  const struct piece *p = arg;
  if (p->n < 0) {
    const struct fault *fault = fetch_fault(p->exchange->fetch);
    return push_error(L, (int)p->n, "%s", fault ? fault->text : uv_strerror((int)p->n));
  }
  if (p->n == 0)
    lua_pushnil(L);
  else
    lua_pushlstring(L, p->data, (size_t)p->n);
  return 1;
}

static void on_piece(void *arg, ssize_t n, const char *data) {
  struct exchange *x = arg;
  struct task_wait *w = x->reader;
  x->reader = NULL;
  task_wake(w, push_piece, &(struct piece){x, n, data});
}

static void read_cancel(void *operation) {
  struct exchange *x = operation;
  x->reader = NULL;
  fetch_read_cancel(x->fetch);
}

int http_stream_read(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  lua_getfield(L, 1, "exchange");
  struct exchange *x = check_exchange(L, 3);
  uint64_t timeout = argument_ms(L, 2, 0);
  wait_check(L);
  task_keep(L, 3);
  int rc = fetch_read(x->fetch, timeout, on_piece, x);
  if (rc < 0)
    return push_error(L, rc, "%s",
                      rc == -EBUSY ? "another task reads this response" : uv_strerror(rc));
  return task_wait(L, x, read_cancel, &x->reader);
}

int http_stream_close(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_getfield(L, 1, "exchange");
  struct handle **udata = luaL_checkudata(L, -1, EXCHANGE_TYPE);
  if (*udata)
    handle_close(*udata);
  return 0;
}

static int push_written(lua_State *L, void *arg) {
  int status = *(int *)arg;
  if (status < 0)
    return push_error(L, status, "the server has ended the exchange: ask for its response");
  lua_pushboolean(L, 1);
  return 1;
}

static void on_written(void *arg, int status) {
  struct exchange *x = arg;
  struct task_wait *w = x->writer;
  x->writer = NULL;
  task_wake(w, push_written, &status);
}

static void write_cancel(void *operation) {
  struct exchange *x = operation;
  x->writer = NULL;
  fetch_write_cancel(x->fetch);
}

int http_request_write(lua_State *L) {
  struct exchange *x = check_exchange(L, 1);
  size_t length;
  const char *text = luaL_checklstring(L, 2, &length);
  wait_check(L);
  task_keep(L, 1);
  int rc = fetch_write(x->fetch, text, length, on_written, x);
  if (rc == -EPIPE)
    return push_written(L, &rc);
  if (rc < 0)
    return push_error(
        L, rc, "%s", rc == -EBUSY ? "another task writes this request" : "the request is complete");
  return task_wait(L, x, write_cancel, &x->writer);
}
