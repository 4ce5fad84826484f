#include "catalog/directory.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FIRST_CELLS = 256 };

void catalog_wake(const void *futex) {
  CATALOG_STORE_HOOK();
  syscall(SYS_futex, futex, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static uint64_t *index_cells(const struct directory *d, const struct arena *a) {
  return (uint64_t *)((unsigned char *)arena_at(a, d->index) + sizeof(struct catalog_index));
}

int64_t directory_find(const struct directory *d, const struct arena *a, const char *name) {
  size_t length = strlen(name);
  uint32_t hash = catalog_name_hash(name, length);
  for (uint32_t i = 0; i < d->cells; i++) {
    uint64_t cell = catalog_load64(&index_cells(d, a)[(hash + i) & (d->cells - 1)]);
    if (!cell)
      break;
    if (cell >> 32 != hash)
      continue;
    uint32_t number = (uint32_t)cell - 1;
    const struct catalog_entry *e = directory_entry(a, number);
    if (e->name_length == length && memcmp(a->base + e->name, name, length) == 0)
      return number;
  }
  return -ENOENT;
}

/* The cell becomes visible last: a reader finds the whole entry or none. */
static void insert(uint64_t *cells, uint32_t count, uint32_t hash, uint32_t number) {
  uint32_t i = hash & (count - 1);
  while (catalog_load64(&cells[i]))
    i = (i + 1) & (count - 1);
  catalog_release64(&cells[i], (uint64_t)hash << 32 | (number + 1));
}

static uint32_t entry_hash(const struct arena *a, uint32_t number) {
  const struct catalog_entry *e = directory_entry(a, number);
  return catalog_name_hash((const char *)a->base + e->name, e->name_length);
}

/* Room in the index for one more entry. */
static int reserve_cell(struct directory *d, struct arena *a) {
  if ((d->count + 1) * 2 <= d->cells)
    return 0;
  uint32_t cells = d->cells ? d->cells * 4 : FIRST_CELLS, granule;
  uint32_t bytes = sizeof(struct catalog_index) + cells * 8, granules = catalog_granules(bytes);
  int r = arena_take(a, granules, &granule);
  if (r < 0)
    return r;
  struct catalog_index *index = arena_at(a, granule);
  catalog_store32(&index->kind, CATALOG_INDEX);
  catalog_store32(&index->bytes, bytes);
  catalog_store32(&index->cells, cells);
  uint64_t *words = (uint64_t *)(index + 1);
  for (uint32_t i = 0; i < cells; i++)
    if (catalog_load64(&words[i]))
      catalog_store64(&words[i], 0);
  for (uint32_t number = 0; number < d->count; number++)
    insert(words, cells, entry_hash(a, number), number);
  catalog_release64(&arena_header(a)->index, arena_current(a, granule));
  r = d->index ? arena_rest(a, d->index, d->index_granules) : 0;
  d->index = granule;
  d->index_granules = granules;
  d->cells = cells;
  return r;
}

static int reserve_name(struct directory *d, struct arena *a, uint32_t length) {
  uint32_t granule;
  if (d->names_left >= length)
    return 0;
  int r = arena_take(a, 1, &granule);
  if (r < 0)
    return r;
  d->names = granule * CATALOG_GRANULE;
  d->names_left = CATALOG_GRANULE;
  return 0;
}

int64_t directory_add(struct directory *d, struct arena *a, const char *name) {
  size_t length = strlen(name);
  if (length == 0 || length > CATALOG_NAME_MAX)
    return -EINVAL;
  uint32_t padded = (uint32_t)(length + 7) & ~7u, number = d->count;
  int r = arena_chunk(a, CATALOG_DIRECTORY, number);
  if (r == 0)
    r = reserve_name(d, a, padded);
  if (r == 0)
    r = reserve_cell(d, a);
  if (r < 0)
    return r;

  for (uint32_t at = 0; at < padded; at += 8) {
    uint64_t word = 0;
    memcpy(&word, name + at, length - at < 8 ? length - at : 8);
    catalog_store64(a->base + d->names + at, word);
  }
  struct catalog_entry *e = directory_entry(a, number);
  catalog_store32(&e->name_length, (uint32_t)length);
  catalog_store32(&e->name, d->names);
  d->names += padded;
  d->names_left -= padded;
  d->count++;
  struct catalog_header *h = arena_header(a);
  catalog_release32(&h->entries, d->count);
  insert(index_cells(d, a), d->cells, catalog_name_hash(name, length), number);
  catalog_release32(&h->directory_word, catalog_load32(&h->directory_word) + 1);
  catalog_wake(&h->directory_word);
  return number;
}
