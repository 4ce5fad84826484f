/* store: the data directory. LMDB on a thread of its own (group commit: what queues up while one
 * transaction syncs goes into the next one). The control thread never waits for the disk: it
 * queues changes, and is called back on its own loop when they are durable. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct store;
struct fault;

/* Opens or makes DIR/perigee.mdb. `dir` NULL: memory only, every change is acknowledged at once in
 * the next turn. -EACCES, -EROFS, -ENOSPC, ...: the caller decides to go on in memory, and says so. */
int store_open(uv_loop_t *loop, const char *dir, struct store **out, struct fault *f);

/* Commits what is queued, calls what is owed, joins the thread, then calls `closed`. */
void store_close(struct store *s, void (*closed)(void *arg), void *arg);

/* `status` 0 or a negative errno (-ENOSPC: the disk is full; nothing of the change is kept). */
typedef void (*store_done)(void *arg, int status);

/* Copies key and value. `bucket` is a short name ("registration", "deadline", "meta", ...). A NULL
 * value deletes. `done` may be NULL. Changes are applied in the order of the calls. */
void store_put(struct store *s, const char *bucket, const char *key, const void *value,
               size_t length, store_done done, void *arg);

/* At start, before any put: calls `each` for all of a bucket, in key order. */
int store_each(struct store *s, const char *bucket,
               int (*each)(void *arg, const char *key, const void *value, size_t length),
               void *arg);

struct store_stats {
  uint64_t commits, changes, failures;
  uint64_t queue; /* not yet durable */
  int64_t last_commit_ns;
  int in_memory;
};
void store_stats(const struct store *s, struct store_stats *out);
