/* Ring: each endpoint has points on a circle, by its weight, at places that depend on its id alone;
 * a key belongs to the first point at or after its hash. Karger et al., "Consistent Hashing and
 * Random Trees", STOC 1997; points by weight as in libketama. The lightest endpoint has `points`
 * to twice as many: the unit is the power of two below its weight, so that a change of other
 * endpoints moves no point and so no key but those of what came or left.
 *
 * A group's table: the number of points, the shift of the index, the index of 2^(32 - shift) words
 * (where the points begin whose position is at least cell << shift), then the points in order,
 * position << 32 | row in the group. A lookup is two loads, not a search. */
#include "select/group.h"
#include "select/named.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 100, POINTS_MAX = 1 << 20, HEAD_WORDS = 2 };

struct point {
  uint64_t place;
  uint32_t rank; /* in the order of named rows: where two points fall together, the first has it */
  uint32_t row;
};

static bool is_before(const struct point *a, const struct point *b) {
  return a->place != b->place ? a->place < b->place : a->rank < b->rank;
}

/* The largest power of two that is at most x, a normal number > 0. */
static double power_below(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits &= 0x7ff0000000000000u;
  memcpy(&x, &bits, sizeof bits);
  return x > 0 ? x : 0x1p-1022;
}

static uint32_t points_of(double weight, double unit, uint32_t points) {
  double n = weight / unit * points + 0.5;
  return n < 1 ? 1 : n < POINTS_MAX ? (uint32_t)n : POINTS_MAX;
}

/* How many points a unit of weight has, so that all together are not too many. */
static uint32_t scale_points(const struct select_named *rows, uint32_t count, double unit,
                             uint32_t points) {
  for (;; points /= 2) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++)
      total += points_of(rows[i].weight, unit, points);
    if (total <= POINTS_MAX || points <= 1)
      return points;
  }
}

static struct point *make_points(const struct select_named *rows, uint32_t count, uint32_t points,
                                 uint32_t *total) {
  double least = rows[0].weight;
  for (uint32_t i = 1; i < count; i++)
    least = rows[i].weight < least ? rows[i].weight : least;
  double unit = power_below(least);
  points = scale_points(rows, count, unit, points);
  *total = 0;
  for (uint32_t i = 0; i < count; i++)
    *total += points_of(rows[i].weight, unit, points);
  struct point *all = malloc((*total ? *total : 1) * sizeof *all);
  for (uint32_t i = 0, at = 0; all && i < count; i++)
    for (uint32_t k = 0; k < points_of(rows[i].weight, unit, points); k++)
      all[at++] = (struct point){select_mix(rows[i].hash + (k + 1ull) * 0x9e3779b97f4a7c15u), i,
                                 rows[i].row};
  return all;
}

/* Even, as HEAD_WORDS is, so that the points are aligned. */
static uint32_t index_words(uint32_t shift) {
  return 1u << (32 - shift);
}

/* Sorts the points by the cells of the index, whose ends are in `ends` afterwards: places are
 * hashes, so that a cell has one or two, and sorting them is a step each. */
static void sort_points(const struct point *points, uint32_t total, uint32_t shift, uint32_t *ends,
                        struct point *sorted) {
  uint32_t cells = index_words(shift);
  memset(ends, 0, cells * sizeof *ends);
  for (uint32_t i = 0; i < total; i++)
    ends[points[i].place >> 32 >> shift]++;
  for (uint32_t cell = 0, sum = 0; cell < cells; cell++) {
    uint32_t count = ends[cell];
    ends[cell] = sum; /* its beginning, for now */
    sum += count;
  }
  for (uint32_t i = 0; i < total; i++) {
    uint32_t cell = (uint32_t)(points[i].place >> 32 >> shift);
    sorted[ends[cell]++] = points[i];
  }
  for (uint32_t i = 1; i < total; i++) /* what is out of order is within its cell */
    for (uint32_t at = i; at > 0 && is_before(&sorted[at], &sorted[at - 1]); at--) {
      struct point p = sorted[at];
      sorted[at] = sorted[at - 1];
      sorted[at - 1] = p;
    }
}

static uint32_t *lay_out(const struct point *points, uint32_t total, uint32_t *bytes) {
  uint32_t shift = 31;
  while (shift > 12 && 1u << (32 - shift) < total)
    shift--;
  uint32_t cells = index_words(shift);
  *bytes = (HEAD_WORDS + cells) * 4 + total * 8;
  uint32_t *table = malloc(*bytes);
  struct point *sorted = malloc((total ? total : 1) * sizeof *sorted);
  if (table && sorted) {
    uint32_t *index = table + HEAD_WORDS;
    table[0] = total;
    table[1] = shift;
    sort_points(points, total, shift, index, sorted);
    memmove(index + 1, index, (cells - 1) * sizeof *index); /* a cell begins where another ends */
    index[0] = 0;
    uint64_t *to = (uint64_t *)(index + cells);
    for (uint32_t i = 0; i < total; i++)
      to[i] = (sorted[i].place >> 32) << 32 | sorted[i].row;
  }
  free(sorted);
  if (!sorted) {
    free(table);
    return NULL;
  }
  return table;
}

static int build(struct catalog_tables *t) {
  int r = select_order_rows(t);
  for (uint32_t g = 0; r == 0 && g < t->group_count; g++) {
    uint32_t total;
    struct select_named *rows = select_named_rows(t, g);
    struct point *points = rows ? make_points(rows, t->groups[g].count,
                                              t->rules->points ? t->rules->points : POINTS, &total)
                                : NULL;
    if (points)
      t->groups[g].table = lay_out(points, total, &t->groups[g].table_bytes);
    r = t->groups[g].table ? 0 : -ENOMEM;
    free(points);
    free(rows);
  }
  return r;
}

static uint32_t row_at(const struct catalog_view *v, const struct select_group *g, uint64_t bits) {
  uint32_t key = (uint32_t)(bits >> 32), by_chance = (uint32_t)((bits >> 32) * g->count >> 32);
  const uint32_t *table = (const uint32_t *)(v->block + g->table);
  if (g->table_length < HEAD_WORDS * 4)
    return g->first + by_chance;
  uint32_t total = catalog_load32(&table[0]), shift = catalog_load32(&table[1]);
  if (shift < 12 || shift > 31 || total == 0 ||
      (HEAD_WORDS + index_words(shift)) * 4ull + total * 8ull > g->table_length)
    return g->first + by_chance;
  const uint64_t *points = (const uint64_t *)(table + HEAD_WORDS + index_words(shift));
  uint32_t at = catalog_load32(&table[HEAD_WORDS + (key >> shift)]);
  while (at < total && catalog_load64(&points[at]) >> 32 < key)
    at++;
  return g->first + (uint32_t)catalog_load64(&points[at < total ? at : 0]);
}

static uint32_t pick(struct select_state *state, const struct catalog_view *v,
                     const struct select_ask *ask) {
  uint64_t bits = select_key_bits(state, ask);
  struct select_group g = select_group_of_key(v, bits);
  return row_at(v, &g, bits);
}

const struct select_balancer select_ring = {.name = "ring",
                                            .number = 8,
                                            .build = build,
                                            .pick = pick,
                                            .quick = SELECT_QUICK,
                                            .by_key = true};
