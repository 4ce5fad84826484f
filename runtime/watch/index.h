/* index: positions in some array, by the text key of what is there. Open addressing with linear
 * probing, 8 bytes a place, at most three quarters full: about 14 bytes an entry.
 *
 * It holds no key: the owner of the array says what the key at a position is. Hashes are seeded
 * once a process, so that ids chosen by a registrant cannot be made to collide. No thread of its
 * own; zero-initialised is empty. */
#pragma once

#include <stdint.h>

#define INDEX_NONE UINT32_MAX

struct index_place;
struct index {
  struct index_place *places; /* mask + 1 of them, a power of two */
  uint32_t mask, used;
};

typedef const char *(*index_key_fn)(const void *array, uint32_t position);

void index_free(struct index *ix);
void index_clear(struct index *ix);                    /* keeps the memory */
int index_reserve(struct index *ix, uint32_t entries); /* 0 or -ENOMEM */

/* The position whose key is `key`, or INDEX_NONE. */
uint32_t index_find(const struct index *ix, const char *key, index_key_fn key_at,
                    const void *array);
/* `key` must not be there yet. 0 or -ENOMEM. */
int index_add(struct index *ix, const char *key, uint32_t position);
/* The entry of `key` at `from` is now at `to`, INDEX_NONE: at none, it leaves the index. */
void index_move(struct index *ix, const char *key, uint32_t from, uint32_t to);
