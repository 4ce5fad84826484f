/* due: the naps and deadlines of all tasks, in one heap with one uv timer. Of a scripted vm the
 * clock is a test's, so it has no timer: vm_step goes from one to the next. */
#include "base/clock.h"
#include "vm/isolate/inside.h"

enum { MS = 1000 * 1000 };

static void on_timer(uv_timer_t *timer);

/* At least a millisecond: a timer of none that is started by a timer's callback runs in the same
 * turn, so that `sleep(0)` in a loop would hold the loop for ever. It counts from the turn's
 * beginning, so it may be early, and is set again then. */
static void arm(struct vm *vm) {
  const struct alarm *first = alarms_first(&vm->alarms);
  if (vm->scripted)
    return;
  if (!first) {
    uv_timer_stop(&vm->timer);
    return;
  }
  int64_t left = first->due_ns - clock_now_ns();
  uv_timer_start(&vm->timer, on_timer, left > MS ? (uint64_t)(left + MS - 1) / MS : 1, 0);
}

static void on_timer(uv_timer_t *timer) {
  struct vm *vm = timer->data;
  alarms_run(&vm->alarms, clock_now_ns(), UINT32_MAX);
  arm(vm);
}

void due_open(struct vm *vm) {
  uv_timer_init(vm->loop, &vm->timer);
  vm->timer.data = vm;
}

int due_start(struct vm *vm, struct alarm *a, int64_t ns) {
  int code = alarms_join(&vm->alarms, 1);
  if (code != 0)
    return code;
  alarm_set(&vm->alarms, a, clock_now_ns() + (ns > MS ? ns : MS));
  if (alarms_first(&vm->alarms) == a)
    arm(vm);
  return 0;
}

void due_stop(struct vm *vm, struct alarm *a) {
  alarm_clear(&vm->alarms, a);
  alarms_leave(&vm->alarms, 1);
  if (vm->alarms.count == 0)
    arm(vm);
}
