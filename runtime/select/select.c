#include "select/select.h"

#include <string.h>

static const struct select_balancer *const table[] = {
    &select_round_robin,   &select_random,         &select_weighted,   &select_weighted_round_robin,
    &select_least_request, &select_p2c_ewma,       &select_maglev,     &select_ring,
    &select_rendezvous,    &select_maglev_bounded, &select_pick_first, NULL,
};

const struct select_balancer *select_at(unsigned i) {
  return i < sizeof table / sizeof table[0] ? table[i] : NULL;
}

const struct select_balancer *select_by_name(const char *name) {
  if (!name || strcmp(name, "p2c") == 0) /* the default */
    return &select_p2c_ewma;
  for (unsigned i = 0; table[i]; i++)
    if (strcmp(table[i]->name, name) == 0)
      return table[i];
  return NULL;
}

const struct select_balancer *select_by_number(uint32_t number) {
  for (unsigned i = 0; table[i]; i++)
    if (table[i]->number == number)
      return table[i];
  return &select_weighted;
}
