/* parking: requests that are answered when there is news, or when their time is over. One a worker,
 * on its thread.
 *
 *   handler ── parking_add ──► parked ── the view shows another state ──► `ready`, which asks the
 * handler again └────── its time is over, or parking_end ──► `ready`, for good
 *
 * What a request waits for is a state: a number that some function makes of the view, and of the
 * service that the request is about. The control thread rings the worker when it has shown
 * something, if anybody is parked there; only what waits in a shard that changed is looked at. All
 * of them have one timer. */
#pragma once

#include "base/alarms.h"
#include "serve/view/view_shard.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct view;
struct view_root;
struct parking;

/* `service` NULL: of the whole. */
typedef uint64_t (*parking_state)(const struct view_root *root, const char *service);

struct parked { /* zero-initialised: it is not */
  struct parking *parking;
  struct parked *next, **link;
  struct alarm alarm;
  parking_state state;
  uint64_t seen;
  char *service; /* owned; NULL: the whole */
};

enum { PARKING_ROWS = SHARDS + 1 }; /* one a shard, and one for the whole */

struct parking {
  uv_timer_t timer;
  struct alarms alarms;
  struct view *view;
  unsigned worker;       /* its number in the view */
  _Atomic unsigned used; /* the control thread reads it, to know whom to ring */
  uint64_t looked;       /* the number of the commit that was looked at last */
  struct parked *rows[PARKING_ROWS];
  /* It is not parked any more; `over`: and may not be again. */
  void (*ready)(struct parked *p, bool over);
  void (*ring)(void *arg); /* has parking_look called, soon */
  void *arg;
};

/* `ready`, `ring` and `arg` are set before the first is added. */
void parking_open(struct parking *all, uv_loop_t *loop, struct view *view, unsigned worker);
/* Answers all; the timer's memory stays until its close callback ran. */
void parking_end(struct parking *all);
void parking_free(struct parking *all); /* after the loop has run */

/* Inside the view, of which `root` was got, and in which the state has been seen: until it differs
 * or `until_ns` (clock_now_ns). `service` is copied. False: out of memory. */
bool parking_add(struct parking *all, struct parked *p, const struct view_root *root,
                 const char *service, parking_state state, int64_t until_ns);
void parking_remove(struct parked *p); /* nobody waits any more; fine when it is not parked */
static inline bool parked_is(const struct parked *p) {
  return p->parking != NULL;
}

/* Something may have been shown. Cheap when nothing was. */
void parking_look(struct parking *all);
/* Control thread. */
static inline bool parking_used(struct parking *all) {
  return atomic_load(&all->used) > 0;
}
