/* pool: the small pieces of memory of one isolate, which are most of what it asks for, and which
 * its collector gives back by the thousand. They are cut from blocks, that go with the isolate: so
 * a piece costs a few instructions, no header, and at the end nothing. The isolate's thread only.
 */
#pragma once

#include <stddef.h>

enum { POOL_STEP = 16, POOL_MOST = 256 }; /* bytes: pieces of each step up to the most */

struct pool_piece;
struct pool_block;
struct pool {
  struct pool_piece *free[POOL_MOST / POOL_STEP];
  char *at, *end; /* what is left of the newest block */
  struct pool_block *blocks;
};

/* Whether pieces of this size, which is not 0, are the pool's. Under AddressSanitizer none are, so
 * that it sees each. */
static inline int pool_has(size_t size) {
#ifdef __SANITIZE_ADDRESS__
  return size == 0;
#else
  return size <= POOL_MOST;
#endif
}
/* Whether a piece of the one size is one of the other, of which one at least is the pool's. */
static inline int pool_same(size_t size, size_t other) {
  return (size - 1) / POOL_STEP == (other - 1) / POOL_STEP;
}
void *pool_take(struct pool *p, size_t size); /* NULL: out of memory */
void pool_give(struct pool *p, void *piece, size_t size);
void pool_free(struct pool *p); /* all of it */
