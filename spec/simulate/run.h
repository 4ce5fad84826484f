/* run: one balancer through the whole story: 50 endpoints behind 8 client processes, one slow, one
 * that fails every other request at once, and one that comes after a quarter of the time, cold. */
#pragma once

#include "select/select.h"

enum { RUN_SECONDS_MAX = 240 }; /* picks that are older than an epoch of the pages are forgotten */

enum run_knowledge {
  RUN_ALONE,  /* each process goes by what it did itself */
  RUN_HOST,   /* and by the sums of all */
  RUN_EJECTS, /* and the agent ejects outliers, by the sums and its usual rules */
};
enum { RUN_KINDS = 3 };
extern const char *const run_names[RUN_KINDS];

struct run_settings {
  const struct select_balancer *balancer;
  enum run_knowledge knowledge;
  uint64_t seed;
  uint32_t seconds; /* of virtual time in which calls begin; at most RUN_SECONDS_MAX */
};

struct run_result {
  uint64_t calls, answered, errors, timeouts; /* the first is the sum of the others */
  uint64_t slow, failing, fresh;              /* calls that went to that one endpoint */
  uint32_t unreported;                        /* in flight at the end, by the cells */
  double p50_ms, p99_ms;                      /* of the calls that were answered */
};

/* 0, -ENOMEM, or what building a snapshot says. The same settings give the same result. */
int run_balancer(const struct run_settings *settings, struct run_result *result);
