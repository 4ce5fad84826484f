/* perigee.task: the host's verbs, which lua/perigee/task.lua rounds off.
 *
 *     spawn(fn, ...)            a child of the running task: it ends when that ends
 *     spawn_for(limit, fn, ...) the same, ended when `limit` is over
 *     apart(fn, ...)            a task of nobody's: it ends with the isolate
 *     wait(task, ...)           until the first of them has ended; which one
 *     outcome(task)             its results, or nil, message, code
 *     cancel(task), status(task) */
#include "vm/bind/bindings.h"
#include "vm/isolate/inside.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>

#define TASK_TYPE "task"

/* wait's operation: one watch on each task; the first that ends wakes the waiter. */
struct first {
  struct task_wait *wait;
  int count, which;
  struct arm {
    struct task_watch watch;
    struct first *first;
  } arms[];
};

struct lua_task {
  struct owned owned;
  struct task *task; /* a reference; NULL: none was made */
};

static struct task *task_check(lua_State *L, int index) {
  struct lua_task *udata = luaL_checkudata(L, index, TASK_TYPE);
  return udata->task;
}

static void task_give_back(struct owned *o) {
  struct lua_task *udata = (struct lua_task *)o;
  if (udata->task)
    task_unref(udata->task);
}

static int task_gc(lua_State *L) {
  owned_end(lua_touserdata(L, 1));
  return 0;
}

static int spawn(lua_State *L, int function, struct task_start start) {
  luaL_checktype(L, function, LUA_TFUNCTION);
  if (!task_may_wait(L))
    return luaL_error(L, "a task is started by a task, and neither a plan nor a file that is "
                         "loading is one");
  int arguments = lua_gettop(L) - function;
  struct lua_task *udata = lua_newuserdata(L, sizeof *udata);
  *udata = (struct lua_task){0};
  luaL_getmetatable(L, TASK_TYPE);
  lua_setmetatable(L, -2);
  owned_begin(L, &udata->owned, task_give_back);
  lua_insert(L, function);
  struct task *t = task_spawn(L, arguments, &start);
  if (!t)
    return luaL_error(L, "too many tasks");
  udata->task = task_ref(t);
  return 1;
}

static int spawn_call(lua_State *L) {
  return spawn(L, 1, (struct task_start){.parent = task_running(L)});
}

static int spawn_for_call(lua_State *L) {
  int64_t ns = duration_check(L, 1);
  return spawn(L, 2,
               (struct task_start){.parent = task_running(L), .deadline_ns = ns > 0 ? ns : 1});
}

static int apart_call(lua_State *L) {
  return spawn(L, 1, (struct task_start){0});
}

static void first_free(struct first *first) {
  for (int i = 0; i < first->count; i++)
    task_unwatch(&first->arms[i].watch);
  free(first);
}

static void first_cancel(void *operation) {
  first_free(operation);
}

static int push_which(lua_State *L, void *first) {
  lua_pushinteger(L, ((struct first *)first)->which);
  return 1;
}

static void on_ended(struct task_watch *w, struct task *t) {
  (void)t;
  struct arm *arm = (struct arm *)w;
  struct first *first = arm->first;
  first->which = (int)(arm - first->arms) + 1;
  for (int i = 0; i < first->count; i++)
    task_unwatch(&first->arms[i].watch);
  task_wake(first->wait, push_which, first);
  free(first);
}

static int wait_call(lua_State *L) {
  int count = lua_gettop(L);
  luaL_argcheck(L, count > 0, 1, "a task to wait for");
  for (int i = 1; i <= count; i++) {
    struct task *t = task_check(L, i);
    if (task_ended(t)) {
      lua_pushinteger(L, i);
      return 1;
    }
    luaL_argcheck(L, t != task_running(L), i, "a task cannot wait for itself");
  }
  struct first *first = calloc(1, sizeof *first + (size_t)count * sizeof first->arms[0]);
  if (!first)
    return luaL_error(L, "out of memory");
  first->count = count;
  for (int i = 0; i < count; i++) {
    first->arms[i].first = first;
    first->arms[i].watch.ended = on_ended;
    task_watch(task_check(L, i + 1), &first->arms[i].watch);
  }
  return task_wait(L, first, first_cancel, &first->wait);
}

int task_push_results(lua_State *L, const struct task *t) {
  lua_State *from = task_stack(t);
  int count = lua_gettop(from);
  luaL_checkstack(L, count, "too many results");
  for (int i = 1; i <= count; i++) {
    lua_pushvalue(from, i);
    lua_xmove(from, L, 1);
  }
  return count;
}

static int outcome_call(lua_State *L) {
  struct task *t = task_check(L, 1);
  const char *text;
  if (!task_ended(t))
    return push_error(L, -EBUSY, "the task has not ended");
  int status = task_status(t, &text);
  if (status != 0)
    return push_error(L, status, "%s", text);
  return task_push_results(L, t);
}

static int cancel_call(lua_State *L) {
  task_end(task_check(L, 1), -ECANCELED, "cancelled");
  return 0;
}

static int status_call(lua_State *L) {
  struct task *t = task_check(L, 1);
  const char *text;
  if (!task_ended(t))
    lua_pushliteral(L, "running");
  else
    lua_pushstring(L, task_status(t, &text) == 0 ? "done" : "failed");
  return 1;
}

int open_task(lua_State *L) {
  static const struct luaL_Reg verbs[] = {
      {"spawn", spawn_call}, {"spawn_for", spawn_for_call}, {"apart", apart_call},
      {"wait", wait_call},   {"outcome", outcome_call},     {"cancel", cancel_call},
      {NULL, NULL},
  };
  static const struct luaL_Reg methods[] = {
      {"cancel", cancel_call}, {"status", status_call}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, verbs);
  luaL_newmetatable(L, TASK_TYPE);
  lua_pushcfunction(L, task_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, TASK_TYPE);
  lua_setfield(L, -2, "__metatable");
  lua_newtable(L);
  luaL_register(L, NULL, methods);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
  lua_setfield(L, -3, "methods"); /* for task.lua to add join */
  lua_pop(L, 1);
  return 1;
}
