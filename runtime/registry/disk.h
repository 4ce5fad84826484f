/* disk: the LMDB file of the store, and what may happen to it: damage, a full disk, a full map, an
 * I/O error in the middle. Opened on the control thread, then used by the store's thread only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk;
struct fault;

/* One key's change. The bytes are the caller's; `value` has its checksum at its end. */
struct disk_change {
  const char *key; /* BUCKET/KEY */
  const void *value;
  size_t key_length, length;
  bool erase;
};
enum { DISK_KEY_MAX = 500 }; /* LMDB's own limit is 511 */

/* As store_open. *aside: a damaged file was moved away, `f` says where. */
int disk_open(const char *dir, struct disk **out, bool *aside, struct fault *f);
void disk_close(struct disk *d);

/* One transaction: begin, change, commit, synced to the disk: all or nothing. 0 or negative errno;
 * after any failure the next one starts from what was committed last. */
int disk_begin(struct disk *d);
int disk_change(struct disk *d,
                const struct disk_change *c); /* then commit is not needed on error */
int disk_commit(struct disk *d);

/* Whether the map was too small for the last failure, and has been made larger: run it again. */
bool disk_grew(struct disk *d);

/* All of a bucket in key order; values still have their checksums. */
int disk_each(struct disk *d, const char *bucket,
              int (*each)(void *arg, const char *key, size_t key_length, const void *value,
                          size_t length),
              void *arg);
