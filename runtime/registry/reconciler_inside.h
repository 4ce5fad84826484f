/* reconciler_inside: what reconciler.c (operations and their time) and audit.c (what the registry
 * says that it has) share. Not for others. */
#pragma once

#include "registry/reconciler.h"

#define SECOND INT64_C(1000000000)

struct reconciler {
  uv_timer_t timer;
  struct desired desired;
  struct alarms alarms;
  struct alarm audit;
  struct desired_entry *ready, **ready_last; /* due, and waiting for a place */
  const struct reconciler_registry *how;
  void *arg;
  double ttl;
  unsigned running;
  bool failing; /* the last answer was none; at first: not known to work */
  bool listing, cannot_list;
  bool stopping, leaving;
  double stop_ttl;
  void (*stopped)(void *arg);
  void *stopped_arg;
  uv_timer_t patience;
  unsigned handles; /* that are still open */
  struct reconciler_stats stats;
};

/* reconciler.c */
void reconciler_arm(struct reconciler *r);  /* the timer, for the first alarm */
void reconciler_pump(struct reconciler *r); /* begins what is due, as far as there is room */
void entry_look(struct desired_entry *e, double seconds); /* is due then */
/* It is known to the alarms from now on. False, and it is gone: out of memory. */
bool entry_adopt(struct reconciler *r, struct desired_entry *e);
void entry_renewed(struct desired_entry *e, double ttl); /* `ttl` <= 0: the registry has lost it */

void on_audit(struct alarm *a); /* audit.c */
