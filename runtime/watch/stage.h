/* stage: one part of a watch's balancer, its options checked and brought into rules. Pure. */
#pragma once

#include "watch/balancer.h"

#include <stddef.h>

/* Modifiers in the order in which they are applied, then the algorithms. */
enum stage_rank {
  STAGE_SELECT,
  STAGE_OUTLIER,
  STAGE_PANIC,
  STAGE_PRIORITY,
  STAGE_PLAN, /* a plugin's; there may be several */
  STAGE_SUBSET,
  STAGE_ZONE,
  STAGE_SLOW_START,
  STAGE_ALGORITHM,
};

struct stage;

/* The stage of a name, or NULL. */
const struct stage *stage_find(const char *name);
/* For those who list them; NULL after the last. */
const struct stage *stage_at(size_t i);
const char *stage_name(const struct stage *s);
enum stage_rank stage_rank(const struct stage *s);

/* Checks the options of `written` ("name", or { "name", MAIN OPTION, option = ... }) and applies
 * them. -EINVAL: the fault names the option. */
int stage_apply(const struct stage *s, const struct value *written,
                const struct balancer_host *host, struct balancer *b, struct fault *f);
