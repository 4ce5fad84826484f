/* table: pointers by a text key that each item holds itself, packed in one array so that walking
 * them is a loop. Owns the array, not the items. Zero-initialised, with `key`, is empty. */
#pragma once

#include "watch/index.h"

struct table {
  const char *(*key)(const void *item); /* constant while the item is in the table */
  void **items;                         /* count of them, in no order */
  uint32_t count, capacity;
  struct index index;
};

void table_free(struct table *t);
void *table_find(const struct table *t, const char *key); /* NULL: not there */
int table_reserve(struct table *t, uint32_t more);        /* then adding these cannot fail */
int table_add(struct table *t, void *item);               /* 0, -EEXIST or -ENOMEM */
/* Takes it out; the last item takes its place in `items`. Nothing happens when it is not there. */
void table_remove(struct table *t, const void *item);
