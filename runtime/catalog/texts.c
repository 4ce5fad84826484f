#include "catalog/texts.h"
#include "catalog/layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 16 };

void texts_clear(struct texts *t) {
  t->count = 0;
  if (t->buckets)
    memset(t->buckets, 0, t->bucket_count * sizeof *t->buckets);
}

static uint32_t *find_bucket(const struct texts *t, const char *text) {
  uint32_t i = catalog_name_hash(text, strlen(text));
  for (;; i++) {
    uint32_t *bucket = &t->buckets[i & (t->bucket_count - 1)];
    if (!*bucket || strcmp(t->list[*bucket - 1], text) == 0)
      return bucket;
  }
}

static int widen(struct texts *t) {
  uint32_t room = t->room ? t->room * 2 : FIRST_ROOM;
  const char **list = realloc(t->list, room * sizeof *list);
  if (!list)
    return -ENOMEM;
  t->list = list;
  uint32_t *buckets = calloc(room * 2, sizeof *buckets);
  if (!buckets)
    return -ENOMEM;
  free(t->buckets);
  t->buckets = buckets;
  t->room = room;
  t->bucket_count = room * 2;
  for (uint32_t n = 0; n < t->count; n++)
    *find_bucket(t, list[n]) = n + 1;
  return 0;
}

int32_t texts_number(struct texts *t, const char *text) {
  if (t->count && strcmp(t->list[t->count - 1], text) == 0)
    return (int32_t)t->count - 1; /* rows that follow one another are mostly of one zone */
  if (t->count == t->room && widen(t) < 0)
    return -ENOMEM;
  uint32_t *bucket = find_bucket(t, text);
  if (*bucket)
    return (int32_t)*bucket - 1;
  if (t->count > UINT16_MAX)
    return -EINVAL;
  t->list[t->count++] = text;
  *bucket = t->count;
  return (int32_t)t->count - 1;
}

void texts_end(struct texts *t) {
  free(t->list);
  free(t->buckets);
}
