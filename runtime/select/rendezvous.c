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

#include <float.h>
#include <stdlib.h>

/* An endpoint's cells deviate by a part of 1 / sqrt(its cells): 10 % at 655 endpoints. The number
 * may not follow theirs, or a change of one would move all keys; it takes two values. */
enum { FEW = 4096, CELLS = 1 << 16, CELLS_OF_MANY = 1 << 20 };

struct thrower {
  uint64_t hash;
  double unit; /* of its time */
  double time; /* when its next dart hits */
  uint32_t cell, thrown, row;
};

static void aim(struct thrower *t, uint32_t size) {
  uint64_t bits = select_named_hash(t->hash, t->thrown);
  t->cell = (uint32_t)((bits >> 32) * size >> 32);
  t->time = (t->thrown++ + (uint32_t)bits * 0x1p-32) * t->unit;
}

/* All darts that hit before a time. How many cells were hit for the first time. */
static uint32_t throw_until(struct thrower *throwers, uint32_t count, double until, uint32_t size,
                            double *times, uint32_t *cells) {
  uint32_t filled = 0;
  for (uint32_t i = 0; i < count; i++) {
    struct thrower t = throwers[i];
    for (; t.time < until; aim(&t, size))
      if (t.time < times[t.cell]) {
        filled += cells[t.cell] == UINT32_MAX;
        times[t.cell] = t.time;
        cells[t.cell] = t.row;
      }
    throwers[i] = t;
  }
  return filled;
}

/* In slices of time, so that few darts hit what a later one hits earlier. */
static void fill(struct thrower *throwers, uint32_t count, double slice, uint32_t size,
                 double *times, uint32_t *cells) {
  double until = 0;
  for (uint32_t i = 0; i < size; i++) {
    times[i] = DBL_MAX;
    cells[i] = UINT32_MAX;
  }
  for (uint32_t left = size; left;)
    left -= throw_until(throwers, count, until += slice, size, times, cells);
}

static uint32_t *make_cells(const struct select_named *rows, uint32_t count, uint32_t size) {
  struct thrower *throwers = malloc(count * sizeof *throwers);
  double *times = throwers ? malloc(size * sizeof *times) : NULL, largest = 0, darts = 0;
  uint32_t *cells = times ? malloc(size * sizeof *cells) : NULL;
  for (uint32_t i = 0; i < count; i++)
    largest = rows[i].weight > largest ? rows[i].weight : largest;
  double heavy = select_power_below(largest);
  for (uint32_t i = 0; throwers && i < count; i++) {
    throwers[i] =
        (struct thrower){.hash = rows[i].hash, .unit = heavy / rows[i].weight, .row = rows[i].row};
    aim(&throwers[i], size);
    darts += rows[i].weight / heavy; /* in a unit of time */
  }
  if (cells)
    fill(throwers, count, size / darts / 2, size, times, cells);
  free(times);
  free(throwers);
  return cells;
}

static int build_group(const struct select_named *rows, const struct catalog_rules *rules,
                       struct catalog_group_tables *group) {
  uint32_t size = group->count <= FEW ? CELLS : CELLS_OF_MANY;
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
