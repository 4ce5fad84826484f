/* select: the balancers. Each is one file with one vtable: `build` makes its tables when a snapshot
 * is published (the agent's control thread), `pick` chooses a row (any process, any thread, no
 * allocation, no lock, no system call). README.md says how to add one. */
#pragma once

#include "catalog/reader.h"
#include "catalog/tables.h"
#include "select/load.h"

#define SELECT_NOTHING UINT32_MAX
#define SELECT_QUICK 655 /* endpoints whose tables of 65,536 cells are made in 3 ms */

/* What a handle keeps between picks; its own, so that processes and threads never meet. */
struct select_state {
  uint64_t random;                /* the generator's state; any value */
  uint32_t cursor;                /* where a rotation goes on; any value */
  const struct select_load *load; /* NULL = nothing is known; outlives the state */
  uint64_t now_ns;                /* the pick's time, select_now_ns; for who goes by load */
  void *chooser;                  /* client/chooser.h's own; NULL: the balancer picks */
};

/* What a caller asks of one pick. NULL = all zeroes. */
struct select_ask {
  uint64_t hash;    /* select_hash of the key, or the caller's own; counts when `keyed` */
  uint32_t attempt; /* 0, and 1 more each time that the answer was one that the caller avoids */
  bool keyed;       /* without a key the balancers that hash take a random one */
  const char *key;  /* what was hashed; NULL: there is none, or the caller hashed it */
  size_t key_length;
};

struct select_balancer {
  const char *name; /* as in the configuration */
  uint32_t number;  /* in the file: never changed, never used again for another */
  /* Makes t->order and its cycle, and what else its picks need: the groups' tables, t->options.
   * t->alias is already there. t->count > 0. 0, -ENOMEM, -E2BIG. */
  int (*build)(struct catalog_tables *t);
  /* A row of the view, not checked yet, or SELECT_NOTHING. The view has pickable > 0 and cycle > 0
   * but its tables may be damaged or torn: the caller compares the row with the count and checks
   * the epoch. `ask` may be NULL. */
  uint32_t (*pick)(struct select_state *state, const struct catalog_view *v,
                   const struct select_ask *ask);
  uint32_t quick;  /* tables of more endpoints take long; 0 = they never do */
  bool by_load;    /* it reads the state's load and time: worth counting for */
  bool by_latency; /* of the load the latencies and failures too: worth timing for */
  bool by_key;     /* the same key, the same endpoint */
  bool walks;      /* its pick is select_walk */
  bool weightless; /* all endpoints of a group are alike to it */
};

extern const struct select_balancer select_round_robin, select_random, select_weighted,
    select_weighted_round_robin, select_least_request, select_p2c_ewma, select_maglev, select_ring,
    select_rendezvous, select_maglev_bounded, select_pick_first;

/* NULL name: the default, p2c_ewma; "p2c" is short for it. NULL: there is none of that name. */
const struct select_balancer *select_by_name(const char *name);
/* The decay of a service's latencies, for select_ewma. */
uint64_t select_decay_ns(const struct catalog_view *v);
/* A number that this library does not know is picked by the block's alias table. */
const struct select_balancer *select_by_number(uint32_t number);
/* The table, for those who list it; NULL after the last. */
const struct select_balancer *select_at(unsigned i);

/* XXH64 with seed 0 (Collet, xxHash's specification 0.1.1): what Envoy and gRPC hash keys by, and
 * what every language has, so that a client that maps the catalog itself gives the same answer. */
uint64_t select_hash(const void *bytes, size_t length);

/* SplitMix64's last step: any change of a bit changes half of them. */
static inline uint64_t select_mix(uint64_t z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* 64 bits; Steele, Lea and Flood's SplitMix64. */
static inline uint64_t select_random_next(struct select_state *state) {
  return select_mix(state->random += 0x9e3779b97f4a7c15u);
}

/* What a pick hashes by: of the key and the attempt, or random bits without a key. Mixed, so that
 * a caller's hash may be as poor as a counter. */
static inline uint64_t select_key_bits(struct select_state *state, const struct select_ask *ask) {
  if (!ask || !ask->keyed)
    return select_random_next(state);
  return select_mix(ask->hash + (ask->attempt + 1ull) * 0x9e3779b97f4a7c15u);
}

/* The next row of order[]: the pick of those whose build has done all else. */
static inline uint32_t select_walk(struct select_state *state, const struct catalog_view *v) {
  uint32_t at = state->cursor;
  if (__builtin_expect(at >= v->cycle, 0))
    at %= v->cycle; /* the first pick, or the snapshot became smaller, or a cycle is over */
  state->cursor = at + 1;
  return catalog_load32(&v->order[at]);
}

/* For `build`: the identity, rows in the block's order. */
int select_order_rows(struct catalog_tables *t);
/* For `build`: the cycle of smooth weighted round robin over all rows by weight and group share;
 * the identity where all are alike. */
int select_order_cycle(struct catalog_tables *t);
/* For `build`: an alias table for each group; nothing to do with one group. */
int select_group_aliases(struct catalog_tables *t);
/* The weights of all rows with their groups' shares in them; with one group, as they are. */
void select_shared_weights(const struct catalog_tables *t, double *weights);

/* Vose's alias table in integers: cell i keeps `own` of 2^32 parts and gives the rest to `other`.
 * Summed over the cells, row i has count * 2^32 * weights[i] / sum parts, rounded, at least one;
 * the largest has what is left, so that all rows together have exactly count * 2^32. Weights > 0
 * and finite. 0 or -ENOMEM. */
int select_alias_build(const double *weights, uint32_t count, struct catalog_alias *cells);
