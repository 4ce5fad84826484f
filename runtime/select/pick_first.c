/* Pick first: always the first row, in the order of ids; another only for who avoids it. */
#include "select/select.h"

static uint32_t pick(struct select_state *state, const struct catalog_view *v,
                     const struct select_ask *ask) {
  return ask ? ask->attempt % v->pickable : 0;
}

const struct select_balancer select_pick_first = {.name = "pick_first",
                                                  .number = 11,
                                                  .build = select_order_rows,
                                                  .pick = pick,
                                                  .weightless = true};
