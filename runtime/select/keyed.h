/* keyed: what the balancers that go by a key have in common. Their tables are made of a group's
 * rows by a hash of each one's id, so that they are the same on every host and for any order in
 * which it heard of the endpoints; most of them are cells, in which a key's hash finds a row. */
#pragma once

#include "select/group.h"

/* A row as it is hashed. Building: agent only. */
struct select_named {
  uint64_t hash; /* XXH64 of the id */
  const char *id;
  uint32_t row; /* in the group */
  double weight;
};

/* The n-th, from 0 on, of an endless row of hashes of its own. */
static inline uint64_t select_named_hash(uint64_t hash, uint32_t n) {
  return select_mix(hash + (n + 1ull) * 0x9e3779b97f4a7c15u);
}

/* The largest power of two that is at most x, a normal number > 0: what weights can be divided by
 * without a rounding, so that none depends on the other endpoints. */
double select_power_below(double x);

/* One group's table, malloc'd, in group->table, and its size. `rows`: group->count of them, sorted
 * by hash and id. 0, -ENOMEM, -E2BIG. */
typedef int (*select_keyed_fn)(const struct select_named *rows, const struct catalog_rules *rules,
                               struct catalog_group_tables *group);
/* The rows' plain order, and a table for each group. */
int select_keyed_build(struct catalog_tables *t, select_keyed_fn build);

/* How many cells, where a balancer does not say. It may not follow the number of endpoints, or a
 * change of one would move keys of all: it takes two values, 128 KiB and 4 MiB. */
enum { SELECT_FEW = 4096 };
static inline uint32_t select_cells_for(uint32_t count) {
  return count <= SELECT_FEW ? 1 << 16 : 1 << 20;
}
/* Cells: each is a row of the group, 16 bits wide while these suffice. Takes `cells`, malloc'd,
 * which may be NULL (-ENOMEM). */
int select_cells_keep(struct catalog_group_tables *group, uint32_t *cells, uint32_t size);
/* The row of a group by 64 bits of a key. May be garbage; by chance where there is no table. */
uint32_t select_cells_row(const struct catalog_view *v, const struct select_group *g,
                          uint64_t bits);
/* The pick of those that do nothing else. */
uint32_t select_cells_pick(struct select_state *state, const struct catalog_view *v,
                           const struct select_ask *ask);
