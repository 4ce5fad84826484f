/* turn: takes turns from what goes on for too long, and ends it where that does not help.
 *
 * While a turn runs, a timer sends its thread a signal every millisecond of the wall clock. It is
 * set when a turn begins and no tick is on its way, and set again by a tick that finds a turn: so a
 * tick costs a well-behaved plugin some microseconds, once a millisecond at most, and nothing while
 * the loop sleeps. (A timer of the thread's CPU time costs nothing, and ticks when the kernel
 * looks, every 4 ms with HZ=250. An always-on count hook costs half of the interpreter's speed.)
 * What is counted is CPU time all the same: none is owed for what other processes took.
 *
 * A tick says nothing of the turn that it hits, unless that set the timer itself: others may have
 * had the millisecond. So the first one only starts a clock.
 *
 *     0 ─── first tick ─── 1 ms ─── turn_ns / 4 ──── turn_ns ───►
 *      runs  the clock      a hook   or raises,       a hook that raises, for the rest of the turn
 *            starts         that     where it cannot
 *                           gives way
 *
 * Giving way: a count hook yields the task as it stands, and the loop goes on with all others
 * before it resumes it. A coroutine that the plugin made gives way to who resumed it, and so on up
 * to the task (lua/perigee/coroutine.lua). What is in C just now looks at turn_is_due, and goes on
 * in the next slice (task_give_way). It cannot be done through C that has called Lua (__tostring
 * below string.format). What cannot, holds up all others: it is killed after a quarter of the time.
 * The time of all slices is counted until the task waits.
 *
 * The kill: when all of it is more than turn_ns, what gives way is not resumed any more: no pcall
 * sees that, and nothing needs to be unwound. What is no task, or cannot give way, is raised out of
 * by a hook for every instruction, as luajit.c does for Ctrl-C. It is sticky: the hook stays for
 * the rest of the turn, so that `pcall` in a loop is no refuge. It raises by an allocation that
 * fails, because only that error skips xpcall's handlers (which LuaJIT runs with hooks disabled). A
 * hook lost to a race with the collector's saving of hook flags is installed again by the next
 * tick.
 *
 * Compiled code looks at no hook: it has fuel (fuel.h), which the same tick takes away. C functions
 * are not interrupted: those that can take long look at turn_is_over themselves (pattern.c,
 * border.c, json_encode.c), or take no more than a bounded size. */
#include "base/clock.h"
#include "vm/isolate/inside.h"

#include <errno.h>
#include <limits.h>
#include <lua.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The one that libuv can keep away from a loop that sleeps: the wait would end late by up to a
 * millisecond, as its time is counted in whole ones. Its handler stays when the last watch has
 * stopped, so that one that comes late harms nobody. */
#define TURN_SIGNAL SIGPROF

static _Thread_local struct turn *volatile innermost;
static _Thread_local timer_t timer;
static _Thread_local volatile sig_atomic_t ticking; /* a tick is on its way */
static _Thread_local volatile sig_atomic_t in_slice,
    slice_over; /* between turn_slices_begin, _end */
static const struct itimerspec one_tick = {.it_value = {0, TURN_TICK_NS}};

enum { SLICE_INSTRUCTIONS = 1000 };        /* between two attempts to give way */
enum { PASSED_MOST = 100 * 1000 };         /* instructions from a coroutine up to the task */
enum { STACK_MAX = 1 << 18 };              /* bytes of the C stack: unwinding more takes its time */
static _Thread_local uintptr_t stack_base; /* where the outermost turn began */

void turn_name_place(struct isolate *iso, lua_State *L) {
  lua_Debug at;
  iso->where[0] = '\0';
  iso->stuck = false;
  for (int level = 0; lua_getstack(L, level, &at) && lua_getinfo(L, "Sl", &at); level++) {
    if (at.currentline > 0) {
      snprintf(iso->where, sizeof iso->where, "%s:%d", at.short_src, at.currentline);
      return;
    }
  }
}

static void slice_hook(lua_State *L, lua_Debug *unused);

static void turn_kill(lua_State *L) {
  struct isolate *iso = isolate_of(L);
  struct turn *turn = innermost;
  if (!iso->killed)
    turn_name_place(iso, L);
  iso->killed = true;
  iso->stuck = turn->stuck && !turn->over;
  if (turn->stuck) {
    turn->over = 1;
    lua_sethook(L, slice_hook, LUA_MASKCOUNT, 1);
  }
  lua_gc(L, LUA_GCSTOP, 0); /* a collection must not start on the way to the failing allocation */
  iso->refuse = true;
  lua_newuserdata(L, 1);
}

/* Both hooks run with HOOK_ACTIVE set, so they are not called again while they raise or yield.
 * This one is for what is no task. */
static void kill_hook(lua_State *L, lua_Debug *unused) {
  (void)unused;
  turn_kill(L);
}

/* CPU time since its clock was started. */
static int64_t elapsed_ns(const struct turn *turn) {
  return turn->first_ns ? clock_thread_ns() - turn->first_ns : 0;
}

static void slice_hook(lua_State *L, lua_Debug *unused) {
  (void)unused;
  struct turn *turn = innermost;
  if (!turn || !turn->sliceable)
    return;
  if (turn->sliced && turn->passed++ < PASSED_MOST) /* a coroutine did: the task is about to */
    return;
  if (!turn->sliced && task_can_slice(L)) {
    task_slice(L);
    lua_yield(L, 0);
  }
  if (turn->stuck)
    turn_kill(L);
  lua_sethook(L, slice_hook, LUA_MASKCOUNT, SLICE_INSTRUCTIONS);
}

static void give_way_at_next_line(struct turn *turn) {
  turn->hooked = 1;
  lua_sethook(turn->L, slice_hook, LUA_MASKCOUNT, 1);
}

static void tick_later(void) {
  ticking = 1;
  timer_settime(timer, 0, &one_tick, NULL);
}

/* In ticks of CPU time, to the nearest: the clocks differ by a little. */
static int64_t ticks_of(const struct turn *turn) {
  return (elapsed_ns(turn) + TURN_TICK_NS / 2) / TURN_TICK_NS;
}

static void on_tick(int number) {
  (void)number;
  struct turn *turn = innermost;
  slice_over = in_slice;
  ticking = 0;
  if (!turn)
    return;
  tick_later();
  if (!turn->first_ns)
    turn->first_ns = clock_thread_ns();
  int64_t ticks = ticks_of(turn);
  turn->over = turn->over || ticks >= turn->allowed;
  turn->due = turn->due || slice_over || ticks > 0 || turn->over;
  if (turn->due && turn->sliceable) {
    turn->stuck = turn->over || ticks > turn->patience;
    give_way_at_next_line(turn);
  } else if (turn->over) {
    turn->hooked = 1;
    if (turn->fuel)
      turn->fuel->floor = INT32_MAX;
    lua_sethook(turn->L, kill_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
  }
}

bool turn_is_over(void) {
  return innermost && (innermost->over || innermost->stuck);
}

bool turn_is_due(void) {
  return innermost && innermost->due && innermost->sliceable;
}

void turn_slice(lua_State *L) {
  struct turn *turn = innermost;
  turn->sliced = true;
  if (turn->over)
    turn_name_place(isolate_of(L), L);
}

void turn_poll(lua_State *L, int32_t steps) {
  struct fuel *fuel = innermost ? innermost->fuel : NULL;
  if (fuel)
    fuel->left -= steps;
  if (turn_is_over() || (fuel && fuel->left < fuel->floor))
    turn_kill(L);
}

int turn_watch_start(uv_loop_t *loop, struct fault *f) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = TURN_SIGNAL};
  struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
  event._sigev_un._tid = gettid();
  sigemptyset(&action.sa_mask);
  if (sigaction(TURN_SIGNAL, &action, NULL) != 0 ||
      timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
    return fault_set(f, -errno, "plugins cannot be limited in time: %s", strerror(errno));
  uv_loop_configure(loop, UV_LOOP_BLOCK_SIGNAL, TURN_SIGNAL);
  return 0;
}

void turn_watch_stop(void) {
  timer_delete(timer);
  ticking = 0;
}

void turn_slices_begin(void) {
  tick_later(); /* one that is over by now says nothing of the slice */
  slice_over = 0;
  in_slice = 1;
}

void turn_slices_end(void) {
  in_slice = slice_over = 0;
}

bool turn_slices_over(void) {
  return slice_over;
}

int64_t turn_patience_ns(const struct isolate *iso) {
  return iso->limits.turn_ns / 4;
}

void turn_begin(struct turn *turn, struct isolate *iso, const struct turn_share *share) {
  int64_t ticks = (iso->turn_ns - (share ? share->spent_ns : 0)) / TURN_TICK_NS;
  *turn = (struct turn){.L = iso->L,
                        .outer = innermost,
                        .allowed = ticks > 0 ? (int)ticks : 0,
                        .patience = (int)(turn_patience_ns(iso) / TURN_TICK_NS),
                        .sliceable = share != NULL && !iso->limits.compiled};
  iso->where[0] = '\0';
  if (iso->limits.compiled) {
    iso->fuel = (struct fuel){.left = iso->limits.steps};
    turn->fuel = &iso->fuel;
  }
  if (share && share->sliced)
    turn->first_ns = clock_thread_ns();
  iso->turns++;
  if (!innermost)
    stack_base = (uintptr_t)__builtin_frame_address(0);
  atomic_signal_fence(memory_order_release);
  innermost = turn;
  if (ticking) /* only now: a tick that found no turn would not have set the next */
    return;
  tick_later();
  turn->first_ns = clock_thread_ns();
}

bool turn_end(struct turn *turn, struct isolate *iso, struct turn_share *share) {
  innermost = turn->outer;
  atomic_signal_fence(memory_order_acquire);
  if (turn->hooked)
    lua_sethook(iso->L, NULL, 0, 0);
  int64_t had_ns = elapsed_ns(turn);
  /* A turn inside a killed one leaves it killed. */
  bool killed = (turn->over && (iso->killed || turn->sliced)) || fuel_is_spent(iso);
  bool slow = killed || turn->sliced || had_ns >= TURN_TICK_NS;
  if (iso->turns_pass != iso->vm->pass)
    iso->turns_before = iso->turns;
  iso->turns_pass = iso->vm->pass;
  if (slow) {
    iso->tired = iso->vm->hit = iso->vm->pass;
    iso->vm->hit_ms = (int)(had_ns / 1000000) + 1;
  }
  if (share) {
    iso->slow = slow;
    share->sliced = turn->sliced;
    share->spent_ns = turn->sliced ? share->spent_ns + had_ns : 0;
  }
  if (killed) {
    iso->killed = iso->refuse = false;
    iso->kills++;
    lua_gc(iso->L, LUA_GCRESTART, 0);
  }
  return killed;
}

void turn_aside(struct turn *aside, lua_State *L) {
  *aside = (struct turn){.L = L, .outer = innermost, .allowed = INT_MAX};
  atomic_signal_fence(memory_order_release);
  innermost = aside;
}

void turn_resume(const struct turn *aside) {
  innermost = aside->outer;
  atomic_signal_fence(memory_order_acquire);
}

bool turn_is_deep(void) {
  return innermost && stack_base - (uintptr_t)__builtin_frame_address(0) > STACK_MAX;
}
