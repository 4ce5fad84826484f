/* What every block gets when it is published, whatever its balancer; then the balancer's own. */
#include "select/select.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int select_order_rows(struct catalog_tables *t) {
  t->order = malloc(t->count * sizeof *t->order);
  if (!t->order)
    return -ENOMEM;
  for (uint32_t i = 0; i < t->count; i++)
    t->order[i] = i;
  t->cycle = t->count;
  return 0;
}

void select_shared_weights(const struct catalog_tables *t, double *weights) {
  if (t->group_count == 1) { /* as they are: of whole numbers the cycle is exact */
    memcpy(weights, t->weights, t->count * sizeof *weights);
    return;
  }
  for (uint32_t g = 0; g < t->group_count; g++) {
    const struct catalog_group_tables *group = &t->groups[g];
    const double *from = t->weights + group->first;
    double largest = 0, sum = 0; /* of the weights themselves, a sum may overflow */
    for (uint32_t i = 0; i < group->count; i++)
      largest = from[i] > largest ? from[i] : largest;
    for (uint32_t i = 0; i < group->count; i++)
      sum += from[i] / largest;
    for (uint32_t i = 0; i < group->count; i++)
      weights[group->first + i] = from[i] / largest / sum * group->share;
  }
}

int select_group_aliases(struct catalog_tables *t) {
  int r = 0;
  for (uint32_t g = 0; t->group_count > 1 && r == 0 && g < t->group_count; g++) {
    struct catalog_group_tables *group = &t->groups[g];
    group->table_bytes = group->count * (uint32_t)sizeof(struct catalog_alias);
    group->table = malloc(group->table_bytes);
    r = group->table ? select_alias_build(t->weights + group->first, group->count, group->table)
                     : -ENOMEM;
  }
  return r;
}

static int build_top(struct catalog_tables *t) {
  if (t->group_count < 2)
    return 0;
  double *shares = malloc(t->group_count * sizeof *shares);
  t->top = malloc(t->group_count * sizeof *t->top);
  int r = shares && t->top ? 0 : -ENOMEM;
  for (uint32_t g = 0; r == 0 && g < t->group_count; g++)
    shares[g] = t->groups[g].share;
  if (r == 0)
    r = select_alias_build(shares, t->group_count, t->top);
  free(shares);
  return r;
}

static int build_alias(struct catalog_tables *t) {
  double *weights = malloc(t->count * sizeof *weights);
  if (!weights)
    return -ENOMEM;
  select_shared_weights(t, weights);
  t->uniform = t->group_count == 1;
  for (uint32_t i = 1; t->uniform && i < t->count; i++)
    t->uniform = weights[i] == weights[0];
  int r = select_alias_build(weights, t->count, t->alias);
  free(weights);
  return r;
}

bool catalog_tables_quick(const char *balancer, size_t count) {
  const struct select_balancer *b = select_by_name(balancer);
  return !b || b->quick == 0 || count <= b->quick;
}

static uint64_t stir(uint64_t key, const void *bytes, size_t length) {
  return select_mix(key ^ select_hash(bytes, length));
}

uint64_t catalog_tables_key(const struct catalog_tables *t) {
  const struct select_balancer *b = select_by_name(t->balancer);
  const struct catalog_rules *rules = t->rules;
  if (!b || b->quick == 0)
    return 0;
  uint64_t key = b->number, options[] = {rules->table_size, rules->points, t->group_count};
  key = stir(key, options, sizeof options);
  key = stir(key, &rules->bound, sizeof rules->bound);
  for (uint32_t g = 0; g < t->group_count; g++) {
    key = stir(key, &t->groups[g].count, sizeof t->groups[g].count);
    key = stir(key, &t->groups[g].share, sizeof t->groups[g].share);
  }
  key = stir(key, t->weights, t->count * sizeof *t->weights);
  for (uint32_t i = 0; i < t->count; i++)
    key = stir(key, t->ids[i], strlen(t->ids[i]));
  return key ? key : 1;
}

int catalog_tables_build(struct catalog_tables *t) {
  const struct select_balancer *balancer = select_by_name(t->balancer);
  if (!balancer)
    return -EINVAL;
  t->number = balancer->number;
  t->slots = balancer->by_load;
  if (t->count == 0)
    return 0;
  int r = build_alias(t);
  if (r == 0)
    r = build_top(t);
  return r < 0 ? r : balancer->build(t);
}

void catalog_tables_end(struct catalog_tables *t) {
  for (uint32_t g = 0; g < t->group_count; g++)
    free(t->groups[g].table);
  free(t->order);
  free(t->top);
}
