/* rules: how one service is balanced, besides the algorithm's name: the algorithm's options and the
 * modifiers that say what it chooses from. Plain data; all zeroes is no modifier and every default.
 * What each means is in runtime/select/README.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct catalog_zone_share {
  const char *zone;
  double share; /* of this service's clients that are there, 0 to 1 */
};

struct catalog_rules {
  /* Algorithms. 0 = the default. */
  uint32_t choices;            /* least_request: how many it compares, 2 to 16 */
  bool unbiased;               /* least_request: bias 0 was asked for */
  double bias;                 /* least_request: of active requests, >= 0 */
  uint32_t decay_ms, force_ms; /* p2c_ewma */
  double bound;                /* maglev_bounded: cap over the fair share, > 1 */
  uint32_t table_size;         /* maglev: a prime */
  uint32_t points;             /* ring: of the lightest endpoint */

  double panic; /* below this part that is healthy: all; 0 = off */

  bool priority;
  double overprovision;     /* 0 = 1.4 */
  const char *priority_key; /* the meta key that has an endpoint's level */

  uint32_t subset;      /* endpoints of each level; 0 = off */
  uint64_t subset_seed; /* the host's own */

  bool zone;
  const char *own_zone;
  uint32_t zone_min; /* endpoints below which zones do not matter; 0 = 6 */
  const struct catalog_zone_share *zone_shares; /* none: clients are spread evenly over the zones */
  uint32_t zone_share_count;

  uint64_t slow_start_ns; /* the window; 0 = off */
  double aggression;      /* 0 = 1, linear */
  double slow_start_min;  /* 0 = 0.1 */
};
