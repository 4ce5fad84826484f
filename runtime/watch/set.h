/* set: what is known of one service's endpoints, and the only way into the catalog.
 *
 * Whoever watches (a registry plugin, the embedded registry) puts, removes and replaces. At the end
 * of the loop's turn `sets_flush` turns each changed set into one snapshot, however many events
 * came, and publishes it. A set that did not change publishes nothing. Control thread only. */
#pragma once

#include "watch/instance.h"

#include <stddef.h>

struct balancer_host;
struct catalog_writer;
struct plan_question;
struct plan_row;
struct planner;
struct value;
struct fault;
struct sets;
struct set;
struct outlier_rules;

struct set_row {
  struct instance *instance;
  enum status status;
  uint32_t slot, slot_generation; /* of the catalog, for the instance's life */
  uint32_t flags;                 /* rows.h's own */
  int64_t born_ns; /* clock_now_ns: it came, or became healthy; 0 = before this agent */
};

/* Told after a snapshot was published (or the service ended: count 0 and `gone`). Rows are the
 * set's, sorted by id, valid during the call; take references to keep instances. It may change
 * sets: that is for the next flush. */
struct set_published {
  const char *service;
  uint64_t version;
  const struct set_row *rows;
  const struct plan_row *plan; /* one a row (plan.h); NULL: as the registry says */
  size_t count;
  bool gone, stale;
  bool known; /* something was put, removed or replaced: no rows means that there are none */
  int64_t stale_since_ns; /* clock_now_ns; 0 when not stale */
  const char *via;        /* set_via; NULL: none */
};
typedef void (*sets_published_fn)(void *arg, const struct set_published *what);

struct sets *sets_new(struct catalog_writer *writer, sets_published_fn published, void *arg);
/* Sets that are in no catalog: what changes is only told. */
struct sets *sets_new_apart(sets_published_fn published, void *arg);
/* Where the agent is, for balancers that ask: before set_balancer, and again when that changes: all
 * are made anew then, and published. 0, -ENOMEM. */
int sets_place(struct sets *all, const struct balancer_host *host);
/* Asks `planner` (plan.h) what endpoints count for, before each snapshot. NULL, the beginning:
 * nobody. It outlives its last flush. */
void sets_plan_by(struct sets *all, const struct planner *planner);
/* What is published stays in the catalog for its readers. */
void sets_free(struct sets *all);

/* Made when new, and counted: the last of as many set_close as sets_open ends the service. One
 * source a service: two that both `set_replace` would undo each other. NULL: no memory, or the name
 * is none (text.h). A new set publishes nothing until something is known of it. */
struct set *sets_open(struct sets *all, const char *service);
struct set *sets_find(struct sets *all, const char *service);
/* When it was the last: the endpoints leave the catalog at the next flush, then the set is freed
 * (opened again before that, it goes on with what it has). */
void set_close(struct set *s);

const char *set_service(const struct set *s);
size_t set_count(const struct set *s);
uint64_t set_version(const struct set *s);     /* of what was published last */
uint64_t set_changes(const struct set *s);     /* how often its content has changed */
const struct set_row *set_rows(struct set *s); /* by id; valid until the set changes */

/* All take a reference of their own. The same facts again change nothing. 0 or negative errno, then
 * nothing has changed: -EINVAL (instance_check says why), -ENOMEM, and as noted. */
int set_put(struct set *s, const struct instance *in, enum status status);
int set_remove(struct set *s, const char *id);                     /* -ENOENT */
int set_status(struct set *s, const char *id, enum status status); /* -ENOENT */
/* All there is, in any order: who is not in it has left, none is a known emptiness. `statuses`
 * NULL: all passing. -EEXIST: an id is there twice. Cheapest when sorted by id (strcmp). */
int set_replace(struct set *s, struct instance *const *instances, const enum status *statuses,
                size_t count);

/* The balancer as in the configuration, see balancer.h. NULL = default. Takes a reference. -EINVAL:
 * what balancer_parse refuses; the old one stays. */
int set_balancer(struct set *s, const struct value *balancer, struct fault *f);

/* What the balancer's stage "outlier" says, or NULL: no outlier detection. The set's own. */
const struct outlier_rules *set_outlier_rules(const struct set *s);

/* Another number than before when calls of its endpoints were reported meanwhile. */
uint64_t set_pulse(const struct set *s);

/* Publishes it again, without moving its version: what is live of it has changed what picks choose
 * from. Nothing when it was never published. */
void set_touch(struct set *s);

/* What a planner is asked (plan.h) if it is asked now, but for `run`. Valid until the set changes.
 */
void set_question(struct set *s, struct plan_question *out);
/* Has it planned again by the next flush, which publishes it only when that changes something.
 * Nothing when it was never published: it is planned then anyway. */
void set_replan(struct set *s);
/* What its planner waited for is there: it need not wait until the time that was said. */
void set_hurry(struct set *s);

/* Stale: its source cannot be reached; what is known stays. */
void set_stale(struct set *s, bool stale);
/* Its source is reached, and what the set has is how things are, also when that is nothing. */
void set_current(struct set *s);
/* Through which other agents it came here, the nearest last: their identities (base/identity.h),
 * each after a comma. NULL: through none. Copied, as far as 16 of them. */
void set_via(struct set *s, const char *via);
const char *set_through(const struct set *s);
int64_t set_stale_ns(const struct set *s); /* since when it is stale; 0: it is not */
void set_stale_since(struct set *s, bool stale, int64_t since_ns); /* 0: since now */

/* Logs what is wrong with what its source says: when it is something else than the last time. NULL:
 * nothing is. */
void set_complain(struct set *s, const char *what);

/* Publishes what changed; the number of snapshots published. Called once a turn, after I/O. Some of
 * it waits: what could not be published (-ENOSPC: the file cannot grow) for a second, while picks
 * go on from the old snapshot, logged once; and a large service that has just been published, for
 * ten times its build time. The first flush after that publishes it: `sets_due_ns` says when. */
size_t sets_flush(struct sets *all);
/* `*dirty` becomes true as soon as there is something to flush: for who has many `sets`. */
void sets_notice(struct sets *all, bool *dirty);
bool sets_dirty(const struct sets *all);     /* another flush, now, has something to do */
int64_t sets_due_ns(const struct sets *all); /* clock_now_ns of the first that waits; 0: none */
size_t sets_count(const struct sets *all);

/* What takes too long for a turn is made on another thread (work.h), when there is somebody to ask:
 * `begin` gets set_work_run called there, then set_work_over on this thread, and answers 0; else it
 * is done here and at once. A work outlives its sets, if need be. */
struct set_work;
typedef int (*set_work_fn)(void *arg, struct set_work *w);
void sets_elsewhere(struct sets *all, set_work_fn begin, void *arg);
void set_work_run(struct set_work *w);       /* any thread */
void set_work_over(struct set_work *w);      /* ends it */
size_t sets_working(const struct sets *all); /* how many services wait for theirs */

struct sets_stats {
  uint64_t services, endpoints, passing, warning, critical; /* as last published */
  uint64_t stale, waiting;    /* services that are; that could not be published yet */
  uint64_t fail_open;         /* services with endpoints and none healthy: picks take any */
  uint64_t fail_open_events;  /* how often a service became that */
  uint64_t published, failed; /* snapshots, and attempts that failed */
};
void sets_stats(const struct sets *all, struct sets_stats *out);
