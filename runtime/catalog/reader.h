/* reader: a catalog file mapped for reading, and what is found in it. The file may be written at
 * any time, and it may be damaged: every offset, count and number from it is checked against the
 * mapping before use, and what was read of a block counts only when the block's epoch is still the
 * same afterwards. No locks, no allocation, no system calls but in catalog_map_open and _close.
 *
 * Threads: a mapping may be read by any number of them; a view belongs to one. */
#pragma once

#include "catalog/layout.h"

#include <sys/types.h>

struct catalog_map {
  const unsigned char *base;
  uint64_t mapped; /* bytes of address space; the file may be shorter, or have become longer */
  dev_t device;
  ino_t inode;
};

/* Maps the file `name` in the directory `dir` (-1 with a path of its own) read-only. -ENOENT;
 * -EACCES; -EPERM: it is neither root's nor one's own; -EPROTO: no catalog, damaged, or of an
 * unknown layout; -ENOMEM. */
int catalog_map_open(struct catalog_map *m, int dir, const char *name);
void catalog_map_close(struct catalog_map *m);
/* What is mapped, of a file of this size, is a catalog of this layout: 0 or -EPROTO. */
int catalog_map_check(const struct catalog_map *m, uint64_t file_size);

static inline const struct catalog_header *catalog_map_header(const struct catalog_map *m) {
  return (const struct catalog_header *)m->base;
}

/* Bytes that may be touched now. */
static inline uint64_t catalog_map_limit(const struct catalog_map *m) {
  uint64_t size = atomic_load_explicit(&catalog_map_header(m)->size, memory_order_acquire);
  return size < m->mapped ? size : m->mapped;
}

/* An item of one of the three maps, or NULL when it is not in the file. */
static inline const void *catalog_map_item(const struct catalog_map *m,
                                           enum catalog_map_granule map, uint32_t i) {
  uint64_t size = map == CATALOG_EPOCHS ? 4 : 64;
  const uint32_t *chunks = (const uint32_t *)(m->base + (uint64_t)map * CATALOG_GRANULE);
  if (i / CATALOG_CHUNK >= CATALOG_CHUNK)
    return NULL;
  uint64_t chunk = catalog_load32(&chunks[i / CATALOG_CHUNK]);
  uint64_t at = chunk * CATALOG_GRANULE + i % CATALOG_CHUNK * size;
  return chunk >= CATALOG_FIRST_GRANULE && at + size <= catalog_map_limit(m) ? m->base + at : NULL;
}

/* The directory's entry `number`, with a name that may be read: its length, its bytes in *name.
 * NULL: there is none. Valid as long as the mapping. */
const struct catalog_entry *catalog_map_entry(const struct catalog_map *m, uint32_t number,
                                              const char **name, uint32_t *length);
/* By name. NULL: not there; -EAGAIN in *error when the index was replaced three times meanwhile,
 * -ERANGE when the mapping is too small for the file (map it again), else 0. */
const struct catalog_entry *catalog_map_find(const struct catalog_map *m, const char *name,
                                             size_t length, int *error);

/* The granules that a `current` word names: the first byte, how many bytes follow it in the file,
 * and the word to compare its epoch with. -ERANGE: beyond the mapping; -EPROTO: damaged. */
int catalog_map_block(const struct catalog_map *m, uint64_t current, const unsigned char **block,
                      uint64_t *room, const _Atomic uint32_t **epoch_word);

/* One snapshot, its head copied and checked: tables lie inside the block. */
struct catalog_view {
  const unsigned char *block;
  const _Atomic uint32_t *epoch_word;
  uint32_t epoch;
  uint32_t bytes;
  uint64_t version;
  uint64_t published_us, stale_since_ns;
  const struct catalog_row *rows;
  const uint32_t *order; /* load by catalog_load32, and check against `count` */
  const uint64_t *alias; /* load by catalog_load64: two halves, as struct catalog_alias */
  const struct catalog_group *groups;
  const uint64_t *top;   /* as `alias`, over the groups; NULL = group 0 takes all */
  const uint32_t *slots; /* of the rows that can be picked; NULL = look at the rows */
  uint32_t count, healthy, pickable, cycle, group_count;
  uint32_t balancer, flags;
  uint32_t options[4];
  uint32_t zones, zone_count, ports, port_count;
};

/* -EAGAIN: the block was reused, load `current` again; -ERANGE: it is beyond the mapping; -EPROTO:
 * damaged. `current` is neither 0 nor MOVED. */
int catalog_view_open(struct catalog_view *v, const struct catalog_map *m, uint64_t current);

/* What was read of the block up to now was the block. */
static inline bool catalog_view_holds(const struct catalog_view *v) {
  return catalog_epoch_is(v->epoch_word, v->epoch);
}

/* A text inside the block: its offset and length, length 0 where it does not fit into the block. */
struct catalog_text {
  uint32_t at, length;
};
enum catalog_text_kind { CATALOG_ID, CATALOG_ZONE, CATALOG_TAG, CATALOG_META_KEY };

/* The text `i` of a kind of row `row` (0 for id and zone). False: there is none. */
bool catalog_view_text(const struct catalog_view *v, uint32_t row, enum catalog_text_kind kind,
                       uint32_t i, struct catalog_text *text);
/* The value of a meta key. False: there is none. */
bool catalog_view_meta(const struct catalog_view *v, uint32_t row, const char *key, size_t length,
                       struct catalog_text *value);
/* The row's address, wherever it is. */
struct catalog_text catalog_view_address(const struct catalog_view *v, uint32_t row);
/* The port of a name, 0 to 65535, or -1. */
int catalog_view_port(const struct catalog_view *v, uint32_t row, const char *name, size_t length);

/* Copies bytes of the block; offset and length come from a struct catalog_text. */
void catalog_view_copy(const struct catalog_view *v, struct catalog_text text, char *to);
bool catalog_view_equals(const struct catalog_view *v, struct catalog_text text, const char *with,
                         size_t length);

/* What a pick, and all else that handles rows, needs of one. */
struct catalog_row_words {
  uint64_t slot, port; /* as in the file: struct catalog_row's first 16 bytes */
  uint32_t detail;
  uint16_t zone;
  uint8_t address_length, tier;
};
_Static_assert(sizeof(struct catalog_row_words) == 24, "a row without its address");

/* `row` < count. */
static inline struct catalog_row_words catalog_view_row(const struct catalog_view *v,
                                                        uint32_t row) {
  const uint64_t *words = (const uint64_t *)&v->rows[row];
  union {
    uint64_t words[3];
    struct catalog_row_words row;
  } u = {{catalog_load64(words), catalog_load64(words + 1), catalog_load64(words + 2)}};
  return u.row;
}
