/* Maglev: a table of a prime number of cells, in which each endpoint has cells by its weight, in
 * places that depend on its id alone; the key's hash is the cell. Eisenbud et al., "Maglev: A Fast
 * and Reliable Software Network Load Balancer", NSDI 2016, section 3.4; weights by Envoy's turns.
 * The size is the smallest of four primes with 100 cells an endpoint, so that the shares are within
 * a few percent; a change of one endpoint moves its own keys and about one in a hundred others.
 *
 * A cell is the row in the group, 16 bits wide while these suffice. */
#include "select/maglev.h"

#include "select/named.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS_EACH = 100, NARROW = 1 << 16 };
static const uint32_t primes[] = {1009, 10007, 65537, 655373};
enum { PRIMES = sizeof primes / sizeof primes[0] };

static uint32_t size_for(uint32_t count, uint32_t asked) {
  uint32_t i = 0;
  if (asked >= count)
    return asked;
  while (i + 1 < PRIMES && primes[i] < (uint64_t)count * CELLS_EACH)
    i++;
  return primes[i];
}

struct turn {
  uint32_t at, skip, row;
  double due, weight; /* its next turn; over the largest weight */
};

static void fill(struct turn *turns, uint32_t count, uint32_t size, uint32_t *cells) {
  uint32_t filled = 0;
  memset(cells, 0xff, size * sizeof *cells);
  for (uint32_t round = 1; filled < size; round++)
    for (uint32_t i = 0; i < count && filled < size; i++) {
      struct turn *t = &turns[i];
      if (round * t->weight < t->due)
        continue;
      t->due += 1;
      while (cells[t->at] != UINT32_MAX)
        t->at = t->at + t->skip >= size ? t->at + t->skip - size : t->at + t->skip;
      cells[t->at] = t->row;
      filled++;
    }
}

static int build_cells(const struct catalog_tables *t, uint32_t g, uint32_t size, uint32_t *cells) {
  uint32_t count = t->groups[g].count;
  struct select_named *rows = select_named_rows(t, g);
  struct turn *turns = malloc(count * sizeof *turns);
  double largest = 0;
  if (rows && turns) {
    for (uint32_t i = 0; i < count; i++)
      largest = rows[i].weight > largest ? rows[i].weight : largest;
    for (uint32_t i = 0; i < count; i++)
      turns[i] = (struct turn){.at = (uint32_t)(rows[i].hash % size),
                               .skip = (uint32_t)(select_mix(rows[i].hash) % (size - 1)) + 1,
                               .row = rows[i].row,
                               .due = 1,
                               .weight = rows[i].weight / largest};
    fill(turns, count, size, cells);
  }
  int r = rows && turns ? 0 : -ENOMEM;
  free(rows);
  free(turns);
  return r;
}

static int build_group(struct catalog_tables *t, uint32_t g) {
  struct catalog_group_tables *group = &t->groups[g];
  uint32_t size = size_for(group->count, t->rules->table_size);
  if (size < group->count)
    return -E2BIG;
  uint32_t *cells = malloc(size * sizeof *cells);
  int r = cells ? build_cells(t, g, size, cells) : -ENOMEM;
  group->table = cells;
  group->table_bytes = size * 4;
  if (r == 0 && group->count <= NARROW) {
    uint16_t *narrow = (uint16_t *)cells; /* in place: a narrow cell is never ahead of its source */
    for (uint32_t i = 0; i < size; i++) {
      uint16_t row = (uint16_t)cells[i];
      memcpy(&narrow[i], &row, sizeof row);
    }
    group->table_bytes = size * 2;
  }
  return r;
}

int select_maglev_build(struct catalog_tables *t) {
  int r = select_order_rows(t);
  for (uint32_t g = 0; r == 0 && g < t->group_count; g++)
    r = build_group(t, g);
  return r;
}

uint32_t select_maglev_row(const struct catalog_view *v, const struct select_group *g,
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

static uint32_t pick(struct select_state *state, const struct catalog_view *v,
                     const struct select_ask *ask) {
  uint64_t bits = select_key_bits(state, ask);
  struct select_group g = select_group_of_key(v, bits);
  return select_maglev_row(v, &g, bits);
}

const struct select_balancer select_maglev = {.name = "maglev",
                                              .number = 7,
                                              .build = select_maglev_build,
                                              .pick = pick,
                                              .quick = SELECT_QUICK,
                                              .by_key = true};
