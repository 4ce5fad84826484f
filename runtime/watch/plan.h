/* plan: what each endpoint of a service counts for in picks: its weight, its tier, and whether it
 * takes part at all. The registry says it, Lua balancers change it (agent/plans/plans.c), an
 * operator may have the last word. A set asks its planner for it before each snapshot. Control
 * thread only. */
#pragma once

#include "watch/set.h"

struct balancer;

/* Who had the last word on an endpoint. */
enum plan_by { PLAN_REGISTRY, PLAN_BALANCER, PLAN_FROZEN, PLAN_OVERRIDE };
const char *plan_by_name(enum plan_by by); /* "registry" ... */

struct plan_row {
  double weight; /* finite, >= 0; 0 is never picked */
  uint16_t tier; /* the first with a healthy endpoint takes the picks, unless `priority` divides */
  bool drop;     /* as if it were not registered */
  uint8_t by;    /* enum plan_by */
};

/* What is live of an endpoint. */
struct plan_live {
  uint32_t in_flight;
  uint64_t latency_ns; /* 0: nothing was reported */
  bool ejected;
};

struct plan_question {
  const char *service;
  const struct set_row *rows; /* by id */
  size_t count;
  const struct balancer *rules;
  bool run;        /* something happened that a plan may see; else what it last said is asked for */
  bool in_catalog; /* this agent has published it before */
  int64_t now_ns;
  struct plan_live (*live)(void *arg, const struct set_row *row);
  void *live_arg;
};

/* Answers for the sets, for those services that it wants to be asked about. `out` has a row for
 * each of the question's, filled with what the registry says. 0: that is how it is; 1: somebody has
 * changed some of them; -EAGAIN: not yet, ask again at
 * `*until_ns`, and publish nothing until then. *differs: it is not what was answered last. */
struct planner {
  bool (*wants)(void *arg, const char *service);
  int (*plan)(void *arg, const struct plan_question *q, struct plan_row *out, bool *differs,
              int64_t *until_ns);
  void *arg;
};

/* What the registry says: the weight, and the tier of the stage `priority`. */
void plan_from_registry(const struct plan_question *q, struct plan_row *out);
bool plan_row_equal(const struct plan_row *a, const struct plan_row *b); /* whoever said it */

/* outcome: what a plan has said, by id, for as long as endpoints come and go. Zero-initialised it
 * has said nothing. */
struct outcome_row {
  struct instance *instance; /* a reference */
  struct plan_row row;
};
struct outcome {
  struct outcome_row *rows; /* by id */
  size_t count;
  int64_t at_us; /* wall clock: when it was said */
};

/* It has said this. 0, or -ENOMEM and it is what it was. */
int outcome_set(struct outcome *o, const struct plan_question *q, const struct plan_row *said);
/* An empty one becomes the same. 0 or -ENOMEM. */
int outcome_copy(struct outcome *to, const struct outcome *from);
/* Of the endpoints that it knows, what it has said; the others of `out` stay. How many it knows. */
size_t outcome_apply(const struct outcome *o, const struct plan_question *q, struct plan_row *out);
const struct plan_row *outcome_find(const struct outcome *o, const char *id); /* NULL: unknown */
/* Whether it has said just this, of just these. */
bool outcome_is(const struct outcome *o, const struct plan_question *q,
                const struct plan_row *said);
/* Whether both say the same of each endpoint that both know, and know one together. */
bool outcome_agrees(const struct outcome *a, const struct outcome *b);
void outcome_free(struct outcome *o); /* zeroes it */

/* Each endpoint's part of the picks where nothing is known of loads: `shares` sum to 1, or are all
 * 0 when there is nothing to pick. As the agent would publish it now. 0, -ENOMEM, -EINVAL. */
int plan_shares(const struct plan_question *q, const struct plan_row *rows, double *shares);
/* The part of the picks that goes elsewhere after than before, 0 to 1. */
double plan_moved(const double *before, const double *after, size_t count);
