/* Random: each row that can be picked with the same probability, within pickable / 2^32. */
#include "select/select.h"

static uint32_t pick(struct select_state *state, const struct catalog_view *v,
                     const struct select_ask *ask) {
  uint64_t high = select_random_next(state) >> 32;
  return (uint32_t)(high * v->pickable >> 32);
}

const struct select_balancer select_random = {
    .name = "random", .number = 2, .build = select_order_rows, .pick = pick};
