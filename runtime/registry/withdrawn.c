#include "registry/withdrawn.h"

#include "base/clock.h"
#include "registry/desired.h"

#include <stdlib.h>
#include <string.h>

struct withdrawn_one {
  struct withdrawn_one *next;
  int64_t until_ns;
  char key[];
};

static const char *key_of(const void *item) {
  return ((const struct withdrawn_one *)item)->key;
}

void withdrawn_init(struct withdrawn *w, double seconds) {
  *w = (struct withdrawn){.table = {.key = key_of}, .remembered_ns = (int64_t)(seconds * 1e9)};
  w->last = &w->first;
}

static void drop_first(struct withdrawn *w) {
  struct withdrawn_one *one = w->first;
  w->first = one->next;
  if (!w->first)
    w->last = &w->first;
  table_remove(&w->table, one);
  free(one);
}

void withdrawn_end(struct withdrawn *w) {
  while (w->first)
    drop_first(w);
  table_free(&w->table);
}

void withdrawn_add(struct withdrawn *w, const char *key) {
  int64_t now = clock_now_ns();
  size_t length = strlen(key) + 1;
  while (w->first && w->first->until_ns <= now)
    drop_first(w);
  struct withdrawn_one *one = table_find(&w->table, key);
  if (one) {
    one->until_ns = now + w->remembered_ns;
    return;
  }
  if (!(one = malloc(sizeof *one + length)))
    return;
  *one = (struct withdrawn_one){.until_ns = now + w->remembered_ns};
  memcpy(one->key, key, length);
  if (table_add(&w->table, one) != 0) {
    free(one);
    return;
  }
  *w->last = one;
  w->last = &one->next;
}

bool withdrawn_has(const struct withdrawn *w, const char *service, const char *id) {
  char key[DESIRED_KEY_MAX];
  const struct withdrawn_one *one = table_find(&w->table, desired_key(key, service, id));
  return one && clock_now_ns() < one->until_ns;
}

bool withdrawn_before(const struct withdrawn *w, const char *service, const char *id,
                      int64_t time_ns) {
  char key[DESIRED_KEY_MAX];
  const struct withdrawn_one *one = table_find(&w->table, desired_key(key, service, id));
  return one && clock_now_ns() < one->until_ns && one->until_ns - w->remembered_ns < time_ns;
}
