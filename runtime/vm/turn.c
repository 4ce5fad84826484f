/* turn: ends a run of Lua that goes on for too long.
 *
 * A timer that counts this thread's CPU time sends the thread a signal every 10 ms of it: none
 * while the loop sleeps, and none is owed for time that other processes took. When it has come too
 * often in one turn, the handler installs a hook for every instruction, as luajit.c does for
 * Ctrl-C, and the hook raises. Nothing is paid while a turn behaves (an always-on count hook costs
 * half of the interpreter's speed).
 *
 * The kill is sticky: the hook stays for the rest of the turn, so that `pcall` in a loop is no
 * refuge. It raises by an allocation that fails, because only that error skips xpcall's handlers
 * (which LuaJIT runs with hooks disabled). A hook lost to a race with the collector's saving of
 * hook flags is installed again by the next tick.
 *
 * Only for states whose JIT engine is off: compiled code looks at no hook. C functions are not
 * interrupted: what `load` takes is capped in sandbox.c, and a pattern that backtracks for ever in
 * string.find holds the loop. */
#include "vm/inside.h"

#include <errno.h>
#include <stdatomic.h>
#include <lua.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Ignored by default, so that one that comes late harms nobody; Go's runtime uses it the same way.
 */
#define TURN_SIGNAL SIGURG

static _Thread_local struct turn *volatile innermost;
static _Thread_local timer_t watch;

enum { STACK_MAX = 1 << 20 };              /* bytes of the C stack; the system gives 8 MiB */
static _Thread_local uintptr_t stack_base; /* where the outermost turn began */

/* Runs with HOOK_ACTIVE set, so it is not called again while it raises. */
static void kill_hook(lua_State *L, lua_Debug *unused) {
  (void)unused;
  struct isolate *iso = isolate_of(L);
  if (!iso->killed) {
    lua_Debug at;
    iso->killed = true;
    iso->where[0] = '\0';
    for (int level = 0; lua_getstack(L, level, &at) && lua_getinfo(L, "Sl", &at); level++) {
      if (at.currentline > 0) {
        snprintf(iso->where, sizeof iso->where, "%s:%d", at.short_src, at.currentline);
        break;
      }
    }
  }
  lua_gc(L, LUA_GCSTOP, 0); /* a collection must not start on the way to the failing allocation */
  iso->refuse = true;
  lua_newuserdata(L, 1);
}

static void on_tick(int number) {
  (void)number;
  struct turn *turn = innermost;
  if (!turn || ++turn->ticks <= turn->allowed)
    return;
  turn->hooked = 1;
  lua_sethook(turn->L, kill_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

int turn_watch_start(struct fault *f) {
  struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = TURN_SIGNAL};
  event._sigev_un._tid = gettid();
  struct itimerspec every = {{0, TURN_TICK_NS}, {0, TURN_TICK_NS}};
  if (sigaction(TURN_SIGNAL, &action, NULL) != 0 ||
      timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &watch) != 0)
    return fault_set(f, -errno, "plugins cannot be limited in time: %s", strerror(errno));
  if (timer_settime(watch, 0, &every, NULL) != 0) {
    int error = errno;
    timer_delete(watch);
    return fault_set(f, -error, "plugins cannot be limited in time: %s", strerror(error));
  }
  return 0;
}

void turn_watch_stop(void) {
  timer_delete(watch);
}

void turn_begin(struct turn *turn, struct isolate *iso) {
  int64_t ticks = iso->limits.turn_ns / TURN_TICK_NS;
  *turn = (struct turn){.L = iso->L, .outer = innermost, .allowed = ticks > 0 ? (int)ticks : 1};
  iso->turns++;
  if (!innermost)
    stack_base = (uintptr_t)__builtin_frame_address(0);
  atomic_signal_fence(memory_order_release);
  innermost = turn;
}

bool turn_end(struct turn *turn, struct isolate *iso) {
  innermost = turn->outer;
  atomic_signal_fence(memory_order_acquire);
  if (turn->hooked)
    lua_sethook(iso->L, NULL, 0, 0);
  bool killed = turn->hooked && iso->killed; /* a turn inside a killed one leaves it killed */
  if (killed) {
    iso->killed = iso->refuse = false;
    iso->kills++;
    lua_gc(iso->L, LUA_GCRESTART, 0);
  }
  return killed;
}

bool turn_is_deep(void) {
  return stack_base - (uintptr_t)__builtin_frame_address(0) > STACK_MAX;
}
