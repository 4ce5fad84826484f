/* Ring: each endpoint has points on a circle, by its weight, at places that depend on its id alone;
 * a key belongs to the first point at or after its place. Karger et al., "Consistent Hashing and
 * Random Trees", STOC 1997; points by weight as in libketama. The lightest endpoint has `points`
 * to twice as many: the unit is the power of two below its weight, so that a change of other
 * endpoints moves no point and so no key but those of what came or left. Where there would be too
 * many of them all have the first half of theirs.
 *
 * A point's place is 64 bits; a key's is one of as many as the table has cells, each of which has
 * the row of the first point from there on. So a pick is one load, however many points there are,
 * and nothing is searched. */
#include "select/keyed.h"

#include <stdlib.h>
#include <string.h>

enum {
  POINTS = 100,
  POINTS_MOST = 1 << 18, /* together: four a cell, and 3 ms */
  POINTS_OF_MANY = 1 << 20
};

/* `unit`: the weight of one point. */
static uint32_t points_of(double weight, double unit) {
  double n = weight / unit + 0.5;
  return n < 1 ? 1 : n < POINTS_OF_MANY ? (uint32_t)n : POINTS_OF_MANY;
}

static uint64_t total_of(const struct select_named *rows, uint32_t count, double unit) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < count; i++)
    total += points_of(rows[i].weight, unit);
  return total;
}

/* Doubled until all together are not too many: then each has half of its points, and the lightest
 * at last more than their share. */
static double unit_for(const struct select_named *rows, uint32_t count, uint32_t points) {
  double least = rows[0].weight;
  uint32_t most = count <= SELECT_FEW ? POINTS_MOST : POINTS_OF_MANY;
  for (uint32_t i = 1; i < count; i++)
    least = rows[i].weight < least ? rows[i].weight : least;
  double unit = select_power_below(least) / (points ? points : POINTS);
  while (total_of(rows, count, unit) > (count < most ? most : count))
    unit *= 2;
  return unit;
}

/* The first point of each cell that has one: what the cell does not say of its place, above the
 * number of its endpoint. The least is the first. */
static void place_points(const struct select_named *rows, uint32_t count, double unit,
                         uint32_t size, uint64_t *firsts) {
  memset(firsts, 0xff, size * sizeof *firsts);
  for (uint32_t i = 0; i < count; i++)
    for (uint32_t n = points_of(rows[i].weight, unit), k = 0; k < n; k++) {
      uint64_t place = select_named_hash(rows[i].hash, k);
      uint32_t cell = (uint32_t)((place >> 32) * size >> 32);
      uint64_t point = place * size >> 32 << 32 | i, before = firsts[cell];
      firsts[cell] = point < before ? point : before;
    }
}

static uint32_t *make_cells(const struct select_named *rows, uint32_t count, uint32_t points,
                            uint32_t size) {
  uint64_t *firsts = malloc(size * sizeof *firsts);
  uint32_t *cells = firsts ? malloc(size * sizeof *cells) : NULL;
  if (cells) {
    place_points(rows, count, unit_for(rows, count, points), size, firsts);
    uint32_t first = 0;
    while (firsts[first] == UINT64_MAX)
      first++;
    uint64_t next = firsts[first]; /* round the circle */
    for (uint32_t cell = size; cell-- > 0;) {
      next = firsts[cell] == UINT64_MAX ? next : firsts[cell];
      cells[cell] = rows[(uint32_t)next].row;
    }
  }
  free(firsts);
  return cells;
}

static int build_group(const struct select_named *rows, const struct catalog_rules *rules,
                       struct catalog_group_tables *group) {
  uint32_t size = select_cells_for(group->count);
  return select_cells_keep(group, make_cells(rows, group->count, rules->points, size), size);
}

static int build(struct catalog_tables *t) {
  return select_keyed_build(t, build_group);
}

const struct select_balancer select_ring = {.name = "ring",
                                            .number = 8,
                                            .build = build,
                                            .pick = select_cells_pick,
                                            .quick = SELECT_QUICK,
                                            .by_key = true};
