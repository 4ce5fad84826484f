#include "vm/plugin/console.h"
#include "base/buf.h"
#include "vm/bind/bindings.h"
#include "vm/plugin/plugin_inside.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

struct evaluation {
  struct task_watch watch; /* first: on_ended gets it */
  struct isolate *isolate;
  struct task *task;
  evaluated_fn done;
  void *arg;
};

struct question {
  const struct plugin *plugin;
  const char *code;
  int64_t deadline_ns;
  struct task *task;
  struct buf *names;
  struct fault *fault;
};

/* In compiled code only the fuel that was written into it ends a loop (fuel.h), and neither the
 * console nor what is typed there has any. */
static int refuse_compiled(const struct isolate *iso, struct fault *f) {
  return iso->limits.compiled
             ? fault_set(f, -ENOTSUP, "%s picks, so its code is compiled: nothing else runs there",
                         iso->name)
             : 0;
}

/* Pushes the isolate's console, made when it is first asked for: see lua/perigee/console.lua. */
static void push_console(lua_State *L, const struct plugin *plugin) {
  lua_getfield(L, LUA_REGISTRYINDEX, "console");
  if (!lua_isnil(L, -1))
    return;
  push_module(L, "perigee.console");
  lua_getfield(L, -1, "new");
  if (plugin)
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->editions[NOW]->ref);
  else
    lua_pushnil(L);
  lua_call(L, 1, 1);
  lua_replace(L, -3);
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, "console");
}

/* The compiler says that it came to the end where it expected more. */
static bool is_incomplete(const char *message) {
  static const char end[] = "near '<eof>'";
  size_t length = strlen(message);
  return length >= sizeof end - 1 && strcmp(message + length - (sizeof end - 1), end) == 0;
}

/* The code's very first token is what it stumbles over: it was meant as an expression. */
static bool is_no_statement(const char *message, const char *code) {
  const char *near = strstr(message, "unexpected symbol near '");
  code += strspn(code, " \t\r\n");
  return near && near[strlen("unexpected symbol near '")] == *code;
}

/* Pushes the chunk, and from which of its values on they are to be shown: those of an expression,
 * or else what the statements return. */
static int compile(lua_State *L, const struct question *q) {
  struct buf *expression = push_buf(L);
  buf_format(expression, "return nil,%s", q->code);
  if (expression->failed)
    return fault_set(q->fault, -ENOMEM, "out of memory");
  if (luaL_loadbufferx(L, expression->data, expression->length, "=eval", "t") == 0) {
    lua_pushinteger(L, 2);
    return 0;
  }
  if (luaL_loadbufferx(L, q->code, strlen(q->code), "=eval", "t") == 0) {
    lua_pushinteger(L, 1);
    return 0;
  }
  const char *first = lua_tostring(L, -2), *message = lua_tostring(L, -1);
  if (is_no_statement(message, q->code))
    message = first;
  return fault_set(q->fault, is_incomplete(message) ? -ENODATA : -EINVAL, "%s", message);
}

static int start_body(lua_State *L, void *arg) {
  struct question *q = arg;
  struct task_start start = {.deadline_ns = q->deadline_ns};
  push_console(L, q->plugin);
  int console = lua_gettop(L), code = compile(L, q);
  if (code != 0)
    return code;
  lua_getfield(L, console, "environment");
  lua_setfenv(L, -3);
  lua_getfield(L, console, "evaluate");
  lua_insert(L, -3);
  q->task = task_spawn(L, 2, &start);
  if (!q->task)
    return fault_set(q->fault, -EAGAIN, "too many tasks");
  task_ref(q->task);
  return 0;
}

static void on_ended(struct task_watch *w, struct task *t) {
  struct evaluation *e = (struct evaluation *)w;
  struct fault fault = {0};
  const char *text = "";
  int status = task_status(t, &text);
  lua_State *L = status == 0 ? task_stack(t) : NULL;
  if (status != 0)
    fault_set(&fault, status, "%s", text);
  else if (!lua_toboolean(L, 1))
    status = fault_set(&fault, -EFAULT, "%s", lua_tostring(L, 3));
  e->done(e->arg, status, L ? lua_tostring(L, 2) : "", &fault);
  task_unref(t);
  free(e);
}

int evaluation_start(struct isolate *iso, const struct plugin *plugin, const char *code,
                     int64_t deadline_ns, evaluated_fn done, void *arg, struct evaluation **out,
                     struct fault *f) {
  struct question q = {.plugin = plugin, .code = code, .deadline_ns = deadline_ns, .fault = f};
  int status = refuse_compiled(iso, f);
  struct evaluation *e = status == 0 ? calloc(1, sizeof *e) : NULL;
  if (status == 0)
    status = e ? isolate_enter(iso, start_body, &q, f) : fault_set(f, -ENOMEM, "out of memory");
  if (status != 0) {
    free(e);
    return status;
  }
  *e = (struct evaluation){.isolate = iso, .task = q.task, .done = done, .arg = arg};
  e->watch.ended = on_ended;
  task_watch(q.task, &e->watch);
  *out = e;
  return 0;
}

void evaluation_end(struct evaluation *e) {
  struct isolate *iso = e->isolate;
  isolate_hold(iso); /* `done` may free it */
  task_end(e->task, -ECANCELED, "cancelled");
  isolate_release(iso);
}

static int complete_body(lua_State *L, void *arg) {
  struct question *q = arg;
  push_console(L, q->plugin);
  lua_getfield(L, -1, "complete");
  lua_pushstring(L, q->code);
  lua_call(L, 1, 1);
  for (int i = 1;; i++) {
    lua_rawgeti(L, -1, i);
    if (lua_type(L, -1) != LUA_TSTRING)
      return 0;
    buf_format(q->names, "%s\n", lua_tostring(L, -1));
    lua_pop(L, 1);
  }
}

int evaluation_complete(struct isolate *iso, const struct plugin *plugin, const char *text,
                        struct buf *out, struct fault *f) {
  struct question q = {.plugin = plugin, .code = text, .names = out, .fault = f};
  int status = refuse_compiled(iso, f);
  return status ? status : isolate_enter(iso, complete_body, &q, f);
}
