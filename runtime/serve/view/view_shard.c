#include "serve/view/view_shard.h"

#include <stdlib.h>
#include <string.h>

void retired_push(struct retired_list *list, struct retired *r) {
  r->next = NULL;
  if (list->last)
    list->last->next = r;
  else
    list->first = r;
  list->last = r;
}

struct retired *retired_pop(struct retired_list *list) {
  struct retired *r = list->first;
  if (r) {
    list->first = r->next;
    if (!list->first)
      list->last = NULL;
  }
  return r;
}

/* FNV-1a, folded to a shard's number. */
unsigned shard_of(const char *key) {
  uint32_t h = 2166136261u;
  for (const unsigned char *p = (const unsigned char *)key; *p; p++)
    h = (h ^ *p) * 16777619u;
  return (h ^ h >> 8 ^ h >> 16 ^ h >> 24) % SHARDS;
}

static void shard_free(struct retired *r) {
  free(r);
}

/* The place of `key`, or where it would go. */
static uint32_t place_of(const struct shard *s, const char *key, bool *found) {
  uint32_t low = 0, high = s ? s->count : 0;
  *found = false;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    int order = strcmp(s->entries[middle].key, key);
    if (order == 0) {
      *found = true;
      return middle;
    }
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

bool shard_reserve(struct shard_map *map, const char *key, struct retired_list *leaving) {
  struct shard **at = &map->shards[shard_of(key)], *old = *at;
  uint32_t count = old ? old->count : 0;
  if (old && old->pending && old->capacity > count)
    return true;
  uint32_t capacity = count + (old && old->pending ? count + 1 : 3);
  struct shard *s = malloc(sizeof *s + capacity * sizeof s->entries[0]);
  if (!s)
    return false;
  s->retired = (struct retired){.free = shard_free};
  s->pending = true;
  s->count = count;
  s->capacity = capacity;
  if (old) {
    memcpy(s->entries, old->entries, count * sizeof s->entries[0]);
    if (old->pending)
      free(old);
    else
      retired_push(leaving, &old->retired);
  }
  *at = s;
  return true;
}

struct retired *shard_put(struct shard_map *map, const char *key, struct retired *value) {
  struct shard *s = map->shards[shard_of(key)];
  bool found;
  uint32_t at = place_of(s, key, &found);
  struct shard_entry *e = &s->entries[at];
  struct retired *old = NULL;
  if (found) {
    old = e->value;
  } else {
    memmove(e + 1, e, (s->count - at) * sizeof *e);
    s->count++;
    map->count++;
  }
  *e = (struct shard_entry){.key = key, .value = value};
  return old;
}

struct retired *shard_remove(struct shard_map *map, const char *key) {
  struct shard *s = map->shards[shard_of(key)];
  bool found;
  uint32_t at = place_of(s, key, &found);
  if (!found)
    return NULL;
  struct shard_entry *e = &s->entries[at];
  struct retired *old = e->value;
  s->count--;
  map->count--;
  memmove(e, e + 1, (s->count - at) * sizeof *e);
  return old;
}

const struct shard_entry *shard_find(const struct shard_map *map, const char *key) {
  const struct shard *s = map->shards[shard_of(key)];
  bool found;
  uint32_t at = place_of(s, key, &found);
  return found ? &s->entries[at] : NULL;
}

void shard_map_freeze(struct shard_map *map, uint64_t commit) {
  for (unsigned i = 0; i < SHARDS; i++) {
    struct shard *s = map->shards[i];
    if (!s || !s->pending)
      continue;
    s->pending = false;
    s->shown = commit;
  }
}

void shard_map_free(struct shard_map *map) {
  for (unsigned i = 0; i < SHARDS; i++) {
    struct shard *s = map->shards[i];
    for (uint32_t k = 0; s && k < s->count; k++)
      s->entries[k].value->free(s->entries[k].value);
    free(s);
  }
}
