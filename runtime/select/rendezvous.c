/* Rendezvous: of all endpoints the one with the highest score for the key, so that a change of one
 * endpoint moves its own keys and no other. Thaler and Ravishankar, IEEE/ACM Transactions on
 * Networking 6(1), 1998. A key's score is its cell's: the table has a fixed number of cells, each
 * with its winner.
 *
 * An endpoint throws darts at the cells, one in each unit of its time, which goes as fast as it is
 * heavy; a cell belongs to whoever hits it first. Where and when the n-th dart hits depends on the
 * id and the weight alone. The time of the first hit is geometric, as good as exponential, so this
 * is the score -weight / ln(u) of Schindelhauer and Schomaker, SPAA 2005, found in the order of
 * time: it takes ln(cells) darts a cell, however many endpoints there are, and not all pairs of the
 * two. The same order in weighted sampling: Ertl, "ProbMinHash", arXiv 1911.00675. */
#include "select/keyed.h"

#include <stdlib.h>
#include <string.h>

struct thrower {
  uint64_t hash;
  double unit; /* of its time */
  float time;  /* when its next dart hits */
  uint32_t cell, thrown;
};

static void aim(struct thrower *t, uint32_t size) {
  uint64_t bits = select_named_hash(t->hash, t->thrown);
  t->cell = (uint32_t)((bits >> 32) * size >> 32);
  t->time = (float)((t->thrown++ + (uint32_t)bits * 0x1p-32) * t->unit);
}

/* The time's bits, which are in the order of times, above the thrower's number: the least of a cell
 * is its winner. */
static uint64_t hit_of(const struct thrower *t, uint32_t number) {
  union {
    float time;
    uint32_t bits;
  } u = {t->time};
  return (uint64_t)u.bits << 32 | number;
}

/* All darts that hit before a time. How many cells were hit for the first time. */
static uint32_t throw_until(struct thrower *throwers, uint32_t count, float until, uint32_t size,
                            uint64_t *hits) {
  uint32_t filled = 0;
  for (uint32_t i = 0; i < count; i++) {
    struct thrower t = throwers[i];
    for (; t.time < until; aim(&t, size)) {
      uint64_t hit = hit_of(&t, i), before = hits[t.cell];
      filled += before == UINT64_MAX;
      hits[t.cell] = hit < before ? hit : before; /* no branch: which it is, cannot be guessed */
    }
    throwers[i] = t;
  }
  return filled;
}

/* In slices of time, so that few darts hit what a later one hits earlier. */
static void fill(struct thrower *throwers, uint32_t count, float slice, uint32_t size,
                 uint64_t *hits) {
  float until = 0;
  memset(hits, 0xff, size * sizeof *hits);
  for (uint32_t left = size; left;)
    left -= throw_until(throwers, count, until += slice, size, hits);
}

static uint32_t *make_cells(const struct select_named *rows, uint32_t count, uint32_t size) {
  struct thrower *throwers = malloc(count * sizeof *throwers);
  uint64_t *hits = throwers ? malloc(size * sizeof *hits) : NULL;
  uint32_t *cells = hits ? malloc(size * sizeof *cells) : NULL;
  double largest = 0, darts = 0;
  for (uint32_t i = 0; i < count; i++)
    largest = rows[i].weight > largest ? rows[i].weight : largest;
  double heavy = select_power_below(largest);
  for (uint32_t i = 0; throwers && i < count; i++) {
    throwers[i] = (struct thrower){.hash = rows[i].hash, .unit = heavy / rows[i].weight};
    aim(&throwers[i], size);
    darts += rows[i].weight / heavy; /* in a unit of time */
  }
  if (cells)
    fill(throwers, count, (float)(size / darts / 2), size, hits);
  for (uint32_t i = 0; cells && i < size; i++)
    cells[i] = rows[(uint32_t)hits[i]].row;
  free(hits);
  free(throwers);
  return cells;
}

static int build_group(const struct select_named *rows, const struct catalog_rules *rules,
                       struct catalog_group_tables *group) {
  uint32_t size = select_cells_for(group->count);
  return select_cells_keep(group, make_cells(rows, group->count, size), size);
}

static int build(struct catalog_tables *t) {
  return select_keyed_build(t, build_group);
}

const struct select_balancer select_rendezvous = {.name = "rendezvous",
                                                  .number = 9,
                                                  .build = build,
                                                  .pick = select_cells_pick,
                                                  .quick = SELECT_QUICK,
                                                  .by_key = true};
