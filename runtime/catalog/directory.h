/* directory: the services of the file by number and by name. Entries and names are appended and
 * never move; the name index is a block that is replaced when it is half full. Control thread. */
#pragma once

#include "catalog/arena.h"

struct directory {
  uint32_t count;             /* entries */
  uint32_t names, names_left; /* bytes: the next free one of the names, and how many follow */
  uint32_t index, index_granules, cells; /* the index's block; 0 = none yet */
};

static inline struct catalog_entry *directory_entry(const struct arena *a, uint32_t number) {
  return arena_item(a, CATALOG_DIRECTORY, number);
}

/* The entry's number, or -ENOENT. */
int64_t directory_find(const struct directory *d, const struct arena *a, const char *name);

/* Appends a service with nothing published and makes it findable. Its number, or -ENOSPC,
 * -ENOMEM, -EINVAL (the name is empty or longer than 255 bytes). */
int64_t directory_add(struct directory *d, struct arena *a, const char *name);

/* Wakes all that wait for a word of a mapped file. */
void catalog_wake(const void *futex);
