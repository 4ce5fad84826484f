#include "watch/index.h"

#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct index_place {
  uint32_t hash;
  uint32_t position; /* + 1; 0 is free */
};

static uint64_t hash_seed(void) {
  static _Atomic uint64_t seed;
  uint64_t s = atomic_load_explicit(&seed, memory_order_relaxed);
  if (s == 0) {
    uint64_t mine = clock_random() | 1;
    s = atomic_compare_exchange_strong(&seed, &s, mine) ? mine : s;
  }
  return s;
}

/* FNV-1a from a secret start, ended by MurmurHash3's 64-bit finalizer, since linear probing uses
 * the low bits. */
static uint32_t hash_text(const char *text) {
  uint64_t h = hash_seed();
  for (const unsigned char *p = (const unsigned char *)text; *p; p++)
    h = (h ^ *p) * 0x100000001b3u;
  h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
  h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53u;
  return (uint32_t)(h ^ (h >> 33));
}

void index_free(struct index *ix) {
  free(ix->places);
  *ix = (struct index){0};
}

void index_clear(struct index *ix) {
  if (ix->places)
    memset(ix->places, 0, ((size_t)ix->mask + 1) * sizeof *ix->places);
  ix->used = 0;
}

static void place(struct index *ix, uint32_t hash, uint32_t position) {
  uint32_t i = hash & ix->mask;
  while (ix->places[i].position)
    i = (i + 1) & ix->mask;
  ix->places[i] = (struct index_place){hash, position};
}

int index_reserve(struct index *ix, uint32_t entries) {
  uint64_t room = ix->places ? (uint64_t)ix->mask + 1 : 8;
  while (room * 3 / 4 < entries)
    room *= 2;
  if (ix->places && room == (uint64_t)ix->mask + 1)
    return 0;
  if (room > UINT32_MAX)
    return -ENOMEM;
  struct index grown = {calloc(room, sizeof *grown.places), (uint32_t)room - 1, ix->used};
  if (!grown.places)
    return -ENOMEM;
  for (uint32_t i = 0; ix->places && i <= ix->mask; i++)
    if (ix->places[i].position)
      place(&grown, ix->places[i].hash, ix->places[i].position);
  free(ix->places);
  *ix = grown;
  return 0;
}

uint32_t index_find(const struct index *ix, const char *key, index_key_fn key_at,
                    const void *array) {
  if (ix->used == 0)
    return INDEX_NONE;
  uint32_t hash = hash_text(key);
  for (uint32_t i = hash & ix->mask; ix->places[i].position; i = (i + 1) & ix->mask) {
    uint32_t position = ix->places[i].position - 1;
    if (ix->places[i].hash == hash && strcmp(key_at(array, position), key) == 0)
      return position;
  }
  return INDEX_NONE;
}

int index_add(struct index *ix, const char *key, uint32_t position) {
  int rc = index_reserve(ix, ix->used + 1);
  if (rc == 0) {
    place(ix, hash_text(key), position + 1);
    ix->used++;
  }
  return rc;
}

/* Knuth's algorithm R (TAOCP 3, 6.4): closes the gap at `i`, so that no tombstones gather. */
static void close_gap(struct index *ix, uint32_t i) {
  for (uint32_t j = (i + 1) & ix->mask; ix->places[j].position; j = (j + 1) & ix->mask) {
    uint32_t home = ix->places[j].hash & ix->mask;
    if (((j - home) & ix->mask) < ((j - i) & ix->mask))
      continue; /* its home lies after the gap: it may not move before it */
    ix->places[i] = ix->places[j];
    i = j;
  }
  ix->places[i].position = 0;
}

void index_move(struct index *ix, const char *key, uint32_t from, uint32_t to) {
  if (ix->used == 0)
    return;
  for (uint32_t i = hash_text(key) & ix->mask; ix->places[i].position; i = (i + 1) & ix->mask) {
    if (ix->places[i].position != from + 1)
      continue;
    if (to != INDEX_NONE) {
      ix->places[i].position = to + 1;
    } else {
      close_gap(ix, i);
      ix->used--;
    }
    return;
  }
}
