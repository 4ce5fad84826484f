/* Maglev: a table of a prime number of cells, in which each endpoint has cells by its weight, in
 * places that depend on its id alone; the key's hash is the cell. Eisenbud et al., "Maglev: A Fast
 * and Reliable Software Network Load Balancer", NSDI 2016, section 3.4; weights by Envoy's turns.
 *
 * A table of another size is another table, in which most keys have moved. So the size is one of
 * two: the first does for all but the largest services, where an endpoint has ten cells still and
 * its share is a tenth off at most. Besides its own keys a change of one endpoint moves others, the
 * more the fewer cells each has: README.md has how many. */
#include "select/maglev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 65537, SIZE_OF_MANY = 655373, CELLS_EACH = 10 };

static uint32_t size_for(uint32_t count, uint32_t asked) {
  if (asked >= count)
    return asked;
  return count <= SIZE / CELLS_EACH ? SIZE : SIZE_OF_MANY;
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

static uint32_t *make_cells(const struct select_named *rows, uint32_t count, uint32_t size) {
  struct turn *turns = malloc(count * sizeof *turns);
  uint32_t *cells = turns ? malloc(size * sizeof *cells) : NULL;
  double largest = 0;
  for (uint32_t i = 0; i < count; i++)
    largest = rows[i].weight > largest ? rows[i].weight : largest;
  for (uint32_t i = 0; turns && i < count; i++)
    turns[i] = (struct turn){.at = (uint32_t)(rows[i].hash % size),
                             .skip = (uint32_t)(select_mix(rows[i].hash) % (size - 1)) + 1,
                             .row = rows[i].row,
                             .due = 1,
                             .weight = rows[i].weight / largest};
  if (cells)
    fill(turns, count, size, cells);
  free(turns);
  return cells;
}

static int build_group(const struct select_named *rows, const struct catalog_rules *rules,
                       struct catalog_group_tables *group) {
  uint32_t size = size_for(group->count, rules->table_size);
  if (size < group->count)
    return -E2BIG;
  return select_cells_keep(group, make_cells(rows, group->count, size), size);
}

int select_maglev_build(struct catalog_tables *t) {
  return select_keyed_build(t, build_group);
}

const struct select_balancer select_maglev = {.name = "maglev",
                                              .number = 7,
                                              .build = select_maglev_build,
                                              .pick = select_cells_pick,
                                              .quick = SELECT_QUICK,
                                              .by_key = true};
