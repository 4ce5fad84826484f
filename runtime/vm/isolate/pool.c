#include "vm/isolate/pool.h"

#include <stdlib.h>

enum { BLOCK = 8 << 10 };

struct pool_piece {
  struct pool_piece *next;
};
struct pool_block {
  struct pool_block *next;
  _Alignas(POOL_STEP) char bytes[];
};

static size_t class_of(size_t size) {
  return (size - 1) / POOL_STEP;
}

/* What is left of the block before is lost: less than the largest piece. */
static void *cut(struct pool *p, size_t bytes) {
  if ((size_t)(p->end - p->at) < bytes) {
    struct pool_block *b = malloc(BLOCK);
    if (!b)
      return NULL;
    b->next = p->blocks;
    p->blocks = b;
    p->at = b->bytes;
    p->end = (char *)b + BLOCK;
  }
  p->at += bytes;
  return p->at - bytes;
}

void *pool_take(struct pool *p, size_t size) {
  size_t class = class_of(size);
  struct pool_piece *piece = p->free[class];
  if (!piece)
    return cut(p, (class + 1) * POOL_STEP);
  p->free[class] = piece->next;
  /* The next of the class is asked for soon, and lies anywhere: what a collection gave back. */
  __builtin_prefetch(piece->next, 1);
  return piece;
}

void pool_give(struct pool *p, void *piece, size_t size) {
  struct pool_piece *free = piece;
  free->next = p->free[class_of(size)];
  p->free[class_of(size)] = free;
}

void pool_free(struct pool *p) {
  while (p->blocks) {
    struct pool_block *b = p->blocks;
    p->blocks = b->next;
    free(b);
  }
}
