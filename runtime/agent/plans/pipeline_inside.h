/* pipeline_inside: what pipeline.c (the stages) and pipeline_run.c (a run of them) share. Not for
 * others. */
#pragma once

#include "agent/plans/pipeline.h"
#include "vm/plan/bind_endpoints.h"
#include "vm/plugin/plugin.h"

enum state { NOT_RUN, WELL, KEEPS, FAILS, QUARANTINED };

struct step {
  struct pipeline *pipeline;
  struct attachment *attachment;
  bool shadow, promoted;
  enum state state;
  char why[300]; /* it keeps or fails */
  struct outcome said;
  bool prepares, prepared; /* it has a `prepare`; that has ended once */
  struct call *preparing;
  bool unprepared; /* that went wrong the last time */
};

/* The run that is under way; zeroed: there is none. */
struct run {
  struct plan_question question;
  struct set_row
      *asked; /* its rows, with references, once it has outlasted a question; else NULL */
  const bool *hidden;
  size_t at;      /* the step */
  bool live_over; /* the live half of that; the shadows' is to come */
  bool begun;     /* `plan` is under way, or over and not yet told of */
  struct plan_run plan;
  bool forked, broken; /* there are rows aside; a shadow has failed on them */
};

struct pipeline {
  struct plugins *plugins;
  struct pipeline_stats *stats;
  char *service;
  struct step *steps;
  size_t count;
  const struct pipeline_events *events; /* NULL: nobody is told */
  void *events_arg;
  struct run run;
  /* The last run's: what the shadows made of it, and the part of the picks that this moves. */
  struct outcome shadow;
  double moves, told; /* below 0: not known */
  /* The run's, room for so many: what is planned, what the shadows make of it, what is not shown.
   */
  struct plan_row *rows, *aside;
  bool *hidden;
  size_t room;
};

static inline const char *step_name(const struct step *s) {
  return plugin_name(attachment_plugin(s->attachment));
}

static inline bool step_is_shadow(const struct step *s) {
  return s->shadow && !s->promoted;
}

void run_end(struct pipeline *p); /* however far it is; idempotent */
