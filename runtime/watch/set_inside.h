/* set_inside: what set.c (changes) and flush.c (publishing) share. Not for others. */
#pragma once

#include "catalog/writer.h"
#include "watch/balancer.h"
#include "watch/plan.h"
#include "watch/rows.h"
#include "watch/table.h"

/* What of a set was counted into the stats at its last publishing. */
struct set_tally {
  uint64_t passing, warning, critical;
};

struct set {
  struct sets *all;
  struct set *next_dirty;
  struct rows rows;
  struct value *balancer; /* as written: a reference; NULL = default */
  struct balancer rules;  /* what it says */
  struct set_tally tally;
  uint64_t version, changes;
  int64_t stale_since_ns;
  char *via;             /* NULL: none */
  char *complaint;       /* that was told last; NULL: none */
  struct set_work *work; /* a publishing that is being made elsewhere; else NULL */
  int64_t due_ns;        /* while it waits: not before */
  int64_t plan_since_ns; /* a plan goes on since then; else 0 */
  int64_t plan_again_ns; /* the plan that ran last took its time: not before */
  int64_t ramp_ns;       /* an endpoint is in its slow start: publish again then; else 0 */
  uint32_t opens;
  bool known;
  bool dirty, moved, stale, in_catalog, failing;
  bool touched;   /* dirty for more than a plan that may come to the same */
  bool replan;    /* what a plan sees may have changed */
  bool overtaken; /* and that was so before the last one was over */
  bool again;     /* has changed since its work began */
  bool outgrown;  /* the size that its Maglev was given */
  bool lost;      /* had a healthy endpoint, and then none: its recovery is news */
  char service[];
};

/* Of one flush, for one line of the log. */
struct set_turn {
  uint64_t services, endpoints;
  char example[256]; /* one of the services */
};

struct sets {
  struct catalog_writer *writer;
  bool apart; /* in no catalog, and without a writer */
  sets_published_fn published;
  void *arg;
  struct table table;
  struct set *dirty;             /* a list, in no order */
  bool *noticed;                 /* NULL: nobody wants to know that there are some */
  struct set *waiting;           /* dirty, too, but not before their `due_ns` */
  uint32_t ramping;              /* sets whose ramp_ns is not 0 */
  const struct planner *planner; /* NULL: none */
  set_work_fn elsewhere;         /* NULL: nobody */
  void *elsewhere_arg;
  size_t working; /* sets that have a work */
  struct balancer_host host;
  char *host_texts[2];
  struct sets_stats stats;
  struct set_turn fresh, opened, shut; /* fail open from their first on; began; recovered */
  /* Scratch of one publishing, kept for the next. */
  struct catalog_endpoint *endpoints;
  struct plan_row *plan;
  struct set_row *selected;
  size_t endpoints_room, plan_room, selected_room;
};

void set_free(struct set *s);
/* Into the dirty ones, if it is not among them. */
void set_queue(struct set *s);
/* To be published by the next flush. `moved`: membership, status or facts, which move the service's
 * version. */
void set_changed(struct set *s, bool moved);
