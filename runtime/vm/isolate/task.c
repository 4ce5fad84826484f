#include "base/log.h"
#include "vm/isolate/task_inside.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What fits on a new stack without growing it, which would raise where nothing protects it. */
enum { TASK_ARGUMENTS_MAX = 30 };

const char task_host_yield = 0;

struct task *task_running(lua_State *L) {
  return isolate_of(L)->running;
}

const char *task_subject(lua_State *L) {
  struct task *t = task_running(L);
  return t ? t->subject : NULL;
}

bool task_outermost(lua_State *L) {
  struct task *t = task_running(L);
  return t && t->L == L;
}

/* Not between a wait's start in a coroutine of the plugin's and its yield from the task (see
 * lua/perigee/coroutine.lua): the operation's end would find a stack that waits for something else.
 */
bool task_can_slice(lua_State *L) {
  const struct task *t = task_running(L);
  return t && !t->wait.active && t->isolate->enclosed == 0 && lua_isyieldable(L);
}

void task_slice(lua_State *L) {
  struct isolate *iso = isolate_of(L);
  turn_slice(L);
  iso->gave_way = L != iso->running->L;
}

bool task_gave_way(lua_State *L) {
  struct isolate *iso = isolate_of(L);
  bool gave_way = iso->gave_way;
  iso->gave_way = false;
  return gave_way;
}

void task_enclose(lua_State *L, int by) {
  isolate_of(L)->enclosed += by;
}

bool task_may_wait(lua_State *L) {
  const struct task *t = task_running(L);
  return t && t->pace == TASK_WAITS;
}

bool task_ended(const struct task *t) {
  return t->state == TASK_ENDED;
}

int task_status(const struct task *t, const char **text) {
  *text = t->text ? t->text : "";
  return t->status;
}

lua_State *task_stack(const struct task *t) {
  return t->L;
}

/* A handle that is given to who waited for it is made on the isolate's own stack. A child may
 * outlast its call by what is left of its turn. */
struct task *task_call(lua_State *L) {
  const struct isolate *iso = isolate_of(L);
  const struct task *t = iso->running ? iso->running : iso->woken;
  return t && !task_ended(t->call) ? t->call : NULL;
}

void task_opened(struct task *call, int more) {
  call->opened += (unsigned)more;
}

struct isolate *isolate_of_task(const struct task *t) {
  return t->isolate;
}

struct task *task_ref(struct task *t) {
  t->references++;
  return t;
}

static void task_list(struct task *t, struct task **list) {
  t->next = *list;
  t->link = list;
  if (t->next)
    t->next->link = &t->next;
  *list = t;
}

static void task_unlist(struct task *t) {
  *t->link = t->next;
  if (t->next)
    t->next->link = t->link;
}

bool task_should_give_way(lua_State *L) {
  if (!turn_is_due())
    return false;
  const struct task *t = task_running(L);
  return (t && t->at_work) || task_can_slice(L);
}

/* The stack of one that ended well is as good as new, so that who is called again and again makes
 * no garbage. */
static void stack_drop(struct task *t) {
  struct isolate *iso = t->isolate;
  if (t->L && t->status == 0 && t->state == TASK_ENDED && !iso->spare) {
    lua_settop(t->L, 0);
    iso->spare = t->L;
    iso->spare_ref = t->ref;
  } else if (t->L) {
    luaL_unref(iso->L, LUA_REGISTRYINDEX, t->ref);
  }
  t->L = NULL;
}

/* May raise for memory. */
static lua_State *stack_take(lua_State *L, int *ref) {
  struct isolate *iso = isolate_of(L);
  lua_State *stack = iso->spare;
  *ref = iso->spare_ref;
  iso->spare = NULL;
  if (stack)
    return stack;
  stack = lua_newthread(L);
  *ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return stack;
}

static int grow_stack(lua_State *L) {
  luaL_checkstack(L, (int)(intptr_t)lua_touserdata(L, 1) + LUA_MINSTACK, "give way");
  return 0;
}

int task_give_way(lua_State *L, lua_CFunction go_on) {
  struct task *t = task_running(L);
  int arguments = lua_gettop(L);
  if (!t->work)
    t->work = stack_take(L, &t->work_ref);
  if (arguments > TASK_ARGUMENTS_MAX &&
      lua_cpcall(t->work, grow_stack, (void *)(intptr_t)arguments) != 0)
    return luaL_error(L, "not enough memory");
  lua_pushcfunction(L, go_on);
  lua_insert(L, 1);
  lua_xmove(L, t->work, arguments + 1);
  if (t->at_work)
    return 0;
  luaL_checkstack(t->L, LUA_MINSTACK, "results");
  task_slice(L);
  return lua_yield(L, 0);
}

void task_keep(lua_State *L, int index) {
  struct task *t = task_running(L);
  lua_pushvalue(L, index);
  int kept = luaL_ref(L, LUA_REGISTRYINDEX);
  luaL_unref(L, LUA_REGISTRYINDEX, t->kept);
  t->kept = kept;
}

static void kept_drop(struct task *t) {
  luaL_unref(t->isolate->L, LUA_REGISTRYINDEX, t->kept);
  t->kept = LUA_NOREF;
}

static void work_end(struct task *t) {
  if (t->work)
    luaL_unref(t->isolate->L, LUA_REGISTRYINDEX, t->work_ref);
  t->work = NULL;
}

int task_work_on(lua_State *L, void *arg) {
  struct task *t = arg;
  lua_State *work = t->work;
  int count = lua_gettop(work);
  t->isolate->running = t;
  t->at_work = true;
  turn_slice(L);
  luaL_checkstack(L, count + LUA_MINSTACK, "work");
  lua_xmove(work, L, count);
  isolate_call(L, count - 1, LUA_MULTRET);
  if (lua_gettop(work) == 0) {
    work_end(t);
    t->arguments = lua_gettop(L);
    lua_xmove(L, t->L, t->arguments);
  }
  return 0;
}

void task_unref(struct task *t) {
  if (--t->references > 0)
    return;
  if (t->isolate) {
    task_unlist(t);
    stack_drop(t);
  }
  free(t->text);
  free(t);
}

void task_watch(struct task *t, struct task_watch *w) {
  w->task = task_ref(t);
  w->next = t->watches;
  w->link = &t->watches;
  if (w->next)
    w->next->link = &w->next;
  t->watches = w;
}

static void watch_unlink(struct task_watch *w) {
  *w->link = w->next;
  if (w->next)
    w->next->link = w->link;
  w->task = NULL;
}

void task_unwatch(struct task_watch *w) {
  struct task *t = w->task;
  if (!t)
    return;
  watch_unlink(w);
  task_unref(t);
}

static void sibling_unlink(struct task *t) {
  if (!t->sibling_link)
    return;
  *t->sibling_link = t->sibling;
  if (t->sibling)
    t->sibling->sibling_link = t->sibling_link;
  t->sibling_link = NULL;
}

static void deadline_stop(struct task *t) {
  if (!t->deadline)
    return;
  due_stop(t->isolate->vm, &t->deadline->alarm);
  free(t->deadline);
  t->deadline = NULL;
}

static void on_deadline(struct alarm *a) {
  struct deadline *d = (struct deadline *)a;
  struct task *t = d->task;
  struct isolate *iso = t->isolate;
  char text[80];
  snprintf(text, sizeof text, "its deadline of %g s has passed", (double)d->ns / 1e9);
  isolate_hold(iso);
  task_end(t, -ETIMEDOUT, text);
  isolate_release(iso);
}

static int deadline_start(struct task *t, int64_t ns) {
  struct deadline *d = calloc(1, sizeof *d);
  if (!d)
    return -ENOMEM;
  d->task = t;
  d->ns = ns;
  d->alarm.fire = on_deadline;
  if (due_start(t->isolate->vm, &d->alarm, ns) != 0) {
    free(d);
    return -ENOMEM;
  }
  t->deadline = d;
  return 0;
}

static void wait_cancel(struct task *t) {
  if (!t->wait.active)
    return;
  t->wait.active = false;
  t->wait.cancel(t->wait.operation);
}

static void task_settle(struct task *t, int status, const char *text) {
  t->status = status;
  free(t->text);
  t->text = text ? strdup(text) : NULL;
}

void task_finish(struct task *t) {
  struct task_watch *w;
  wait_cancel(t);
  kept_drop(t);
  work_end(t);
  task_unqueue(t);
  t->state = TASK_ENDED;
  task_unlist(t);
  task_list(t, &t->isolate->ended);
  t->isolate->task_count--;
  if (t->status != 0)
    stack_drop(t); /* else what it filled its memory with stays until its udata is collected */
  if (t->isolate->sliced == t)
    t->isolate->sliced = NULL;
  sibling_unlink(t);
  deadline_stop(t);
  while (t->children) {
    struct task *child = t->children;
    sibling_unlink(child);
    task_end(child, -ECANCELED, "the task that started it has ended");
  }
  if (!t->watches && t->status < 0 && t->status != -ECANCELED)
    log_warn("a task failed and nobody waits for it", LOG_S("plugin", t->isolate->name),
             LOG_S("error", t->text));
  t->isolate->settling++;
  while ((w = t->watches)) {
    watch_unlink(w);
    w->ended(w, t);
    t->references--; /* the watch's; that of the living task is still there */
  }
  t->isolate->settling--;
  if (t->opened > 0)
    handles_left(t->isolate, t, t->opened);
  if (t->call != t)
    task_unref(t->call);
  task_unref(t);
}

void task_end(struct task *t, int status, const char *text) {
  if (t->state == TASK_ENDED || t->ending)
    return;
  task_settle(t, status, text);
  if (t->state == TASK_RUNNING)
    t->ending = true; /* its stack is in use */
  else
    task_finish(t);
}

/* What is still referred to afterwards (by a queue, a watch or a udata) has no stack any more. */
void tasks_end(struct isolate *iso) {
  while (iso->tasks)
    task_end(iso->tasks, -ECANCELED, "its isolate has ended");
  while (iso->ended) {
    struct task *t = iso->ended;
    task_unlist(t);
    t->isolate = NULL;
    t->L = NULL;
  }
}

struct task *task_spawn(lua_State *L, int arguments, const struct task_start *start) {
  struct isolate *iso = isolate_of(L);
  if (iso->task_count >= iso->limits.max_tasks)
    return NULL;
  if (arguments > TASK_ARGUMENTS_MAX)
    luaL_error(L, "%d arguments for a task: at most %d", arguments, TASK_ARGUMENTS_MAX);
  int ref;
  lua_State *thread = stack_take(L, &ref);
  struct task *t = calloc(1, sizeof *t);
  if (t) {
    t->isolate = iso;
    t->references = 1;
  }
  if (!t || (start->deadline_ns > 0 && deadline_start(t, start->deadline_ns) != 0)) {
    free(t);
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
    luaL_error(L, "out of memory");
    return NULL;
  }
  t->L = thread;
  t->ref = ref;
  t->kept = LUA_NOREF;
  t->call = start->parent ? task_ref(start->parent->call) : t;
  t->pace = start->pace;
  t->wait.task = t;
  t->arguments = arguments;
  t->subject = start->parent ? start->parent->subject : start->subject;
  task_list(t, &iso->tasks);
  iso->task_count++;
  if (start->parent) {
    t->sibling = start->parent->children;
    t->sibling_link = &start->parent->children;
    if (t->sibling)
      t->sibling->sibling_link = &t->sibling;
    start->parent->children = t;
  }
  lua_xmove(L, thread, arguments + 1);
  if (t->pace == TASK_WAITS)
    task_queue_new(t);
  return t;
}

bool task_can_wait(lua_State *L) {
  return task_may_wait(L) && lua_isyieldable(L);
}

int task_wait(lua_State *L, void *operation, task_cancel_fn cancel, struct task_wait **out) {
  struct task *t = task_running(L);
  if (!task_can_wait(L)) {
    cancel(operation);
    return luaL_error(
        L, task_may_wait(L)
               ? "cannot wait inside a function in C that calls back, as string.format does"
               : "cannot wait here: only a task can, and neither a plan nor a "
                 "file that is loading is one");
  }
  wait_cancel(t); /* of a coroutine that failed to yield through its maker, and was caught */
  t->wait.operation = operation;
  t->wait.cancel = cancel;
  t->wait.active = true;
  *out = &t->wait;
  lua_pushlightuserdata(L, (void *)&task_host_yield);
  return lua_yield(L, 1);
}

struct delivery {
  lua_State *to;
  task_push_fn push;
  void *arg;
  int count;
  const struct fault *fault;
};

static int deliver(lua_State *L, void *arg) {
  struct delivery *d = arg;
  d->count = d->fault ? push_error(L, d->fault->code, "%s", d->fault->text) : d->push(L, d->arg);
  if (d->count > TASK_VALUES_MAX)
    return luaL_error(L, "%d values for a task that waits: at most %d", d->count, TASK_VALUES_MAX);
  lua_xmove(L, d->to, d->count);
  return 0;
}

void task_wake(struct task_wait *w, task_push_fn push, void *arg) {
  struct task *t = w->task;
  struct isolate *iso = t->isolate;
  struct fault fault;
  struct delivery d = {.to = t->L, .push = push, .arg = arg};
  isolate_hold(iso);
  w->active = false;
  iso->woken = t;
  if (push && isolate_enter(iso, deliver, &d, &fault) != 0) {
    d.fault = &fault;
    if (isolate_enter(iso, deliver, &d, NULL) != 0)
      d.count = 0;
  }
  iso->woken = NULL;
  kept_drop(t);
  t->arguments = d.count;
  /* Woken by another of the isolate: after it, not on its stack. */
  if (iso->running || iso->settling || isolate_must_queue(iso))
    task_queue_new(t);
  else
    task_run(t);
  isolate_release(iso);
}
