/* plans_inside: what the files of plans.h share. Not for others. */
#pragma once

#include "agent/plans/hand.h"
#include "agent/plans/pipeline.h"
#include "agent/plans/plans.h"
#include "watch/table.h"

enum { HISTORY = 4 };

/* One service's: it has stages, or an operator has said something of it. */
struct service_plan {
  struct plans *all;
  struct value *balancer;          /* as configured, a reference; NULL: it has no stages */
  struct pipeline *pipeline;       /* NULL: likewise */
  int64_t patience_ns;             /* until then the first publication waits for a `prepare` */
  struct outcome planned;          /* what the stages said last, all going well */
  struct outcome answered;         /* what the set was told last */
  struct outcome history[HISTORY]; /* what was planned before that, the newest first */
  size_t history_count;
  size_t gone_back; /* of those, how far a rollback went, until it is thawed */
  struct hand hand;
  bool failing;          /* the last run; it is tried again by itself */
  bool uncopied;         /* the store has another plan of it than `planned` */
  bool earlier_uncopied; /* or another history, or how far it went back in it */
  uv_timer_t timer;
  char service[];
};

struct plans {
  struct plans_with with;
  struct planner planner;
  struct table table; /* of service_plan */
  struct pipeline_stats stats;
  unsigned ticks;
  uv_timer_t *expiry; /* of the first override that ends */
};

struct service_plan *plans_find(const struct plans *all, const char *service);
/* Makes it when it is not there. NULL: out of memory. */
struct service_plan *plans_entry(struct plans *all, const char *service);
/* Of the store's `bucket`, a record a service: `read` takes it over. What it cannot take is said.
 */
void plans_restore(struct plans *all, const char *bucket,
                   int (*read)(struct service_plan *p, const struct value *v),
                   const char *complaint);

struct plan_look {
  const struct service_plan *plan; /* NULL: nobody plans it */
  struct plan_question q;
  struct plan_row *rows; /* what is in force */
  double *shares;        /* of the picks */
  bool has_shadow;
  struct plan_row *shadow; /* what the shadows would make of it */
  double *shadow_shares;
};

/* plan_show.c: members of a JSON object; without the share where that is below 0. */
void plan_row_show(struct buf *out, const struct plan_row *row, double share);

/* plan_copies.c */
void plan_copies_restore(struct plans *all);
void plan_copy_earlier(struct service_plan *p); /* at once */

/* plan_hand.c */
void hands_restore(struct plans *all);
