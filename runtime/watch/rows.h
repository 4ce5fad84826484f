/* rows: a set's endpoints as an array that is sorted by id when it is asked for, and the
 * differences that puts, removes and replaces make to it. Knows slots as numbers to keep with an id
 * and to give back; nothing of the catalog. Control thread only.
 *
 * Rows that were put lie unsorted at the end, and removed ones stay as holes (so that an id that
 * returns within a turn keeps its slot) until rows_tidy. The index for point changes is built by
 * the first of them after a tidying: a set that is only replaced never has one. */
#pragma once

#include "watch/index.h"
#include "watch/set.h"

/* It has a slot; it is a hole; it was critical when it was last published. */
enum { ROW_SLOT = 1, ROW_GONE = 2, ROW_CRITICAL = 4 };

struct rows {
  struct set_row *items;
  uint32_t count, capacity; /* holes included */
  uint32_t sorted, holes;   /* how many from the front are in order; how many are gone */
  struct index index;
  bool indexed;
  uint32_t *freed; /* slots of rows that have left, to be given back after the next publishing */
  uint32_t freed_count, freed_capacity;
};

void rows_free(struct rows *r);

/* Each: 1 changed, 0 the same facts, or negative errno and nothing changed. */
int rows_put(struct rows *r, const struct instance *in, enum status status);
int rows_remove(struct rows *r, const char *id);
int rows_status(struct rows *r, const char *id, enum status status);
int rows_replace(struct rows *r, struct instance *const *instances, const enum status *statuses,
                 size_t count);

/* More slots to be given back after the next publishing. 0, -ENOMEM. */
int rows_owe(struct rows *r, const uint32_t *slots, uint32_t count);

/* Sorts, and drops the holes. Cannot fail. */
void rows_tidy(struct rows *r);
