/* pipeline: the plugin stages of one service's balancer, run left to right over its endpoints. A
 * stage that is a shadow works on a copy, and so do, once more, those after it: what it would
 * change is told, and nothing else. A stage that fails, fails the whole run. A run is over when
 * the question has been put, unless one of the plugins takes longer than a slice of its turn: then
 * it goes on in later turns of the loop, over a copy of the question. Control thread only. */
#pragma once

#include "watch/plan.h"

#include <stdbool.h>

struct balancer;
struct buf;
struct fault;
struct findings;
struct pipeline;
struct plugins;

/* Of all pipelines together. */
struct pipeline_stats {
  uint64_t runs;    /* of stages */
  uint64_t faults;  /* raised, killed, out of memory */
  uint64_t refused; /* a weight that is none */
  uint64_t kept;    /* nil and a reason */
};

/* Those of `rules`, which the configuration has at `path`. 0, or negative errno with findings. */
int pipeline_new(struct plugins *plugins, const char *service, const struct balancer *rules,
                 const char *path, struct pipeline_stats *stats, struct pipeline **out,
                 struct findings *findings);
void pipeline_free(struct pipeline *p); /* ends what is under way */

/* For its owner; none is called from within a function of this file. */
struct pipeline_events {
  void (*planned)(void *arg);  /* what goes on may be over: pipeline_run can tell */
  void (*prepared)(void *arg); /* a `prepare` went well: it may plan otherwise now */
  void (*reloaded)(void *arg); /* a stage's plugin was replaced */
};
void pipeline_tell(struct pipeline *p, const struct pipeline_events *events, void *arg);

/* Over `rows`, which hold what the registry says. 0; -EAGAIN: not yet, ask again; else `rows` is of
 * no use, and `f` says which stage failed and why. What goes on answers when it is asked again:
 * what it was put then, of those that are still there. */
int pipeline_run(struct pipeline *p, const struct plan_question *q, struct plan_row *rows,
                 struct fault *f);
bool pipeline_goes_on(const struct pipeline *p); /* the next answer is to an earlier question */

/* Starts the stages' `prepare`, but for those that are still at it. False: no stage has one. */
bool pipeline_prepare(struct pipeline *p);
bool pipeline_ready(const struct pipeline *p);   /* each `prepare` has ended once */
double pipeline_every(const struct pipeline *p); /* seconds; 0: no stage says */

/* Makes a shadow a stage like any other, or takes that back. Whether there is one of that name. */
bool pipeline_promote(struct pipeline *p, const char *name, bool live);
/* The part of the picks that the shadows would move, or below 0: there is no shadow, or it has not
 * run. */
double pipeline_shadow_moves(const struct pipeline *p);
/* Adds a shadow's row for each of q's, where one is known; false: none is. */
bool pipeline_shadow(const struct pipeline *p, const struct plan_question *q,
                     struct plan_row *rows);

size_t pipeline_stages(const struct pipeline *p);
/* What an instance was after stage `i` of the last good run; NULL: it was not there. */
const struct plan_row *pipeline_said(const struct pipeline *p, size_t i, const char *id);
const char *pipeline_name(const struct pipeline *p, size_t i);
bool pipeline_is_shadow(const struct pipeline *p, size_t i);
/* A JSON object about stage `i`. */
void pipeline_show(const struct pipeline *p, size_t i, struct buf *out);
