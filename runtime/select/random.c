/* Random: each row that can be picked with the same probability, within pickable / 2^32; where
 * groups or slow start make them unequal, by the alias table. */
#include "select/group.h"

static uint32_t pick(struct select_state *state, const struct catalog_view *v,
                     const struct select_ask *ask) {
  uint64_t bits = select_random_next(state);
  if (v->flags & CATALOG_UNIFORM)
    return (uint32_t)((bits >> 32) * v->pickable >> 32);
  return select_alias_at(v->alias, v->pickable, bits);
}

const struct select_balancer select_random = {
    .name = "random", .number = 2, .build = select_order_rows, .pick = pick, .weightless = true};
