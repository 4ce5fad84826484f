#include "vm/bind/bind_answer.h"

#include "base/fault.h"
#include "base/value.h"
#include "vm/bind/bind_io.h"
#include "vm/isolate/inside.h"
#include "vm/isolate/border.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>

enum { WRITE_MAX = 1 << 20 };
static const char TYPE[] = "request";

struct answer_binding {
  struct handle handle;               /* first: handle_check gives it */
  const struct answer_events *events; /* NULL: revoked */
  void *arg;
  struct task_wait *room; /* a write that waits */
  bool started, closed;
};

static void settle(struct answer_binding *b) {
  if (b->closed && !b->events)
    free(b);
}

static void on_close(struct handle *h) {
  struct answer_binding *b = (struct answer_binding *)h;
  handle_gone(h);
  b->closed = true;
  settle(b);
}

static struct answer_binding *check(lua_State *L) {
  return (struct answer_binding *)handle_check(L, lua_upvalueindex(1), TYPE);
}

static int failed(lua_State *L, const struct fault *f) {
  return push_error(L, f->code, "%s", f->text);
}

static int start_call(lua_State *L) {
  struct answer_binding *b = check(L);
  struct value *headers = NULL;
  struct fault f = {0};
  int status = (int)luaL_checkinteger(L, 2);
  luaL_argcheck(L, status >= 200 && status <= 599, 2, "a status from 200 to 599");
  if (b->started)
    return luaL_error(L, "request:start: the answer has begun already");
  lua_settop(L, 3);
  if (!lua_isnil(L, 3) && read_value(L, 3, &headers, &f) != 0)
    return luaL_error(L, "request:start: headers: %s", f.text);
  int r = b->events->start(b->arg, status, headers, &f);
  value_unref(headers);
  if (r != 0)
    return failed(L, &f);
  b->started = true;
  lua_pushboolean(L, true);
  return 1;
}

static void write_cancel(void *binding) {
  struct answer_binding *b = binding;
  b->room = NULL;
}

static int write_call(lua_State *L) {
  struct answer_binding *b = check(L);
  struct fault f = {0};
  size_t length;
  const char *text = luaL_checklstring(L, 2, &length);
  luaL_argcheck(L, length <= WRITE_MAX, 2, "at most 1 MiB at once");
  wait_check(L);
  if (b->room)
    return luaL_error(L, "request:write: another task is writing");
  if (!b->started && b->events->start(b->arg, 200, NULL, &f) != 0)
    return failed(L, &f);
  b->started = true;
  if (length == 0) {
    lua_pushboolean(L, true);
    return 1;
  }
  if (b->events->write(b->arg, text, length, &f) != 0)
    return failed(L, &f);
  return task_wait(L, b, write_cancel, &b->room);
}

static int push_true(lua_State *L, void *arg) {
  (void)arg;
  lua_pushboolean(L, true);
  return 1;
}

void answer_binding_room(struct answer_binding *b) {
  struct task_wait *room = b->room;
  b->room = NULL;
  if (room)
    task_wake(room, push_true, NULL);
}

void answer_binding_revoke(struct answer_binding *b) {
  b->events = NULL;
  if (b->closed)
    settle(b);
  else
    handle_close(&b->handle);
}

struct answer_binding *push_answering(lua_State *L, const struct answer_events *events, void *arg) {
  luaL_getmetatable(L, TYPE);
  if (lua_isnil(L, -1))
    handle_type(L, TYPE, NULL);
  lua_pop(L, 1);
  struct answer_binding *b = calloc(1, sizeof *b);
  if (!b) {
    luaL_error(L, "out of memory");
    return NULL;
  }
  b->arg = arg; /* without events: what raises below frees it */
  handle_push(L, &b->handle, TYPE, on_close);
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, start_call, 1);
  lua_setfield(L, -3, "start");
  lua_pushcclosure(L, write_call, 1);
  lua_setfield(L, -2, "write");
  b->events = events;
  return b;
}
