/* perigee.sleep(duration): waits, at least a turn of the loop. The smallest operation there is: the
 * pattern for all others. */
#include "vm/bindings.h"
#include "vm/task.h"

#include <lauxlib.h>
#include <stdlib.h>

struct nap {
  uv_timer_t timer;
  struct task_wait *wait;
};

static void nap_closed(uv_handle_t *timer) {
  free(timer->data);
}

static void nap_cancel(void *operation) {
  struct nap *n = operation;
  uv_close((uv_handle_t *)&n->timer, nap_closed);
}

static void nap_over(uv_timer_t *timer) {
  struct nap *n = timer->data;
  uv_close((uv_handle_t *)timer, nap_closed);
  task_wake(n->wait, NULL, NULL);
}

static int sleep_call(lua_State *L) {
  int64_t ns = duration_check(L, 1);
  struct nap *n = malloc(sizeof *n);
  if (!n)
    return luaL_error(L, "out of memory");
  n->timer.data = n;
  uv_timer_init(vm_loop(isolate_vm(isolate_of(L))), &n->timer);
  /* A timer of 0 that is started by a timer's callback runs in the same turn: `sleep(0)` in a loop
   * would hold the loop for ever. */
  uint64_t ms = ns > 0 ? (uint64_t)(ns + 999999) / 1000000 : 1;
  uv_timer_start(&n->timer, nap_over, ms, 0);
  return task_wait(L, n, nap_cancel, &n->wait);
}

int open_sleep(lua_State *L) {
  lua_pushcfunction(L, sleep_call);
  return 1;
}
