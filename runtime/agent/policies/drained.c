#include "agent/policies/drained.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char bucket[] = "drained";

static const char *key_of(const void *item) {
  return item;
}

static int add(struct drained *d, const char *id) {
  char *copy = strdup(id);
  int rc = copy ? table_add(&d->table, copy) : -ENOMEM;
  if (rc != 0)
    free(copy);
  return rc == -EEXIST ? 0 : rc;
}

static void drop(struct drained *d, const char *id) {
  char *one = table_find(&d->table, id);
  if (one)
    table_remove(&d->table, one);
  free(one);
}

static int recall(void *arg, const char *id, const void *value, size_t length) {
  return add(arg, id);
}

int drained_recall(struct drained *d, struct store *store) {
  *d = (struct drained){.table = {.key = key_of}, .store = store};
  return store_each(store, bucket, recall, d);
}

void drained_free(struct drained *d) {
  for (uint32_t i = 0; i < d->table.count; i++)
    free(d->table.items[i]);
  table_free(&d->table);
}

bool drained_has(const struct drained *d, const char *id) {
  return d->table.count && table_find(&d->table, id);
}

int drained_set(struct drained *d, const char *id, bool drained, store_done done, void *arg) {
  int rc = drained ? add(d, id) : 0;
  if (rc == 0)
    rc = store_put(d->store, bucket, id, drained ? "" : NULL, 0, done, arg);
  if (rc == 0 && !drained)
    drop(d, id);
  return rc;
}
