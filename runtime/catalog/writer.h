/* catalog writer: the agent's side of the shared file. One writer a file, held by `flock` on
 * RUN_DIR/lock; control thread only. Readers need nothing of it: see reader.h and LAYOUT.md. */
#pragma once

#include "catalog/endpoint.h"
#include "catalog/rules.h"

#include <stddef.h>
#include <stdint.h>

struct catalog_writer;

/* Opens RUN_DIR for writing: makes it if missing, takes the lock, builds a new file from the old
 * one's valid blocks if there is one, renames it into place and tells the old one's readers.
 * -EBUSY: another agent holds the lock (its pid in *pid when not NULL); -EACCES, -EROFS, -ENOSPC.
 */
int catalog_writer_open(const char *run_dir, struct catalog_writer **out, int *pid);

/* Leaves the file in place and valid: readers go on. */
void catalog_writer_close(struct catalog_writer *w);

/* The largest version given out or taken over so far; `raise` lifts the floor (persisted value). */
uint64_t catalog_version(const struct catalog_writer *w);
void catalog_version_raise(struct catalog_writer *w, uint64_t floor);

/* A slot and its generation, an instance's for life. Freed ones rest 60 s. -ENOSPC, -ENOMEM. */
int catalog_slot_take(struct catalog_writer *w, uint32_t *slot, uint32_t *generation);
void catalog_slot_free(struct catalog_writer *w, uint32_t slot);

/* What outlives an agent: (service, id) → slot, so that a take-over keeps an instance's slot.
 * 0 and the slot, now taken, or -ENOENT. */
int catalog_slot_adopt(struct catalog_writer *w, const char *service, const char *id,
                       uint32_t *slot, uint32_t *generation);

/* Publishes one service's snapshot. `balancer` names the algorithm (select.h's table), NULL the
 * default. `service` is 1 to 255 bytes. `moves_version` is 0 for what nobody should wake for
 * (slow-start ticks and the like). On success *version is the service's version. -ENOSPC: the file
 * cannot grow (the old snapshot stays); -EINVAL: unknown balancer, a weight that is negative or not
 * finite, no address, a name, an address or zone longer than 255 bytes, another text longer than
 * 65,535. Critical endpoints go after the healthy ones; when none is healthy the picks fail open
 * and the block says so. */
struct catalog_snapshot {
  const char *service;
  const char *balancer;
  const struct catalog_rules *rules; /* NULL = none */
  const struct catalog_endpoint *endpoints;
  size_t count;
  uint64_t now_ns; /* CLOCK_MONOTONIC, for slow start */
  int moves_version;
  int64_t stale_since_ns; /* CLOCK_MONOTONIC: the source is unreachable since; 0 = it is not */
};
int catalog_publish(struct catalog_writer *w, const struct catalog_snapshot *snapshot,
                    uint64_t *version);

/* The same where tables take long: a part of it for another thread. After `begin`, *build is NULL
 * when there is nothing long to do (publish it), or what to run. The snapshot's endpoints, what
 * these point to, and its rules must stay as they are until it has run; no other snapshot of that
 * service may be published in between. 0, or what catalog_publish would answer. */
struct catalog_build;
int catalog_build_begin(struct catalog_writer *w, const struct catalog_snapshot *snapshot,
                        struct catalog_build **build);
void catalog_build_run(struct catalog_build *build); /* any thread; once */
int catalog_build_publish(struct catalog_writer *w, struct catalog_build *build, uint64_t *version);
void catalog_build_end(struct catalog_build *build); /* when it runs no more */

/* The service ends: later picks say -ENOENT, until it is published again. -ENOENT: it is not
 * published. */
int catalog_withdraw(struct catalog_writer *w, const char *service);

/* When the service may be published again without keeping slow readers from ever finishing: ten
 * times the CPU time of its last build after the last publication. CLOCK_MONOTONIC, ns; 0 = at
 * once. Advice: who publishes sooner costs readers a retry, never a wrong answer. */
int64_t catalog_publish_at(const struct catalog_writer *w, const char *service);

/* The services that are still what the writer before had published: calls `each` until it returns
 * non-zero; returns what it returned. `each` may not publish or withdraw. Those that nobody
 * publishes any more are to be withdrawn. */
int catalog_inherited(const struct catalog_writer *w, int (*each)(void *arg, const char *service),
                      void *arg);

/* Once a second or so: heartbeat, and blocks and slots that have rested are freed. */
void catalog_tick(struct catalog_writer *w);

struct catalog_stats {
  uint64_t publishes, failed_publishes, blocks_resting, bytes_resting;
  uint64_t file_bytes, bytes_used, services, endpoints, slots;
};
void catalog_stats(const struct catalog_writer *w, struct catalog_stats *out);
