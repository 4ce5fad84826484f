/* store: the data directory. LMDB on a thread of its own (group commit: what queues up while one
 * transaction syncs goes into the next one). The control thread never waits for the disk: it
 * queues changes, and is called back on its own loop when they are durable. All functions: control
 * thread.
 *
 * Caveats. The file is verified whole when it is opened, in a child process, since reading a
 * damaged LMDB file may crash: it is 100 ms for 100,000 registrations. A file that is damaged is
 * moved to perigee.mdb.damaged-UNIXTIME beside it and an empty one is begun: logged, counted, and
 * never deleted. A single record whose checksum is wrong is left out, logged and counted. One agent
 * a directory: flock on perigee.mdb.lock (-EBUSY). Not for network file systems. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct store;
struct fault;

/* Opens or makes DIR/perigee.mdb. `dir` NULL: memory only, every change is acknowledged at once in
 * the next turn. -EACCES, -EROFS, -ENOSPC, ...: the caller decides to go on in memory, and says so.
 * 0 with f->code -EUCLEAN: it is open and empty, a damaged file was moved aside, `f` says where. */
int store_open(uv_loop_t *loop, const char *dir, struct store **out, struct fault *f);

/* Commits what is queued, calls what is owed, joins the thread, then calls `closed` (may be NULL)
 * from the loop, without having blocked it. */
void store_close(struct store *s, void (*closed)(void *arg), void *arg);

/* `status` 0: durable; or a negative errno (-ENOSPC: the disk is full): nothing of the change is
 * kept. Called once, in the order of the calls below, never from within one. */
typedef void (*store_done)(void *arg, int status);

/* `bucket` is a short name without '/' ("registration", "deadline", "meta", ...), `key` at most 400
 * bytes. A NULL value deletes (what is not there: success). */
struct store_change {
  const char *bucket, *key;
  const void *value;
  size_t length;
};

/* All of the changes or none. Copies them. Applied in the order of the calls. `done` may be NULL.
 * 0, or -ENOMEM, -ENAMETOOLONG, -ESHUTDOWN (after store_close): then `done` is not called. */
int store_apply(struct store *s, const struct store_change *changes, size_t count, store_done done,
                void *arg);
int store_put(struct store *s, const char *bucket, const char *key, const void *value,
              size_t length, store_done done, void *arg);

/* At start, before any put: calls `each` for all of a bucket, in key order, until it returns other
 * than 0; returns that, or a negative errno. */
int store_each(struct store *s, const char *bucket,
               int (*each)(void *arg, const char *key, const void *value, size_t length),
               void *arg);

struct store_stats {
  uint64_t commits, changes, failures; /* transactions; changes durable; changes refused */
  uint64_t damaged;                    /* records with a wrong checksum, met by store_each */
  uint64_t queue;                      /* not yet durable */
  int64_t last_commit_ns;              /* how long it took */
  int in_memory;
  int set_aside; /* the file was damaged when it was opened */
};
void store_stats(const struct store *s, struct store_stats *out);
