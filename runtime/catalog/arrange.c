/* What of an endpoint is picked, in which order the rows are, and what the tables are made of. */
#include "catalog/block.h"

#include <errno.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_MAX = 1 << 20, CRITICAL = 2 };

/* Rows are sorted by class, then by group, or by tier where they are in none, then as they were
 * given. */
enum row_class { PICKED, HEALTHY, UNHEALTHY };

static int compare_keys(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static int row_reserve(struct block_draft *d, size_t count) {
  struct {
    void **array;
    size_t size;
  } arrays[] = {{(void **)&d->order, sizeof *d->order},
                {(void **)&d->weights, sizeof *d->weights},
                {(void **)&d->ids, sizeof *d->ids},
                {(void **)&d->shape_weights, sizeof *d->shape_weights},
                {(void **)&d->shape_groups, sizeof *d->shape_groups},
                {(void **)&d->shares, sizeof *d->shares}};
  if (count <= d->row_room)
    return 0;
  for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
    void *grown = realloc(*arrays[i].array, count * arrays[i].size);
    if (!grown)
      return -ENOMEM;
    *arrays[i].array = grown;
  }
  d->row_room = count;
  return 0;
}

static int sort_rows(struct block_draft *d, const struct catalog_snapshot *s,
                     const struct catalog_shape *shape, struct catalog_block *head) {
  bool sorted = true;
  for (uint32_t i = 0; i < s->count; i++) {
    const struct catalog_endpoint *e = &s->endpoints[i];
    bool picked = shape->weights[i] > 0;
    enum row_class class = picked ? PICKED : e->status < CRITICAL ? HEALTHY : UNHEALTHY;
    uint16_t group = picked ? shape->groups[i] : e->tier;
    head->pickable += picked;
    d->order[i] = (uint64_t) class << 48 | (uint64_t)group << 32 | i;
    sorted = sorted && (i == 0 || d->order[i - 1] < d->order[i]);
  }
  if (!sorted)
    qsort(d->order, s->count, sizeof *d->order, compare_keys);
  for (uint32_t i = 0; i < head->pickable; i++) {
    uint32_t from = (uint32_t)d->order[i];
    d->weights[i] = shape->weights[from];
    d->ids[i] = s->endpoints[from].id ? s->endpoints[from].id : "";
  }
  return 0;
}

/* What the endpoints' own fields must be, before anything is computed from them. */
static int check_endpoints(const struct catalog_snapshot *s, uint32_t *healthy) {
  for (uint32_t i = 0; i < s->count; i++) {
    const struct catalog_endpoint *e = &s->endpoints[i];
    if (!(e->weight >= 0 && e->weight <= DBL_MAX) || e->status > CRITICAL)
      return -EINVAL;
    *healthy += e->status < CRITICAL;
  }
  return 0;
}

/* The groups' ranges in the sorted rows. */
static int make_groups(struct block_draft *d, const struct catalog_shape *shape) {
  uint32_t count = shape->group_count, first = 0;
  struct catalog_group_tables *groups = calloc(count ? count : 1, sizeof *groups);
  if (!groups)
    return -ENOMEM;
  for (uint32_t i = 0; i < d->head.pickable; i++)
    groups[(uint16_t)(d->order[i] >> 32)].count++;
  for (uint32_t g = 0; g < count; first += groups[g++].count) {
    groups[g].first = first;
    groups[g].share = shape->shares[g].share;
  }
  free(d->tables.groups);
  d->tables.groups = groups;
  d->tables.group_count = count;
  return 0;
}

int block_arrange(struct block_draft *d, const struct catalog_snapshot *s) {
  static const struct catalog_rules none;
  if (s->count > COUNT_MAX)
    return -E2BIG;
  d->head = (struct catalog_block){.kind = CATALOG_SNAPSHOT, .count = (uint32_t)s->count};
  int r = check_endpoints(s, &d->head.healthy);
  if (r < 0 || (r = row_reserve(d, s->count)) < 0)
    return r;
  struct catalog_shape shape = {
      .weights = d->shape_weights, .groups = d->shape_groups, .shares = d->shares};
  if ((r = catalog_shape_build(&shape, s)) < 0 || (r = sort_rows(d, s, &shape, &d->head)) < 0 ||
      (r = make_groups(d, &shape)) < 0)
    return r;
  d->head.flags = (s->count && !d->head.healthy ? CATALOG_FAIL_OPEN : 0u) |
                  (shape.panic ? CATALOG_PANIC : 0u) | (s->stale_since_ns ? CATALOG_STALE : 0u);
  d->head.stale_since_ns = (uint64_t)s->stale_since_ns;
  d->tables = (struct catalog_tables){.balancer = s->balancer,
                                      .rules = s->rules ? s->rules : &none,
                                      .weights = d->weights,
                                      .ids = d->ids,
                                      .count = d->head.pickable,
                                      .groups = d->tables.groups,
                                      .group_count = d->tables.group_count};
  d->key = catalog_tables_key(&d->tables);
  return 0;
}
