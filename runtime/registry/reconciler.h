/* reconciler: makes one registry have what is desired, and keeps it so. Everything that can go
 * wrong (a lease lost, a key deleted, a registry wiped or restored, a broken connection, a restart
 * of either side) is the same to it: a difference, found by a renewal or an audit, and mended.
 *
 *   wanted, not as held  ─► register ─► renew every third of the lease's time ─┐
 *          ▲                                  0 seconds left, or -ENOENT       │
 *          └───────────────────────────────────────────────────────────────────┘
 *   no longer wanted     ─► deregister ─► forgotten
 *   audit, every minute or two: what the registry lists as ours and nobody wants is deregistered;
 *   what it does not list, or not as it was, is registered again. What is not ours is never
 * touched: what somebody else has registered under the same id is `taken`, told once, and asked
 * again as often as a failure, until the other has left.
 *
 * Failures back off each by itself (base/backoff.h); while the registry
 * fails only one operation runs at a time, then at most OPERATIONS_AT_ONCE. One that has run for a
 * second hangs, and keeps nobody else waiting. Control thread only. */
#pragma once

#include "registry/desired.h"

#include <uv.h>

enum { OPERATIONS_AT_ONCE = 8 };
#define DOUBT_NS (5 * INT64_C(1000000000))

/* Who carries operations out. Each function begins one, or returns a negative errno; its answer
 * comes later, by reconciler_done or reconciler_listed, never from within. */
struct reconciler_registry {
  /* `lease`: what the entry has, or NULL for a new one of `ttl` seconds. */
  int (*operate)(void *arg, struct desired_entry *e, enum operation op, const struct value *lease,
                 double ttl);
  int (*list)(void *arg); /* NULL or -ENOSYS: the registry cannot tell what is ours */
  /* May be NULL. The registry has the entry as its lease says, and it is not `attended`: whoever
   * sees that somebody changes it there says so by reconciler_changed. */
  void (*attend)(void *arg);
  /* May be NULL. It is deregistered, and nobody wants it: the entry's last moment. */
  void (*gone)(void *arg, const struct desired_entry *e);
};

struct reconciler_stats {
  uint64_t wanted, held, taken;                                                /* now */
  uint64_t registered, renewed, deregistered, lost, orphans, audits, failures; /* ever */
};

struct reconciler;

/* `ttl` in seconds. Begins in the loop's next turn, with what the store remembers and what was
 * wanted by then. NULL: out of memory. */
struct reconciler *reconciler_new(uv_loop_t *loop, const char *registry, double ttl,
                                  struct store *store, const struct reconciler_registry *how,
                                  void *arg);
void reconciler_change_ttl(struct reconciler *r,
                           double ttl); /* of leases from their next renewal */
/* The longest wait before what failed is tried again (base/backoff.h), from the next failure on. */
void reconciler_change_retry(struct reconciler *r, double longest_s);
/* The registry is asked in another way from now on: what runs ends first, and then all is renewed.
 */
void reconciler_renew_all(struct reconciler *r);
/* Before its first turn: what the store remembers is somebody else's. Stays in the store. */
void reconciler_disown(struct reconciler *r);
void reconciler_free(struct reconciler *r); /* after the operations that ran were ended */

/* `heard`: its checks have said something; before that only what is registered already stays so. */
void reconciler_want(struct reconciler *r, const struct instance *in, enum status status,
                     bool heard);
void reconciler_unwant(struct reconciler *r, const char *service, const char *id);

/* The answer to an operation. 0: a registration's `lease` (taken over; may be NULL) with its `ttl`
 * in seconds, or a renewal's `ttl`, <= 0 when the lease is gone, or `why` says why it is to be
 * registered again. Else a negative errno with why.
 * -EEXIST of a registration: somebody else has it, whom `why` names. */
void reconciler_done(struct reconciler *r, struct desired_entry *e, int status, const char *why,
                     struct value *lease, double ttl);
/* The entry may not be there any more, or not as it was: it is renewed at once, but not more often
 * than every DOUBT_NS, as whoever changed it may go on doing so. */
void reconciler_doubt(struct reconciler *r, struct desired_entry *e);
/* The same of each in a list of { service, id }. They are attended no more. */
void reconciler_changed(struct reconciler *r, const struct value *list);
/* All that the registry has as their leases say are attended from now on: calls `each` for them. */
void reconciler_attend_all(struct reconciler *r,
                           void (*each)(void *arg, const struct desired_entry *e), void *arg);
void reconciler_attend_none(struct reconciler *r);
bool reconciler_can_attend(const struct reconciler *r); /* there is something to attend */

/* Each entry that has a lease. */
void reconciler_each_held(const struct reconciler *r,
                          void (*each)(void *arg, const struct desired_entry *e), void *arg);
/* What of that is still registered there after a stop that left. */
uint32_t reconciler_left(const struct reconciler *r);
/* Each that is wanted and that somebody else has: `taken` says who. */
void reconciler_each_taken(const struct reconciler *r,
                           void (*each)(void *arg, const struct desired_entry *e), void *arg);
/* The answer to `list`: a list of { service, id, lease }. What it says of a lease and is not as we
 * have it was changed by somebody. -ENOTSUP: it never can. */
void reconciler_listed(struct reconciler *r, int status, const char *why, const struct value *list);

/* The end of the work. `leave`: all is deregistered; else each lease is asked for once more, with
 * `ttl` seconds, for the next agent to take up. `stopped` is called when that is done, or after
 * `patience_ms` and a little for each entry, once, later. */
void reconciler_stop(struct reconciler *r, bool leave, double ttl, unsigned patience_ms,
                     void (*stopped)(void *arg), void *arg);

/* What is due by clock_now_ns is done: the timer's work, for those who own the clock. */
void reconciler_tick(struct reconciler *r);

/* Whether this instance was withdrawn by us lately: that it vanishes is no loss. */
bool reconciler_withdrew(const struct reconciler *r, const char *service, const char *id);
/* Whether the registry has it, or may have. */
bool reconciler_holds(const struct reconciler *r, const char *service, const char *id);
void reconciler_stats(const struct reconciler *r, struct reconciler_stats *out);
