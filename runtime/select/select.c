#include "select/select.h"

#include <errno.h>
#include <string.h>

static const struct select_balancer *const table[] = {
    &select_round_robin, /* the default, until the load-based ones exist */
    &select_random,
    &select_weighted,
    NULL,
};

const struct select_balancer *select_at(unsigned i) {
  return i < sizeof table / sizeof table[0] ? table[i] : NULL;
}

const struct select_balancer *select_by_name(const char *name) {
  if (!name)
    return table[0];
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

int select_order_rows(struct catalog_tables *t) {
  for (uint32_t i = 0; i < t->count; i++)
    t->order[i] = i;
  return 0;
}

int catalog_tables_build(struct catalog_tables *t) {
  const struct select_balancer *balancer = select_by_name(t->balancer);
  if (!balancer)
    return -EINVAL;
  t->number = balancer->number;
  if (t->count == 0)
    return 0;
  int r = select_alias_build(t->weights, t->count, t->alias);
  return r < 0 ? r : balancer->build(t);
}
