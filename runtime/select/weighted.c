/* Weighted: each row with the probability of its weight, by one look at an alias table. Every
 * block has this table, whatever its balancer: it is what a library picks by that does not know
 * the balancer. Vose, "A linear algorithm for generating random numbers with a given
 * distribution", IEEE Transactions on Software Engineering 17(9), 1991; in integers here. */
#include "select/group.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define WHOLE (1ull << 32) /* what one cell holds */

static bool all_equal(const double *weights, uint32_t count) {
  for (uint32_t i = 1; i < count; i++)
    if (weights[i] != weights[0])
      return false;
  return true;
}

/* Parts of count * 2^32, rounded to the nearest, at least one each. The largest row takes what the
 * rounding leaves over, or bears what it takes too much. */
static void share_out(const double *weights, uint32_t count, uint64_t *parts) {
  uint64_t total = (uint64_t)count * WHOLE, given = 0;
  uint32_t largest = 0;
  double sum = 0;
  for (uint32_t i = 1; i < count; i++)
    largest = weights[i] > weights[largest] ? i : largest;
  for (uint32_t i = 0; i < count; i++)
    sum += weights[i] / weights[largest]; /* a sum of the weights themselves may overflow */
  for (uint32_t i = 0; i < count; i++) {
    parts[i] = (uint64_t)(weights[i] / weights[largest] / sum * (double)total + 0.5);
    parts[i] = parts[i] ? parts[i] : 1;
    given += parts[i];
  }
  parts[largest] += total - given; /* modulo 2^64: also when too much was given */
}

/* Cells with too little are filled up, one after another, from cells with too much. `list` holds
 * the former from its front and the latter from its end. */
static void fill_cells(uint64_t *parts, uint32_t count, uint32_t *list,
                       struct catalog_alias *cells) {
  uint32_t small = 0, large = count;
  for (uint32_t i = 0; i < count; i++)
    if (parts[i] < WHOLE)
      list[small++] = i;
    else
      list[--large] = i;
  while (small && large < count) {
    uint32_t poor = list[--small], rich = list[large];
    cells[poor] = (struct catalog_alias){(uint32_t)parts[poor], rich};
    parts[rich] -= WHOLE - parts[poor];
    if (parts[rich] < WHOLE) {
      large++;
      list[small++] = rich;
    }
  }
  /* The sum is exact, so what is left is exactly full: all its own. */
  while (large < count) {
    uint32_t i = list[large++];
    cells[i] = (struct catalog_alias){UINT32_MAX, i};
  }
}

int select_alias_build(const double *weights, uint32_t count, struct catalog_alias *cells) {
  if (all_equal(weights, count)) {
    for (uint32_t i = 0; i < count; i++)
      cells[i] = (struct catalog_alias){UINT32_MAX, i};
    return 0;
  }
  uint64_t *parts = malloc(count * (sizeof *parts + sizeof(uint32_t)));
  if (!parts)
    return -ENOMEM;
  share_out(weights, count, parts);
  fill_cells(parts, count, (uint32_t *)(parts + count), cells);
  free(parts);
  return 0;
}

static uint32_t pick(struct select_state *state, const struct catalog_view *v,
                     const struct select_ask *ask) {
  return select_alias_at(v->alias, v->pickable, select_random_next(state));
}

const struct select_balancer select_weighted = {
    .name = "weighted", .number = 3, .build = select_order_rows, .pick = pick};
