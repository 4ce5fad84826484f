/* Ring: each endpoint has points on a circle, by its weight, at places that depend on its id alone;
 * a key belongs to the first point at or after its hash. Karger et al., "Consistent Hashing and
 * Random Trees", STOC 1997; points by weight as in libketama. The lightest endpoint has `points`
 * to twice as many: the unit is the power of two below its weight, so that a change of other
 * endpoints moves no point and so no key but those of what came or left. Where there would be too
 * many of them all have the first half of theirs.
 *
 * A group's table, in words: the number of points; how many bits of a place say its cell; where
 * each cell's points begin, and where the last ends; the points in order. A point's word is what
 * its cell does not say of its place, above its row: there are as many cells as rows at least. So a
 * lookup is two loads. */
#include "select/keyed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
  POINTS = 100,
  POINTS_USUAL = 1 << 17, /* together at most: half a megabyte, which a core's own cache holds */
  POINTS_MAX = 1 << 20,   /* where `points` was given */
  BITS_MAX = 20,
  HEAD_WORDS = 2,
  POINTS_A_CELL = 4,
  STEPS = 4
};

struct point {
  uint64_t place;
  uint32_t rank; /* in the order of named rows: where two points fall together, the first has it */
  uint32_t row;
};

static bool is_before(const struct point *a, const struct point *b) {
  return a->place != b->place ? a->place < b->place : a->rank < b->rank;
}

/* `unit`: the weight of one point. */
static uint32_t points_of(double weight, double unit) {
  double n = weight / unit + 0.5;
  return n < 1 ? 1 : n < POINTS_MAX ? (uint32_t)n : POINTS_MAX;
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
  uint32_t most = points ? POINTS_MAX : POINTS_USUAL;
  for (uint32_t i = 1; i < count; i++)
    least = rows[i].weight < least ? rows[i].weight : least;
  double unit = select_power_below(least) / (points ? points : POINTS);
  while (total_of(rows, count, unit) > (count < most ? most : count))
    unit *= 2;
  return unit;
}

static struct point *make_points(const struct select_named *rows, uint32_t count, uint32_t points,
                                 uint32_t *total) {
  double unit = unit_for(rows, count, points);
  *total = (uint32_t)total_of(rows, count, unit);
  struct point *all = calloc(*total ? *total : 1, sizeof *all);
  for (uint32_t i = 0, at = 0; all && i < count; i++)
    for (uint32_t n = points_of(rows[i].weight, unit), k = 0; k < n; k++)
      all[at++] = (struct point){select_named_hash(rows[i].hash, k), i, rows[i].row};
  return all;
}

/* Sorts the points by cells, whose ends are in `ends` afterwards: places are hashes, so that a cell
 * has a few, and sorting them is a step or two each. */
static void sort_points(const struct point *points, uint32_t total, uint32_t bits, uint32_t *ends,
                        struct point *sorted) {
  uint32_t cells = 1u << bits;
  memset(ends, 0, cells * sizeof *ends);
  for (uint32_t i = 0; i < total; i++)
    ends[points[i].place >> (64 - bits)]++;
  for (uint32_t cell = 0, sum = 0; cell < cells; cell++) {
    uint32_t count = ends[cell];
    ends[cell] = sum; /* its beginning, for now */
    sum += count;
  }
  for (uint32_t i = 0; i < total; i++)
    sorted[ends[points[i].place >> (64 - bits)]++] = points[i];
  for (uint32_t i = 1; i < total; i++) /* what is out of order is within its cell */
    for (uint32_t at = i; at > 0 && is_before(&sorted[at], &sorted[at - 1]); at--) {
      struct point p = sorted[at];
      sorted[at] = sorted[at - 1];
      sorted[at - 1] = p;
    }
}

static uint32_t bits_for(uint32_t count, uint32_t total) {
  uint32_t bits = 1;
  while (bits < BITS_MAX && (1u << bits < count || 1u << bits < total / POINTS_A_CELL))
    bits++;
  return bits;
}

/* A lookup reads some words at once, and may do so at the end. */
static uint32_t table_words(uint32_t bits, uint32_t total) {
  return HEAD_WORDS + (1u << bits) + 1 + total + STEPS;
}

static uint32_t *lay_out(const struct point *points, uint32_t total, uint32_t bits) {
  struct point *sorted = malloc((total ? total : 1) * sizeof *sorted);
  uint32_t *table = sorted ? calloc(table_words(bits, total), sizeof *table) : NULL;
  if (table) {
    uint32_t *begins = table + HEAD_WORDS, *words = begins + (1u << bits) + 1;
    table[0] = total;
    table[1] = bits;
    sort_points(points, total, bits, begins + 1, sorted); /* one begins where another ends */
    for (uint32_t i = 0; i < total; i++)
      words[i] = (uint32_t)(sorted[i].place >> 32) << bits | sorted[i].row;
  }
  free(sorted);
  return table;
}

static int build_group(const struct select_named *rows, const struct catalog_rules *rules,
                       struct catalog_group_tables *group) {
  uint32_t total;
  struct point *points = make_points(rows, group->count, rules->points, &total);
  if (!points)
    return -ENOMEM;
  uint32_t bits = bits_for(group->count, total);
  group->table = lay_out(points, total, bits);
  group->table_bytes = table_words(bits, total) * (uint32_t)sizeof(uint32_t);
  free(points);
  return group->table ? 0 : -ENOMEM;
}

static int build(struct catalog_tables *t) {
  return select_keyed_build(t, build_group);
}

static uint32_t row_at(const struct catalog_view *v, const struct select_group *g, uint64_t hash) {
  uint32_t key = (uint32_t)(hash >> 32), by_chance = (uint32_t)((hash >> 32) * g->count >> 32);
  const uint32_t *table = (const uint32_t *)(v->block + g->table);
  if (g->table_length < HEAD_WORDS * 4)
    return g->first + by_chance;
  uint32_t total = catalog_load32(&table[0]), bits = catalog_load32(&table[1]);
  if (bits < 1 || bits > BITS_MAX || total == 0 || total > POINTS_MAX ||
      table_words(bits, total) * 4 > g->table_length)
    return g->first + by_chance;
  const uint32_t *begins = table + HEAD_WORDS, *words = begins + (1u << bits) + 1;
  uint32_t at = catalog_load32(&begins[key >> (32 - bits)]);
  uint32_t end = catalog_load32(&begins[(key >> (32 - bits)) + 1]), low = key << bits;
  uint32_t passed;
  at = at < total ? at : total;
  end = end < total ? end : total;
  do { /* no branch on what was read: the next pick's loads need not wait for it */
    passed = 0;
#pragma GCC unroll 4
    for (uint32_t i = 0; i < STEPS; i++)
      passed += (at + i < end) & (catalog_load32(&words[at + i]) < low);
    at += passed;
  } while (passed == STEPS && at < end);
  at = at < total ? at : 0; /* round the circle */
  return g->first + (catalog_load32(&words[at]) & ((1u << bits) - 1));
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
