#include "watch/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void rows_free(struct rows *r) {
  for (uint32_t i = 0; i < r->count; i++)
    instance_unref(r->items[i].instance);
  free(r->items);
  free(r->freed);
  index_free(&r->index);
  *r = (struct rows){0};
}

static int rows_reserve(struct rows *r) {
  if (r->count < r->capacity)
    return 0;
  uint32_t room = r->capacity ? r->capacity + r->capacity / 2 + 1 : 4;
  struct set_row *grown = realloc(r->items, room * sizeof *grown);
  if (!grown)
    return -ENOMEM;
  r->items = grown;
  r->capacity = room;
  return 0;
}

/* Room for `more` freed slots beyond those of the holes, so that tidying cannot fail. */
static int freed_reserve(struct rows *r, uint32_t more) {
  uint64_t need = (uint64_t)r->freed_count + r->holes + more;
  if (need <= r->freed_capacity)
    return 0;
  uint32_t *grown = realloc(r->freed, need * 2 * sizeof *grown);
  if (!grown)
    return -ENOMEM;
  r->freed = grown;
  r->freed_capacity = (uint32_t)need * 2;
  return 0;
}

static void row_drop(struct rows *r, struct set_row *row) {
  if (row->flags & ROW_SLOT)
    r->freed[r->freed_count++] = row->slot;
  instance_unref(row->instance);
}

static const char *key_at(const void *array, uint32_t position) {
  return ((const struct rows *)array)->items[position].instance->id;
}

static int index_build(struct rows *r) {
  if (r->indexed)
    return 0;
  index_clear(&r->index);
  int rc = index_reserve(&r->index, r->count);
  for (uint32_t i = 0; rc == 0 && i < r->count; i++)
    rc = index_add(&r->index, r->items[i].instance->id, i);
  r->indexed = rc == 0;
  return rc;
}

static void index_drop(struct rows *r) {
  r->indexed = false;
}

/* The row of `id`, a hole too: 0, -ENOENT or -ENOMEM. */
static int rows_find(struct rows *r, const char *id, struct set_row **out) {
  int rc = index_build(r);
  if (rc)
    return rc;
  uint32_t at = index_find(&r->index, id, key_at, r);
  if (at == INDEX_NONE)
    return -ENOENT;
  *out = &r->items[at];
  return 0;
}

static bool row_set(struct set_row *row, const struct instance *in, enum status status) {
  bool changed = row->status != status;
  row->status = status;
  if (!instance_equal(row->instance, in)) {
    struct instance *old = row->instance;
    row->instance = instance_ref(in);
    instance_unref(old);
    changed = true;
  }
  return changed;
}

static int rows_append(struct rows *r, const struct instance *in, enum status status) {
  int rc = rows_reserve(r);
  if (rc == 0)
    rc = index_add(&r->index, in->id, r->count);
  if (rc)
    return rc;
  if (r->sorted == r->count &&
      (r->count == 0 || strcmp(r->items[r->count - 1].instance->id, in->id) < 0))
    r->sorted++;
  r->items[r->count++] = (struct set_row){.instance = instance_ref(in), .status = status};
  return 1;
}

int rows_put(struct rows *r, const struct instance *in, enum status status) {
  struct set_row *row;
  int rc = rows_find(r, in->id, &row);
  if (rc == -ENOENT)
    return rows_append(r, in, status);
  if (rc)
    return rc;
  bool changed = row_set(row, in, status);
  if (row->flags & ROW_GONE) {
    row->flags &= ~(uint32_t)ROW_GONE;
    r->holes--;
    changed = true;
  }
  return changed;
}

int rows_remove(struct rows *r, const char *id) {
  struct set_row *row;
  int rc = rows_find(r, id, &row);
  if (rc == 0 && (row->flags & ROW_GONE))
    rc = -ENOENT;
  if (rc == 0)
    rc = freed_reserve(r, 1);
  if (rc)
    return rc;
  row->flags |= ROW_GONE;
  r->holes++;
  return 1;
}

int rows_status(struct rows *r, const char *id, enum status status) {
  struct set_row *row;
  int rc = rows_find(r, id, &row);
  if (rc == 0 && (row->flags & ROW_GONE))
    rc = -ENOENT;
  return rc ? rc : row_set(row, row->instance, status);
}

static int by_id(const void *a, const void *b) {
  return strcmp(((const struct set_row *)a)->instance->id,
                ((const struct set_row *)b)->instance->id);
}

/* Merges the unsorted tail, usually short, into the sorted front, from the back. */
static void rows_sort(struct rows *r) {
  uint32_t tail = r->count - r->sorted;
  if (tail == 0)
    return;
  index_drop(r);
  struct set_row *late = malloc(tail * sizeof *late);
  if (!late || r->sorted == 0) {
    qsort(r->items, r->count, sizeof *r->items, by_id);
  } else {
    memcpy(late, r->items + r->sorted, tail * sizeof *late);
    qsort(late, tail, sizeof *late, by_id);
    uint32_t front = r->sorted;
    for (uint32_t to = r->count; tail > 0;) {
      bool from_front = front > 0 && by_id(&r->items[front - 1], &late[tail - 1]) > 0;
      r->items[--to] = from_front ? r->items[--front] : late[--tail];
    }
  }
  free(late);
  r->sorted = r->count;
}

void rows_tidy(struct rows *r) {
  rows_sort(r);
  if (r->holes == 0)
    return;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < r->count; i++) {
    if (r->items[i].flags & ROW_GONE)
      row_drop(r, &r->items[i]);
    else
      r->items[kept++] = r->items[i];
  }
  r->count = r->sorted = kept;
  r->holes = 0;
  index_drop(r);
}

int rows_owe(struct rows *r, const uint32_t *slots, uint32_t count) {
  int rc = freed_reserve(r, count);
  for (uint32_t i = 0; rc == 0 && i < count; i++)
    r->freed[r->freed_count++] = slots[i];
  return rc;
}

/* What a replace brings, in order: rows without references or slots. */
static int replacement_sorted(struct instance *const *instances, const enum status *statuses,
                              size_t count, struct set_row **out) {
  *out = NULL;
  if (count == 0)
    return 0;
  if (count > UINT32_MAX / 2)
    return -ENOMEM;
  struct set_row *rows = malloc(count * sizeof *rows);
  if (!rows)
    return -ENOMEM;
  bool sorted = true;
  for (size_t i = 0; i < count; i++) {
    rows[i] = (struct set_row){.instance = instances[i],
                               .status = statuses ? statuses[i] : STATUS_PASSING};
    sorted = sorted && (i == 0 || by_id(&rows[i - 1], &rows[i]) < 0);
  }
  if (!sorted)
    qsort(rows, count, sizeof *rows, by_id);
  for (size_t i = 1; !sorted && i < count; i++) {
    if (by_id(&rows[i - 1], &rows[i]) == 0) {
      free(rows);
      return -EEXIST;
    }
  }
  *out = rows;
  return 0;
}

int rows_replace(struct rows *r, struct instance *const *instances, const enum status *statuses,
                 size_t count) {
  struct set_row *next;
  int rc = replacement_sorted(instances, statuses, count, &next);
  if (rc == 0)
    rc = freed_reserve(r, r->count - r->holes);
  if (rc) {
    free(next);
    return rc;
  }
  rows_sort(r);
  bool changed = count != r->count - r->holes;
  uint32_t old = 0;
  for (size_t i = 0; i < count; i++) {
    int order = 1;
    while (old < r->count && (order = by_id(&r->items[old], &next[i])) < 0) {
      row_drop(r, &r->items[old++]);
      changed = true;
    }
    if (old < r->count && order == 0) { /* it keeps its slot, and its instance when that is equal */
      struct set_row *row = &r->items[old++];
      changed |= row_set(row, next[i].instance, next[i].status) || (row->flags & ROW_GONE);
      row->flags &= ~(uint32_t)ROW_GONE;
      next[i] = *row;
    } else {
      instance_ref(next[i].instance);
      changed = true;
    }
  }
  while (old < r->count)
    row_drop(r, &r->items[old++]);
  free(r->items);
  index_drop(r);
  r->items = next;
  r->count = r->capacity = r->sorted = (uint32_t)count;
  r->holes = 0;
  return changed;
}
