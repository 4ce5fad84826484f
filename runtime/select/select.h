/* select: the balancers. Each is one file with one vtable: `build` makes its tables when a snapshot
 * is published (the agent's control thread), `pick` chooses a row (any process, any thread, no
 * allocation, no lock, no system call). README.md says how to add one. */
#pragma once

#include "catalog/reader.h"
#include "catalog/tables.h"
#include "select/load.h"

#define SELECT_NOTHING UINT32_MAX

/* What a handle keeps between picks; its own, so that processes and threads never meet. */
struct select_state {
  uint64_t random;                /* the generator's state; any value */
  uint32_t cursor;                /* where a rotation goes on; any value */
  const struct select_load *load; /* NULL = nothing is known; outlives the state */
};

/* What a caller asks of one pick. NULL = all zeroes. */
struct select_ask {
  uint64_t hash;    /* select_hash of the key, or the caller's own; counts when `keyed` */
  uint32_t attempt; /* 0, and 1 more each time that the answer was one that the caller avoids */
  bool keyed;       /* without a key the balancers that hash take a random one */
};

struct select_balancer {
  const char *name; /* as in the configuration */
  uint32_t number;  /* in the file: never changed, never used again for another */
  /* Fills t->order; t->alias is already there. t->count > 0. 0, -ENOMEM. */
  int (*build)(struct catalog_tables *t);
  /* A row of the view, not checked yet, or SELECT_NOTHING. The view has pickable > 0 and cycle > 0
   * but its tables may be damaged or torn: the caller compares the row with the count and checks
   * the epoch. `ask` may be NULL. */
  uint32_t (*pick)(struct select_state *state, const struct catalog_view *v,
                   const struct select_ask *ask);
  bool by_load; /* it reads the state's load: worth counting for */
};

extern const struct select_balancer select_round_robin, select_random, select_weighted;

/* NULL name: the default. NULL: there is none of that name. */
const struct select_balancer *select_by_name(const char *name);
/* A number that this library does not know is picked by the block's alias table. */
const struct select_balancer *select_by_number(uint32_t number);
/* The table, for those who list it; NULL after the last. */
const struct select_balancer *select_at(unsigned i);

/* XXH64 with seed 0 (Collet, xxHash's specification 0.1.1): what Envoy and gRPC hash keys by, and
 * what every language has, so that a client that maps the catalog itself gives the same answer. */
uint64_t select_hash(const void *bytes, size_t length);

/* The identity: rows in the block's order. */
int select_order_rows(struct catalog_tables *t);

/* 64 bits; Steele, Lea and Flood's SplitMix64. */
static inline uint64_t select_random_next(struct select_state *state) {
  uint64_t z = state->random += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* Vose's alias table in integers: cell i keeps `own` of 2^32 parts and gives the rest to `other`.
 * Summed over the cells, row i has count * 2^32 * weights[i] / sum parts, rounded, at least one;
 * the largest has what is left, so that all rows together have exactly count * 2^32. Weights > 0
 * and finite. 0 or -ENOMEM. */
int select_alias_build(const double *weights, uint32_t count, struct catalog_alias *cells);
