/* quarantine: whether a plugin that keeps failing is called. It is not when most of its calls of
 * the last minutes failed (at least QUARANTINE_FAULTS of them), for a time that doubles each time;
 * after it one call shows whether it is well again. Plain data; the control thread's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { QUARANTINE_FAULTS = 5 };

struct quarantine {
  double calls, faults; /* recent: halved every minute */
  int64_t halved_ns;
  int64_t until_ns, span_ns; /* 0: it is called */
  bool on_trial;             /* the call after the quarantine is under way */
  uint64_t times, faults_total;
};

/* Whether it may be called now; a true answer after a quarantine is the one call that decides. */
bool quarantine_allows(struct quarantine *q, int64_t now_ns);
bool quarantine_holds(const struct quarantine *q,
                      int64_t now_ns); /* the same, as a mere question */
/* A call ended. True when it put the plugin in quarantine. */
bool quarantine_note(struct quarantine *q, bool fault, int64_t now_ns);
