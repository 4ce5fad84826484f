/* perigee.sleep(duration): waits, at least a turn of the loop. The smallest operation there is: the
 * pattern for all others. */
#include "vm/bind/bindings.h"
#include "vm/isolate/inside.h"

#include <lauxlib.h>
#include <stdlib.h>

struct nap {
  struct alarm alarm; /* first: nap_over gets it */
  struct vm *vm;
  struct task_wait *wait;
};

static void nap_cancel(void *operation) {
  struct nap *n = operation;
  due_stop(n->vm, &n->alarm);
  free(n);
}

static void nap_over(struct alarm *a) {
  struct nap *n = (struct nap *)a;
  struct task_wait *w = n->wait;
  nap_cancel(n);
  task_wake(w, NULL, NULL);
}

static int sleep_call(lua_State *L) {
  int64_t ns = duration_check(L, 1);
  struct nap *n = calloc(1, sizeof *n);
  if (n) {
    n->alarm.fire = nap_over;
    n->vm = isolate_vm(isolate_of(L));
  }
  if (!n || due_start(n->vm, &n->alarm, ns) != 0) {
    free(n);
    return luaL_error(L, "out of memory");
  }
  return task_wait(L, n, nap_cancel, &n->wait);
}

int open_sleep(lua_State *L) {
  lua_pushcfunction(L, sleep_call);
  return 1;
}
