/* Whose turn it is: the two lines of a vm's tasks, and the slices of the one that runs. */
#include "base/clock.h"
#include "vm/isolate/task_inside.h"

#include <errno.h>
#include <lauxlib.h>

enum { PASS_TURNS = 16 }; /* of an isolate in one pass, whoever wakes them */

static void task_queue(struct task *t, struct task_line *line) {
  t->state = TASK_READY;
  t->isolate->queued++;
  t->ready_next = NULL;
  *line->last = task_ref(t);
  line->last = &t->ready_next;
  vm_wake(t->isolate->vm);
}

static bool is_tired(const struct isolate *iso) {
  uint64_t pass = iso->vm->pass;
  return iso->tired == pass ||
         (iso->turns_pass == pass && iso->turns - iso->turns_before > PASS_TURNS);
}

void task_queue_new(struct task *t) {
  struct isolate *iso = t->isolate;
  task_queue(t, iso->slow || is_tired(iso) ? &iso->vm->later : &iso->vm->ready);
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
    task_queue(t, &iso->vm->later);
  task_unref(t);
  isolate_release(iso);
}

/* One turn was slow in this pass: whoever else would begin one waits for the next. */
static bool is_hit(const struct vm *vm) {
  return vm->hit == vm->pass;
}

bool task_must_queue(const struct task *t) {
  const struct isolate *iso = t->isolate;
  return is_hit(iso->vm) || is_tired(iso) || (iso->sliced && iso->sliced != t);
}

/* Takes the first of a line, whose reference is the caller's then. */
static struct task *line_take(struct task_line *line) {
  struct task *t = line->first;
  line->first = t->ready_next;
  if (!line->first)
    line->last = &line->first;
  if (t->isolate)
    t->isolate->queued--;
  return t;
}

static void task_go_on(struct task *t) {
  bool ready = t->isolate && t->state == TASK_READY;
  if (ready && task_must_queue(t))
    task_queue(t, &t->isolate->vm->later);
  else if (ready)
    task_run(t);
  task_unref(t);
}

/* Up to the one that is the last now, as what is queued meanwhile is for the next pass; or until a
 * one is slow. */
static void line_run(struct vm *vm, struct task_line *line) {
  for (struct task **end = line->last; line->first && !is_hit(vm) && !turn_slices_over();) {
    struct task *t = line->first;
    bool last = &t->ready_next == end;
    task_go_on(line_take(line));
    if (last)
      break;
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
  bool later = t->pace == TASK_CARES || (t->pace == TASK_PROMPT && iso->slow);
  if (!later && (t->pace != TASK_PROMPT || !is_hit(iso->vm))) {
    task_run(t);
    return;
  }
  iso->sliced = t; /* gives way before its first line */
  task_queue(t, later ? &iso->vm->later : &iso->vm->ready);
}
