#include "watch/instances.h"

#include <errno.h>
#include <stdlib.h>

static int reserve(struct instances *l, size_t need) {
  if (need <= l->room)
    return 0;
  size_t room = need < 16 ? 16 : need * 2;
  struct instance **items = realloc(l->items, room * sizeof *items);
  if (items)
    l->items = items;
  enum status *statuses = items ? realloc(l->statuses, room * sizeof *statuses) : NULL;
  if (!statuses)
    return -ENOMEM;
  l->statuses = statuses;
  l->room = room;
  return 0;
}

int instances_add(struct instances *l, const struct instance *in, enum status status) {
  if (reserve(l, l->count + 1) != 0)
    return -ENOMEM;
  l->items[l->count] = instance_ref(in);
  l->statuses[l->count++] = status;
  return 0;
}

int instances_copy(struct instances *l, const struct set_row *rows, size_t count) {
  struct instances fresh = {0};
  if (reserve(&fresh, count) != 0) {
    instances_free(&fresh);
    return -ENOMEM;
  }
  for (size_t i = 0; i < count; i++)
    instances_add(&fresh, rows[i].instance, rows[i].status);
  instances_free(l);
  *l = fresh;
  return 0;
}

void instances_clear(struct instances *l) {
  for (size_t i = 0; i < l->count; i++)
    instance_unref(l->items[i]);
  l->count = 0;
}

void instances_free(struct instances *l) {
  instances_clear(l);
  free(l->items);
  free(l->statuses);
  *l = (struct instances){0};
}
