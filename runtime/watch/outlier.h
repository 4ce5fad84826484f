/* outlier: which endpoints of a service fail so much more than they may that nobody on this host
 * should call them for a while. Envoy's outlier detection, judged on what all processes of the host
 * report together. Pure: no clock, no catalog; agent/live.c feeds it. Control thread only.
 *
 * Three ways to be ejected: `consecutive` failures with no success in between; at an interval's end
 * a success rate below mean - factor * standard deviation of all that had enough calls; and a
 * share of failures of at least `failure_share`, when that is asked for. The ejection lasts
 * `ejection` times the number of ejections so far, at most `longest`; each interval in which it is
 * not ejected takes one off that number.
 *
 * At most floor(count * most) are ejected at a time, and never the last healthy one:
 *
 *   endpoints        1  2  3  4  5  6  7  8  9 10 ... 19 20
 *   most = 10 %      0  0  0  0  0  0  0  0  0  1 ...  1  2
 *   most = 50 %      0  1  1  2  2  3  3  4  4  5 ...  9 10
 *
 * Envoy ejects one in any case; that surprises whoever has two or three, so here the share decides:
 * a service of fewer than ten that is to be protected says so, most = 0.5. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outlier_rules {
  uint32_t consecutive;                         /* 0 = off */
  int64_t interval_ns, ejection_ns, longest_ns; /* all > 0 */
  double most;                                  /* 0 to 1 */
  double factor;                                /* of the standard deviation; 0 = off */
  uint32_t rate_endpoints, rate_requests;       /* with so many that had so many */
  double failure_share;                         /* 0 = off */
  uint32_t failure_endpoints, failure_requests;
};

/* One endpoint; all zeroes is a new one. */
struct outlier_endpoint {
  uint64_t good, bad;       /* reports of this interval */
  uint32_t consecutive;     /* failures since the last success */
  uint32_t ejections;       /* what the next one's length is multiplied by */
  int64_t ejected_until_ns; /* 0 = it is not */
  bool healthy;             /* may be picked, were it not ejected: in */
};

enum outlier_reason { OUTLIER_NONE, OUTLIER_CONSECUTIVE, OUTLIER_RATE, OUTLIER_FAILURES };
const char *outlier_reason_name(enum outlier_reason reason);

/* How many of `count` may be ejected at a time. */
uint32_t outlier_most(const struct outlier_rules *rules, uint32_t count);

/* A service. The array and the endpoints are the caller's; zero-initialised, it is empty. */
struct outlier_group {
  struct outlier_rules rules;
  struct outlier_endpoint **endpoints;
  uint32_t count;
  uint32_t ejected, available; /* that are; healthy ones that are not */
};

/* Now it has these endpoints: who is ejected, and who is healthy, is as they say. */
void outlier_members(struct outlier_group *g, struct outlier_endpoint **endpoints, uint32_t count);

/* Reports that came for endpoint `i`. Whether it is ejected for them. O(1). */
bool outlier_report(struct outlier_group *g, uint32_t i, uint32_t good, uint32_t bad,
                    int64_t now_ns);

/* Nobody is judged any more: lets back in who is ejected, and tells `changed` of each. */
void outlier_pardon(struct outlier_group *g,
                    void (*changed)(void *arg, uint32_t i, enum outlier_reason reason), void *arg);

/* An interval is over: lets back in whose time is, then judges by rates. `changed` is told of each
 * that was let back in (OUTLIER_NONE) or ejected. -ENOMEM: no judgement this time. */
int outlier_sweep(struct outlier_group *g, int64_t now_ns,
                  void (*changed)(void *arg, uint32_t i, enum outlier_reason reason), void *arg);
