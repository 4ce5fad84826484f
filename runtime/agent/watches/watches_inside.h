/* watches_inside: what watches.c (the configuration's) and on_demand.c share. Not for others. */
#pragma once

#include "agent/watches/watch.h"
#include "agent/watches/watches.h"
#include "base/buf.h"

/* Somebody who waits for a service's first load. */
struct waiter {
  struct waiter *next;
  void (*answer)(void *arg, int status, const char *text);
  void *arg;
  int64_t until_ns;
  char service[];
};

struct watches {
  struct watch_parts parts;
  int64_t (*used)(void *arg, const char *service);
  struct store *store;
  const struct policies *shown;
  struct sources sources;
  struct wrap *wraps;   /* wraps.c */
  struct watch **items; /* by service */
  size_t count;
  size_t on_demand; /* of them */
  bool follow;      /* some have what is registered here under another name */
  struct waiter *waiters;
  unsigned ticks;
  size_t next_copy; /* where the round of copies goes on; at the end none is under way */
  size_t closing;   /* watchers whose plugin closes its connection; one more while they begin to */
  void (*closed)(void *arg);
  void *closed_arg;
};

struct watch *watch_find(const struct watches *all, const char *service);
int watch_add(struct watches *all, const struct watch_wish *wish, struct watch **out,
              struct fault *f);

/* Whether the embedded registry feeds this service's set. */
bool watches_feeds_itself(const struct watches *all, const char *service);
void watches_drop(struct watches *all, const struct watch *w); /* watches_configure.c */
/* The watch of another name takes over what was published of its target. */
void watch_follow(const struct watch *w, const struct set_published *what);

/* on_demand.c */
const char *resolve_registry(const struct config *config); /* NULL: nothing is watched on demand */
bool watch_wish_on_demand(const struct config *config, const char *service, struct buf *target,
                          struct watch_wish *out); /* false: there is no `resolve` */
/* Begins, without anybody who waits; NULL: it cannot. */
struct watch *watch_on_demand(struct watches *all, const char *service);
void watches_forget_idle(struct watches *all); /* what nobody has asked for lately */
void watches_abandon(struct watches *all);     /* answers all who wait with -ECANCELED */

/* wraps.c */
void wraps_tick(struct watches *all);
void wraps_configure(struct watches *all, const struct config *old); /* to all's configuration */
void wraps_end(struct watches *all); /* the plugins that have them are told nothing more */
