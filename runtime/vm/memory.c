/* memory: the account of an isolate.
 *
 *     0 ........ soft ........ hard ........ hard + RESERVE
 *       free      collected     refused to     refused to the host too: the fence of isolate.c
 *                 after a turn  the plugin     ends the isolate
 *
 * LuaJIT makes no emergency collection when an allocation fails, so the collector is kept close
 * behind (isolate.c sets its pause), and over the soft limit a turn ends with a whole collection.
 */
#include "vm/inside.h"

#include <lua.h>
#include <stdint.h>
#include <stdlib.h>

enum { RESERVE = 256 * 1024 };

static bool memory_allows(const struct isolate *iso, size_t more) {
  if (iso->refuse)
    return false;
  if (iso->closing || !iso->fence)
    return true; /* the state opens or closes: what it needs then, it gets */
  size_t limit = iso->limits.memory_hard + (iso->in_lua ? 0 : RESERVE) + iso->lifted;
  return iso->memory + more <= limit;
}

/* The state's allocator. Shrinking and freeing always succeed, as LuaJIT expects. */
void *memory_account(void *isolate, void *p, size_t old_size, size_t new_size) {
  struct isolate *iso = isolate;
  if (new_size == 0) {
    free(p);
    iso->memory -= old_size;
    iso->vm->memory -= old_size;
    return NULL;
  }
  if (new_size > old_size && !memory_allows(iso, new_size - old_size))
    return NULL;
  void *moved = realloc(p, new_size);
  if (!moved)
    return new_size <= old_size ? p : NULL;
  iso->memory += new_size - old_size; /* wraps when it shrinks, and comes out right */
  iso->vm->memory += new_size - old_size;
  if (iso->memory > iso->memory_peak)
    iso->memory_peak = iso->memory;
  return moved;
}

static int collect(lua_State *L, void *unused) {
  (void)unused;
  lua_gc(L, LUA_GCCOLLECT, 0);
  return 0;
}

void memory_settle(struct isolate *iso) {
  if (iso->memory <= iso->collect_at || iso->dead || iso->ending)
    return;
  iso->collect_at = SIZE_MAX; /* not again from inside */
  isolate_enter(iso, collect, NULL, NULL);
  /* What is still there is in use: look again when it has grown by a quarter, or by half of what is
   * left, so that what a task leaves behind that ran out is gone before the next. */
  size_t grown = iso->memory + iso->memory / 4, hard = iso->limits.memory_hard;
  if (grown > hard)
    grown = iso->memory < hard ? iso->memory + (hard - iso->memory) / 2 : hard;
  iso->collect_at = grown > iso->limits.memory_soft ? grown : iso->limits.memory_soft;
}
