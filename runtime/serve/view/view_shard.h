/* shard: a part of the view's maps from names to things: sorted, immutable once shown to the
 * workers, copied on the first change after that. Control thread, but for shard_find. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What is waiting to be freed begins with this. */
struct retired {
  struct retired *next;
  uint64_t epoch;
  void (*free)(struct retired *r);
};
struct retired_list {
  struct retired *first, *last;
};
void retired_push(struct retired_list *list, struct retired *r);
struct retired *retired_pop(struct retired_list *list); /* NULL: empty */

enum { SHARDS = 256 };

struct shard_entry {
  const char *key; /* belongs to the value */
  struct retired *value;
};

struct shard {
  struct retired retired;
  bool pending;   /* not yet shown: may be changed in place */
  uint64_t shown; /* by which commit: when one of its entries changed last */
  uint32_t count, capacity;
  struct shard_entry entries[]; /* by key */
};

struct shard_map {
  uint32_t count;
  struct shard *shards[SHARDS]; /* NULL: empty */
};

/* Makes the shard of `key` changeable, with room for one more; the one it replaces goes to
 * `leaving`. False: out of memory, nothing changed. Must come before shard_put and shard_remove. */
bool shard_reserve(struct shard_map *map, const char *key, struct retired_list *leaving);
/* Both return the value that was there before, or NULL. */
struct retired *shard_put(struct shard_map *map, const char *key, struct retired *value);
struct retired *shard_remove(struct shard_map *map, const char *key);
const struct shard_entry *shard_find(const struct shard_map *map, const char *key); /* or NULL */
/* From now on the shards are shown to others, by this commit. */
void shard_map_freeze(struct shard_map *map, uint64_t commit);
unsigned shard_of(const char *key);         /* below SHARDS */
void shard_map_free(struct shard_map *map); /* and the values */
