/* fuel: what bounds code that the JIT compiles, which looks at no hook. Each function, each turn of
 * a loop and each goto takes one from a counter, and raises when there is none left. The checks are
 * written into the source before it is compiled: Lua's own compiler then knows nothing of them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf;

/* One an isolate. `left` stays below `floor` after the trap, so that no pcall goes on. */
struct fuel {
  int32_t left;
  volatile int32_t floor; /* 0; the turn's tick lifts it over `left` when the time is over */
  int32_t depth;          /* of calls that catch errors: lua/perigee/fuel.lua's */
};
#define FUEL_CDEF "struct { int32_t left; volatile int32_t floor; int32_t depth; } *"

/* Adds to `out` a chunk that, called with the counter as cdata, returns the function that `source`
 * is the body of. Lines stay what they are. `name` is what the checks call the counter: a name
 * that does not occur in `source`. `source` must compile as it is. */
void fuel_rewrite(const char *source, size_t length, const char *name, struct buf *out);
