#include "vm/isolate/script.h"
#include "base/clock.h"
#include "vm/isolate/inside.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>

#define SIGNAL_TYPE "signal"

bool scripted(lua_State *L) {
  return isolate_of(L)->vm->scripted;
}

/* Puts script[verb] below the `arguments` on top. */
static void push_verb(lua_State *L, const char *verb, int arguments) {
  lua_getfield(L, LUA_REGISTRYINDEX, "script");
  lua_getfield(L, -1, verb);
  lua_remove(L, -2);
  lua_insert(L, -1 - arguments);
}

void script_tell(lua_State *L, const char *verb, int arguments, int results) {
  push_verb(L, verb, arguments);
  lua_call(L, arguments, results);
}

/* answered: a call that has its results already. It waits all the same, for one pass of the loop,
 * as in the agent: what does not wait would count as one turn. */
struct answered {
  struct answered *next;
  struct task_wait *wait; /* NULL: its task has ended */
  lua_State *L;           /* the isolate's */
  int ref, count;         /* its results: itself where it is one, else a list of them */
};

static void answered_cancel(void *operation) {
  struct answered *a = operation;
  a->wait = NULL;
  luaL_unref(a->L, LUA_REGISTRYINDEX, a->ref);
}

static int push_answered(lua_State *L, void *arg) {
  const struct answered *a = arg;
  lua_rawgeti(L, LUA_REGISTRYINDEX, a->ref);
  luaL_unref(L, LUA_REGISTRYINDEX, a->ref);
  if (a->count == 1)
    return 1;
  int list = lua_gettop(L);
  for (int i = 1; i <= a->count; i++)
    lua_rawgeti(L, list, i);
  return a->count;
}

static struct answered *answered_take(struct vm *vm) {
  struct answered *a = vm->answered;
  vm->answered = a->next;
  if (!a->next)
    vm->answered_last = NULL;
  return a;
}

static void answered_wake(struct vm *vm) {
  struct answered *a = answered_take(vm);
  if (a->wait)
    task_wake(a->wait, push_answered, a);
  free(a);
}

void script_forget(struct vm *vm) {
  while (vm->answered)
    free(answered_take(vm));
}

/* Waits with the results on top. */
static int answered_wait(lua_State *L, int results) {
  struct vm *vm = isolate_of(L)->vm;
  if (results > 1) {
    lua_createtable(L, results, 0);
    lua_insert(L, -1 - results);
    for (int i = results; i >= 1; i--)
      lua_rawseti(L, -1 - i, i);
  }
  int ref = luaL_ref(L, LUA_REGISTRYINDEX);
  struct answered *a = malloc(sizeof *a);
  if (!a)
    return luaL_error(L, "out of memory");
  *a = (struct answered){.L = isolate_of(L)->L, .ref = ref, .count = results};
  if (vm->answered_last)
    vm->answered_last->next = a;
  else
    vm->answered = a;
  vm->answered_last = a;
  return task_wait(L, a, answered_cancel, &a->wait);
}

int script_ask_at_once(lua_State *L, const char *verb, int arguments) {
  int top = lua_gettop(L);
  lua_getfield(L, LUA_REGISTRYINDEX, "script");
  lua_getfield(L, -1, "at_once");
  lua_getfield(L, -1, verb);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  if (lua_isnil(L, -1)) {
    lua_settop(L, top);
    return 0;
  }
  for (int i = 1; i <= arguments; i++)
    lua_pushvalue(L, top - arguments + i);
  lua_call(L, arguments, LUA_MULTRET);
  int results = lua_gettop(L) - top;
  return results > 0 ? answered_wait(L, results) : 0;
}

/* asking: a plugin's task waits for the script's. */
struct asking {
  struct task_watch watch; /* first: on_ended gets it */
  struct task *task;
  struct task_wait *wait;
  char late[300];
};

static void asking_cancel(void *operation) {
  struct asking *a = operation;
  task_unwatch(&a->watch);
  task_end(a->task, -ECANCELED, "cancelled");
  task_unref(a->task);
  free(a);
}

static int push_reply(lua_State *L, void *arg) {
  const struct asking *a = arg;
  const char *text;
  int status = task_status(a->task, &text);
  if (status == 0)
    return task_push_results(L, a->task);
  return push_error(L, status, "%s", status == -ETIMEDOUT ? a->late : text);
}

static void on_ended(struct task_watch *w, struct task *t) {
  (void)t;
  struct asking *a = (struct asking *)w;
  task_wake(a->wait, push_reply, a);
  task_unref(a->task);
  free(a);
}

int script_ask_task(lua_State *L, const char *verb, int arguments, uint64_t timeout_ms,
                    const char *late) {
  struct task_start start = {.deadline_ns = (int64_t)timeout_ms * 1000000};
  push_verb(L, verb, arguments);
  struct asking *a = calloc(1, sizeof *a);
  struct task *t = a ? task_spawn(L, arguments, &start) : NULL;
  if (!t) {
    free(a);
    return luaL_error(L, a ? "too many tasks" : "out of memory");
  }
  snprintf(a->late, sizeof a->late, "%s", late);
  a->task = task_ref(t);
  a->watch.ended = on_ended;
  task_watch(t, &a->watch);
  return task_wait(L, a, asking_cancel, &a->wait);
}

int script_ask(lua_State *L, const char *verb, int arguments, uint64_t timeout_ms,
               const char *late) {
  int waits = script_ask_at_once(L, verb, arguments);
  return waits ? waits : script_ask_task(L, verb, arguments, timeout_ms, late);
}

/* ---- signals ---- */

struct signal {
  struct task_wait *wait;
  bool raised;
};

static void signal_cancel(void *operation) {
  ((struct signal *)operation)->wait = NULL;
}

static int signal_wait(lua_State *L) {
  struct signal *s = luaL_checkudata(L, 1, SIGNAL_TYPE);
  luaL_argcheck(L, !s->wait, 1, "another task waits for it");
  if (s->raised) {
    s->raised = false;
    return 0;
  }
  return task_wait(L, s, signal_cancel, &s->wait);
}

static int signal_raise(lua_State *L) {
  struct signal *s = luaL_checkudata(L, 1, SIGNAL_TYPE);
  struct task_wait *w = s->wait;
  s->wait = NULL;
  s->raised = !w;
  if (w)
    task_wake(w, NULL, NULL);
  return 0;
}

static int signal_call(lua_State *L) {
  struct signal *s = lua_newuserdata(L, sizeof *s);
  *s = (struct signal){0};
  luaL_getmetatable(L, SIGNAL_TYPE);
  lua_setmetatable(L, -2);
  return 1;
}

int open_signal(lua_State *L) {
  static const struct luaL_Reg methods[] = {
      {"wait", signal_wait}, {"raise", signal_raise}, {NULL, NULL}};
  luaL_newmetatable(L, SIGNAL_TYPE);
  lua_newtable(L);
  luaL_register(L, NULL, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, signal_call);
  return 1;
}

/* ---- time ---- */

bool vm_step(struct vm *vm, int64_t *due_ns) {
  const struct alarm *first;
  if (tasks_ready(vm)) {
    tasks_run(vm);
    return true;
  }
  if (vm->answered) {
    answered_wake(vm);
    return true;
  }
  if (alarms_run(&vm->alarms, clock_now_ns(), UINT32_MAX) > 0)
    return true;
  first = alarms_first(&vm->alarms);
  *due_ns = first ? first->due_ns : INT64_MAX;
  return false;
}
