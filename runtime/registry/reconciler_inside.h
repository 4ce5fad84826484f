/* reconciler_inside: what reconciler.c (what is wanted, and operations in their time), outcome.c
 * (what they came to), audit.c (what the registry says that it has) and leaving.c (the end) share.
 * Not for others. */
#pragma once

#include "registry/reconciler.h"
#include "registry/withdrawn.h"

#define SECOND INT64_C(1000000000)
#define TOGETHER_NS (SECOND / 4) /* renewals that are due within this time */
enum { AUDIT_LONGEST_S = 120 };  /* between two audits */

struct reconciler {
  uv_timer_t timer;
  struct desired desired;
  struct alarms alarms;
  struct alarm audit;
  struct desired_entry *ready, **ready_last; /* due, and waiting for a place */
  const struct reconciler_registry *how;
  void *arg;
  double ttl, retry_s;
  int64_t phase_ns;          /* of what is renewed together */
  unsigned running, hanging; /* operations; of these, who hang */
  bool failing;              /* the last answer was none; at first: not known to work */
  bool listing, cannot_list;
  bool draining; /* nothing begins until nothing runs, and then all is looked at */
  bool stopping, leaving;
  double stop_ttl;
  void (*stopped)(void *arg);
  void *stopped_arg;
  uv_timer_t patience;
  unsigned handles;       /* that are still open */
  struct withdrawn swept; /* what is deregistered and nobody wants: it should stay away */
  int64_t listed_ns;      /* when the audit that runs began; clock_now_ns */
  bool disputed;          /* somebody else registers as us: nothing unknown is swept any more */
  struct reconciler_stats stats;
};

/* reconciler.c */
void reconciler_arm(struct reconciler *r);  /* the timer, for the first alarm */
void reconciler_soon(struct reconciler *r); /* the timer, for the loop's next turn */
void reconciler_pump(struct reconciler *r); /* begins what is due, as far as there is room */
enum operation entry_next(const struct desired_entry *e); /* what it needs now */
void entry_look(struct desired_entry *e, double seconds); /* is due then */
/* It is known to the alarms from now on. False, and it is gone: out of memory. */
bool entry_adopt(struct reconciler *r, struct desired_entry *e);
void entry_forget(struct desired_entry *e); /* of one that nobody wants and nobody has */

/* Nothing more runs, or something does: see `draining`. */
void reconciler_drained(struct reconciler *r);

/* outcome.c */
/* `ttl` <= 0: the registry has lost it, or `why` says why it is registered again. */
void entry_renewed(struct desired_entry *e, double ttl, const char *why);
void entry_failed(struct desired_entry *e, int status, const char *why);

void on_audit(struct alarm *a); /* audit.c */

/* leaving.c: tells that it has stopped, when it has. */
void reconciler_check_stopped(struct reconciler *r);
