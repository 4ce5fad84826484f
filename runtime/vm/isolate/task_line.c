/* Whose turn it is: a line of tasks in each isolate, two lines of isolates in the vm, and the
 * slices of the task that runs.
 *
 *     ready ──► isolate ──► isolate          later ──► isolate ──► isolate
 *                 │           │                          │
 *                task        task                      task, which gave way
 *                task                                  task
 *
 * So that ten thousand tasks of one plugin are as long a line for the others as one is. */
#include "base/clock.h"
#include "vm/isolate/task_inside.h"

#include <errno.h>
#include <lauxlib.h>

enum { PASS_TURNS = 16 }; /* of an isolate in one pass, whoever wakes them */

/* One turn was slow in this pass: whoever else would begin one waits for the next. */
static bool is_hit(const struct vm *vm) {
  return vm->hit == vm->pass;
}

static bool is_tired(const struct isolate *iso) {
  uint64_t pass = iso->vm->pass;
  return iso->tired == pass ||
         (iso->turns_pass == pass && iso->turns - iso->turns_before > PASS_TURNS);
}

static bool is_late(const struct isolate *iso) {
  return iso->slow || is_tired(iso);
}

static void isolate_line_leave(struct isolate *iso) {
  if (!iso->in_line)
    return;
  *iso->line_link = iso->line_next;
  if (iso->line_next)
    iso->line_next->line_link = iso->line_link;
  else
    iso->in_line->last = iso->line_link;
  iso->in_line->count--;
  iso->in_line = NULL;
}

/* Where it has something to run. */
static void isolate_line_up(struct isolate *iso) {
  struct isolate_line *line = is_late(iso) ? &iso->vm->later : &iso->vm->ready;
  if (iso->in_line || !iso->tasks_ready)
    return;
  iso->in_line = line;
  iso->line_next = NULL;
  iso->line_link = line->last;
  *line->last = iso;
  line->last = &iso->line_next;
  line->count++;
  vm_wake(iso->vm);
}

/* In front of the tasks of its isolate, where `first`. */
static void task_queue(struct task *t, bool first) {
  struct isolate *iso = t->isolate;
  struct task **at = first ? &iso->tasks_ready : iso->tasks_ready_last;
  t->ready_next = *at;
  t->ready_link = at;
  *at = t;
  if (t->ready_next)
    t->ready_next->ready_link = &t->ready_next;
  else
    iso->tasks_ready_last = &t->ready_next;
  isolate_line_up(iso);
}

void task_queue_new(struct task *t) {
  task_queue(t, false);
}

void task_unqueue(struct task *t) {
  struct isolate *iso = t->isolate;
  if (!t->ready_link)
    return;
  *t->ready_link = t->ready_next;
  if (t->ready_next)
    t->ready_next->ready_link = t->ready_link;
  else
    iso->tasks_ready_last = t->ready_link;
  t->ready_link = NULL;
  if (!iso->tasks_ready)
    isolate_line_leave(iso);
}

/* The slices of a task: LUA_YIELD when it waits or has given way, 0 when it is through, or a
 * negative errno and `f`. */
static int lua_slice(struct task *t, struct fault *f) {
  struct isolate *iso = t->isolate;
  bool killed;
  int arguments = t->arguments;
  t->arguments = 0;
  iso->gave_way = false;
  iso->enclosed = 0;
  struct turn_share *share = t->pace == TASK_WHOLE ? NULL : &t->share;
  int status = isolate_resume(iso, t->L, arguments, share, &killed);
  if (t->ending || (status == 0 && !killed))
    return 0;
  /* Also where a coroutine of it gave way, and it was killed on the way to giving way itself. */
  if (status != LUA_YIELD || killed)
    return isolate_explain(iso, t->L, status, killed, f);
  if (!t->share.sliced && !t->wait.active)
    return fault_set(f, -EFAULT, "coroutine.yield in the task itself");
  lua_settop(t->L, 0); /* of what it yielded; its own frames stay as they are */
  return LUA_YIELD;
}

static int work_slice(struct task *t, struct fault *f) {
  int code = isolate_enter_slice(t->isolate, task_work_on, t, &t->share, f);
  t->at_work = false;
  return code == 0 ? LUA_YIELD : code;
}

void task_run(struct task *t) {
  struct isolate *iso = t->isolate;
  struct fault fault;
  if (iso->dead || iso->ending) {
    task_end(t, -ECANCELED, "its isolate has ended");
    return;
  }
  isolate_hold(iso);
  task_ref(t);
  t->state = TASK_RUNNING;
  struct task *outer = iso->running;
  iso->running = t;
  if (t->pace == TASK_CARES)
    t->share.spent_ns = 0;
  int code = t->work ? work_slice(t, &fault) : lua_slice(t, &fault);
  iso->running = outer;
  iso->sliced = t->share.sliced ? t : NULL;
  t->state = TASK_WAITING;
  if (t->ending)
    task_finish(t);
  else if (code != LUA_YIELD)
    task_end(t, code, code == 0 ? NULL : fault.text);
  else if (t->share.sliced)
    task_queue(t, true);
  task_unref(t);
  isolate_release(iso);
}

bool isolate_must_queue(const struct isolate *iso) {
  return is_hit(iso->vm) || is_late(iso) || iso->tasks_ready;
}

static bool is_over(const struct vm *vm) {
  return is_hit(vm) || turn_slices_over();
}

/* Those that it has now or gets meanwhile, until it has had its share of the pass. */
static void isolate_go_on(struct isolate *iso) {
  isolate_hold(iso);
  while (iso->tasks_ready && !is_tired(iso) && !is_over(iso->vm)) {
    struct task *t = iso->tasks_ready;
    task_unqueue(t);
    task_run(t);
    memory_settle(iso); /* before the next, as where each turn is one by itself */
  }
  isolate_line_up(iso);
  isolate_release(iso);
}

/* Each that is in it now; or until one is slow. */
static void line_run(struct vm *vm, struct isolate_line *line) {
  for (size_t left = line->count; left > 0 && line->first && !is_over(vm); left--) {
    struct isolate *iso = line->first;
    isolate_line_leave(iso);
    if (line == &vm->ready && is_late(iso))
      isolate_line_up(iso);
    else
      isolate_go_on(iso);
  }
}

static bool resting(const struct vm *vm) {
  return uv_is_active((const uv_handle_t *)&vm->rest);
}

static void later_run(struct vm *vm) {
  int64_t began = clock_thread_ns();
  turn_slices_begin();
  line_run(vm, &vm->later);
  bool over = turn_slices_over();
  turn_slices_end();
  if (over)
    vm->hit = vm->pass;
  int64_t ticks = (clock_thread_ns() - began + TURN_TICK_NS / 2) / TURN_TICK_NS;
  vm->hit_ms = ticks > 0 ? (int)ticks : 1;
}

void tasks_run(struct vm *vm) {
  bool hit = is_hit(vm); /* who was woken, or a plan, outside of the lines */
  vm->pass++;
  line_run(vm, &vm->ready);
  if (!hit && !resting(vm) && vm->later.first)
    later_run(vm);
  hit = hit || is_hit(vm);
  vm->hit = 0; /* no pass: it is seen to */
  if (hit && !resting(vm) && vm->later.first && !vm->scripted)
    vm_rest(vm, vm->hit_ms);
}

bool tasks_ready(const struct vm *vm) {
  return vm->ready.first || (vm->later.first && !resting(vm));
}

void task_begin(struct task *t) {
  struct isolate *iso = t->isolate;
  iso->slow = iso->slow || t->pace == TASK_CARES;
  if (t->pace == TASK_WHOLE || !(iso->slow || is_hit(iso->vm))) {
    task_run(t);
    return;
  }
  iso->sliced = t; /* gives way before its first line */
  task_queue(t, true);
}
