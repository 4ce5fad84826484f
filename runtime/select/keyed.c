#include "select/keyed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NARROW = 1 << 16 };

double select_power_below(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits &= 0x7ff0000000000000u;
  memcpy(&x, &bits, sizeof bits);
  return x > 0 ? x : 0x1p-1022;
}

static int by_hash(const void *a, const void *b) {
  const struct select_named *x = a, *y = b;
  return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1) : strcmp(x->id, y->id);
}

static struct select_named *named_rows(const struct catalog_tables *t,
                                       const struct catalog_group_tables *group) {
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

int select_keyed_build(struct catalog_tables *t, select_keyed_fn build) {
  int r = select_order_rows(t);
  for (uint32_t g = 0; r == 0 && g < t->group_count; g++) {
    struct select_named *rows = named_rows(t, &t->groups[g]);
    r = rows ? build(rows, t->rules, &t->groups[g]) : -ENOMEM;
    free(rows);
  }
  return r;
}

int select_cells_keep(struct catalog_group_tables *group, uint32_t *cells, uint32_t size) {
  bool narrow = group->count <= NARROW;
  for (uint32_t i = 0; cells && narrow && i < size; i++) { /* in place: it is never ahead */
    uint16_t row = (uint16_t)cells[i];
    memcpy((uint16_t *)cells + i, &row, sizeof row);
  }
  group->table = cells;
  group->table_bytes = size * (narrow ? 2 : 4);
  return cells ? 0 : -ENOMEM;
}

uint32_t select_cells_row(const struct catalog_view *v, const struct select_group *g,
                          uint64_t bits) {
  const unsigned char *cells = v->block + g->table;
  uint32_t width = g->count <= NARROW ? 2 : 4, size = g->table_length / width;
  if (size < g->count)
    return g->first + (uint32_t)((bits >> 32) * g->count >> 32);
  uint32_t cell = (uint32_t)((bits >> 32) * size >> 32);
  if (width == 4)
    return g->first + catalog_load32(cells + cell * 4);
  return g->first +
         atomic_load_explicit((const _Atomic uint16_t *)(cells + cell * 2), memory_order_relaxed);
}

uint32_t select_cells_pick(struct select_state *state, const struct catalog_view *v,
                           const struct select_ask *ask) {
  uint64_t bits = select_key_bits(state, ask);
  struct select_group g = select_group_of_key(v, bits);
  return select_cells_row(v, &g, bits);
}
