/* Round robin: the rows of order[] in turn, each handle from a random one on, so that a thousand
 * processes that start together do not all begin with the same endpoint. Weights do not matter,
 * except that what has none is never picked; shares of groups do. */
#include "select/select.h"

static uint32_t pick(struct select_state *state, const struct catalog_view *v,
                     const struct select_ask *ask) {
  return select_walk(state, v);
}

const struct select_balancer select_round_robin = {.name = "round_robin",
                                                   .number = 1,
                                                   .build = select_order_cycle,
                                                   .pick = pick,
                                                   .walks = true,
                                                   .weightless = true};

/* The same walk; the cycle was made by weight. */
const struct select_balancer select_weighted_round_robin = {.name = "weighted_round_robin",
                                                            .number = 4,
                                                            .build = select_order_cycle,
                                                            .pick = pick,
                                                            .walks = true};
