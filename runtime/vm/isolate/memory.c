/* memory: the account of an isolate.
 *
 *     0 ........ soft ........ hard ........ hard + RESERVE
 *       free      collected     refused to     refused to the host too: the fence of isolate.c
 *                 after a turn  the plugin     ends the isolate
 *
 * One piece that the plugin asks for may have a quarter of it.
 * LuaJIT makes no emergency collection when an allocation fails, so the collector is kept close
 * behind (isolate.c sets its pause), and what a turn leaves over the soft limit is collected before
 * the plugin's next one. So is what a call has left open, once a second at most: as long as nothing
 * asks for memory, LuaJIT would not find it. */
#include "base/clock.h"
#include "vm/isolate/inside.h"

#include <lua.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { RESERVE = 256 * 1024 };
#define SWEEP_REST_NS (1000 * 1000 * 1000LL)

/* What is done with a piece (copied, cleared, hashed anew), nothing interrupts. */
size_t memory_most_at_once(const struct isolate *iso) {
  return iso->limits.memory_hard / 4;
}

static bool memory_allows(const struct isolate *iso, size_t size, size_t more) {
  if (iso->refuse || (iso->in_lua && size > memory_most_at_once(iso)))
    return false;
  if (iso->closing || !iso->fence)
    return true; /* the state opens or closes: what it needs then, it gets */
  size_t limit = iso->limits.memory_hard + (iso->in_lua ? 0 : RESERVE) + iso->lifted;
  return iso->memory + more <= limit;
}

static void give(struct isolate *iso, void *p, size_t size) {
  if (p && pool_has(size))
    pool_give(&iso->pool, p, size);
  else
    free(p);
}

/* As realloc; of what shrinks, too, there may be none. */
static void *move(struct isolate *iso, void *p, size_t old_size, size_t new_size) {
  if (!pool_has(new_size) && (!p || !pool_has(old_size)))
    return realloc(p, new_size);
  if (p && pool_same(old_size, new_size))
    return p;
  void *moved = pool_has(new_size) ? pool_take(&iso->pool, new_size) : malloc(new_size);
  if (!p || !moved)
    return moved;
  memcpy(moved, p, old_size < new_size ? old_size : new_size);
  give(iso, p, old_size);
  return moved;
}

/* `more` wraps when it shrinks, and comes out right. */
static void account(struct isolate *iso, size_t more) {
  iso->memory += more;
  if (!iso->heap_ends)
    iso->vm->memory += more;
}

/* The state's allocator. Shrinking and freeing always succeed, as LuaJIT expects. */
void *memory_account(void *isolate, void *p, size_t old_size, size_t new_size) {
  struct isolate *iso = isolate;
  if (new_size == 0) {
    give(iso, p, old_size);
    account(iso, 0 - old_size);
    return NULL;
  }
  if (new_size > old_size && !memory_allows(iso, new_size, new_size - old_size))
    return NULL;
  void *moved = move(iso, p, old_size, new_size);
  if (!moved && new_size > old_size)
    return NULL;
  moved = moved ? moved : p;
  account(iso, new_size - old_size);
  if (iso->memory > iso->memory_peak)
    iso->memory_peak = iso->memory;
  return moved;
}

static int collect(lua_State *L, void *unused) {
  (void)unused;
  lua_gc(L, LUA_GCCOLLECT, 0);
  return 0;
}

/* What is still there is in use: look again when it has grown by a quarter, or by half of what is
 * left, so that what a task leaves behind that ran out is gone before the next. */
static void collected(struct isolate *iso) {
  size_t grown = iso->memory + iso->memory / 4, hard = iso->limits.memory_hard;
  if (grown > hard)
    grown = iso->memory < hard ? iso->memory + (hard - iso->memory) / 2 : hard;
  iso->collect_at = grown > iso->limits.memory_soft ? grown : iso->limits.memory_soft;
  iso->sweeping = false;
}

static void on_collected(struct task_watch *w, struct task *t) {
  (void)w;
  collected(isolate_of_task(t));
}

static int spawn_collector(lua_State *L, void *task) {
  const struct task_start start = {.pace = TASK_CARES};
  lua_rawgeti(L, LUA_REGISTRYINDEX, isolate_of(L)->ref_collector);
  *(struct task **)task = task_spawn(L, 0, &start);
  return 0;
}

static bool collect_in_steps(struct isolate *iso) {
  struct task *t = NULL;
  if (iso->limits.compiled || iso->vm->scripted) /* they have no loop to come back from */
    return false;
  if (isolate_enter(iso, spawn_collector, &t, NULL) != 0 || !t)
    return false;
  iso->cycles = 0;
  iso->collecting.ended = on_collected;
  task_watch(t, &iso->collecting);
  task_begin(t);
  return true;
}

/* The first cycle may have been under way, and past what is garbage since. What the results of a
 * task refer to is garbage one cycle after the task is. */
int memory_step(lua_State *L) {
  struct isolate *iso = isolate_of(L);
  iso->cycles += lua_gc(L, LUA_GCSTEP, 0);
  lua_pushboolean(L, iso->cycles > (iso->sweeping ? 2 : iso->memory > iso->limits.memory_soft));
  return 1;
}

void memory_settle(struct isolate *iso) {
  if (iso->memory <= iso->collect_at || iso->dead || iso->ending || iso->sliced)
    return;
  iso->collect_at = SIZE_MAX; /* not again from inside */
  if (collect_in_steps(iso))
    return;
  isolate_enter(iso, collect, NULL, NULL);
  collected(iso);
}

/* What is under way goes on for as many cycles more; else it begins as if much was in use, at once
 * or when a task that gave way is through. */
static void on_sweep(struct alarm *a) {
  struct isolate *iso = (struct isolate *)((char *)a - offsetof(struct isolate, sweep));
  due_stop(iso->vm, a);
  iso->swept_ns = clock_now_ns();
  iso->sweeping = true;
  iso->cycles = 0;
  if (!iso->collecting.task)
    iso->collect_at = 0;
  isolate_hold(iso);
  isolate_release(iso);
}

void memory_sweep(struct isolate *iso) {
  int64_t rest = iso->swept_ns + SWEEP_REST_NS - clock_now_ns();
  if (alarm_is_set(&iso->sweep) || iso->ending || iso->limits.compiled || iso->vm->scripted)
    return;
  iso->sweep.fire = on_sweep;
  due_start(iso->vm, &iso->sweep, rest); /* for want of memory: when the next call returns */
}

void memory_sweep_stop(struct isolate *iso) {
  if (alarm_is_set(&iso->sweep))
    due_stop(iso->vm, &iso->sweep);
}
