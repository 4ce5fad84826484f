/* arena: the granules of one file, as the writer sees them: which are free, which rest because a
 * slow reader may still look at them, and how the file grows. Control thread only.
 *
 * Blocks are runs of granules. A block that is no longer current rests for a second, then its
 * epoch is bumped and its granules are free. Chunks of the maps and names are taken for ever. */
#pragma once

#include "catalog/layout.h"

/* How long; the spec that wants every reader to be overtaken makes it 0. */
#ifndef CATALOG_REST_NS
#define CATALOG_REST_NS 1000000000
#endif

struct arena_rest {
  uint32_t granule, granules;
  int64_t since_ns;
};

struct arena {
  int fd;
  unsigned char *base;
  uint64_t mapped;          /* bytes of address space */
  uint32_t granules;        /* of the file */
  uint32_t taken;           /* granules in use or resting */
  uint32_t resting;         /* granules that rest */
  uint32_t next;            /* where the search for free granules goes on */
  uint32_t fresh;           /* from here on none has ever been taken: their bytes are zero */
  uint64_t *used;           /* a bit a granule */
  struct arena_rest *rests; /* a ring, oldest first */
  uint32_t rest_first, rest_count, rest_room;
};

uint64_t arena_unix_us(void);  /* of the wall */
int64_t arena_now_ns(void);    /* CLOCK_MONOTONIC */
int64_t arena_thread_ns(void); /* the calling thread's CPU time */
int64_t arena_coarse_ns(void); /* the same to some milliseconds, at a quarter of the cost */

/* Makes an empty file of one step in `fd`, which the arena owns from then on, also on failure.
 * -ENOSPC, -ENOMEM, -EFBIG. */
int arena_create(struct arena *a, int fd);
void arena_close(struct arena *a);

/* A run of free granules, whose words are not zero. Grows the file when it must; when that fails,
 * takes what rests, oldest first. -ENOSPC: even then there is none. */
int arena_take(struct arena *a, uint32_t granules, uint32_t *granule);

/* A block is no longer current. -ENOMEM: it stays taken for ever. */
int arena_rest(struct arena *a, uint32_t granule, uint32_t granules);
/* Frees what was never reachable by a reader. */
void arena_give_back(struct arena *a, uint32_t granule, uint32_t granules);
/* Frees what has rested for a second, and the oldest of what is beyond 64 MiB. */
void arena_reclaim(struct arena *a, int64_t now_ns);
/* Fills taken granules by a write to the file, not by stores: a fresh page then need be neither
 * cleared nor mapped here first, which is half of what publishing much for the first time takes.
 * Nobody reads them before `current` names them. */
int arena_write(struct arena *a, uint32_t granule, const void *bytes, size_t length);

static inline struct catalog_header *arena_header(const struct arena *a) {
  return (struct catalog_header *)a->base;
}
static inline void *arena_at(const struct arena *a, uint32_t granule) {
  return a->base + (uint64_t)granule * CATALOG_GRANULE;
}

/* Item `i` of a map, whose chunk must be there. */
void *arena_item(const struct arena *a, enum catalog_map_granule map, uint32_t i);
/* Makes its chunk when it is not there yet; zeroed. -ENOSPC. */
int arena_chunk(struct arena *a, enum catalog_map_granule map, uint32_t i);
/* The `current` word of the block that begins there. */
uint64_t arena_current(const struct arena *a, uint32_t granule);
