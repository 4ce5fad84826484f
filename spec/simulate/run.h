/* run: one balancer through the whole story: 50 endpoints behind 8 client processes, one slow, one
 * that fails every other request at once, and one that comes after a quarter of the time, cold. */
#pragma once

#include "select/select.h"

struct run_settings {
  const struct select_balancer *balancer;
  bool shared; /* host-wide feedback; else each process is alone */
  uint64_t seed;
  uint32_t seconds; /* of virtual time in which calls begin */
};

struct run_result {
  uint64_t calls, answered, errors, timeouts; /* the first is the sum of the others */
  uint64_t slow, failing, fresh;              /* calls that went to that one endpoint */
  uint32_t unreported;                        /* in flight at the end, by the cells */
  double p50_ms, p99_ms;                      /* of the calls that were answered */
};

/* 0, -ENOMEM, or what building a snapshot says. The same settings give the same result. */
int run_balancer(const struct run_settings *settings, struct run_result *result);
