#include "select/named.h"

#include <stdlib.h>
#include <string.h>

static int by_hash(const void *a, const void *b) {
  const struct select_named *x = a, *y = b;
  return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1) : strcmp(x->id, y->id);
}

struct select_named *select_named_rows(const struct catalog_tables *t, uint32_t g) {
  const struct catalog_group_tables *group = &t->groups[g];
  struct select_named *rows = malloc(group->count * sizeof *rows);
  for (uint32_t i = 0; rows && i < group->count; i++) {
    const char *id = t->ids[group->first + i];
    rows[i] =
        (struct select_named){select_hash(id, strlen(id)), id, i, t->weights[group->first + i]};
  }
  if (rows)
    qsort(rows, group->count, sizeof *rows, by_hash);
  return rows;
}
