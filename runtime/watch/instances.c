#include "watch/instances.h"

#include "base/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

struct place {
  struct instance *instance;
  enum status status;
  size_t at; /* in the list as it was */
};

static int by_id_and_place(const void *a, const void *b) {
  const struct place *x = a, *y = b;
  int order = strcmp(x->instance->id, y->instance->id);
  return order ? order : (x->at > y->at) - (x->at < y->at);
}

static bool is_settled(const struct instances *l) {
  size_t i = 1;
  while (i < l->count && strcmp(l->items[i - 1]->id, l->items[i]->id) < 0)
    i++;
  return i >= l->count;
}

static void twice(const struct instance *a, const struct instance *b, struct fault *f) {
  fault_set(f, -EEXIST, "the id %.200s is there twice, at %s:%u and at %s:%u: the last counts",
            a->id, a->address, a->port, b->address, b->port);
}

int instances_settle(struct instances *l, struct fault *first) {
  if (is_settled(l))
    return 0;
  struct place *places = malloc(l->count * sizeof *places);
  if (!places)
    return -ENOMEM;
  for (size_t i = 0; i < l->count; i++)
    places[i] = (struct place){l->items[i], l->statuses[i], i};
  qsort(places, l->count, sizeof *places, by_id_and_place);
  size_t count = l->count, kept = 0;
  for (size_t i = 0; i < count; i++) {
    struct instance *in = places[i].instance;
    bool last = i + 1 == count || strcmp(in->id, places[i + 1].instance->id) != 0;
    if (last) {
      l->items[kept] = in;
      l->statuses[kept++] = places[i].status;
      continue;
    }
    if (kept == i)
      twice(in, places[i + 1].instance, first);
    instance_unref(in);
  }
  l->count = kept;
  free(places);
  return (int)(count - kept);
}

void instances_free(struct instances *l) {
  for (size_t i = 0; i < l->count; i++)
    instance_unref(l->items[i]);
  free(l->items);
  free(l->statuses);
  *l = (struct instances){0};
}
