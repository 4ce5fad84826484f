#include "watch/table.h"

#include <errno.h>
#include <stdlib.h>

static const char *key_at(const void *array, uint32_t position) {
  const struct table *t = array;
  return t->key(t->items[position]);
}

void table_free(struct table *t) {
  index_free(&t->index);
  free(t->items);
  *t = (struct table){.key = t->key};
}

void *table_find(const struct table *t, const char *key) {
  uint32_t at = index_find(&t->index, key, key_at, t);
  return at == INDEX_NONE ? NULL : t->items[at];
}

int table_reserve(struct table *t, uint32_t more) {
  uint64_t need = (uint64_t)t->count + more;
  if (need > UINT32_MAX / 2)
    return -ENOMEM;
  if (need > t->capacity) {
    uint32_t room = (uint32_t)need + t->capacity / 2 + 4;
    void **grown = realloc(t->items, room * sizeof *grown);
    if (!grown)
      return -ENOMEM;
    t->items = grown;
    t->capacity = room;
  }
  return index_reserve(&t->index, (uint32_t)need);
}

int table_add(struct table *t, void *item) {
  if (table_find(t, t->key(item)))
    return -EEXIST;
  int rc = table_reserve(t, 1);
  if (rc == 0)
    rc = index_add(&t->index, t->key(item), t->count);
  if (rc == 0)
    t->items[t->count++] = item;
  return rc;
}

void table_remove(struct table *t, const void *item) {
  const char *key = t->key(item);
  uint32_t at = index_find(&t->index, key, key_at, t);
  if (at == INDEX_NONE || t->items[at] != item)
    return;
  index_move(&t->index, key, at, INDEX_NONE);
  uint32_t last = --t->count;
  if (at != last) {
    t->items[at] = t->items[last];
    index_move(&t->index, t->key(t->items[at]), last, at);
  }
}
