/* outcome_value: what a plan has said, as plain data for the store:
 *
 *     { { ID, WEIGHT, TIER, DROP, BY }, ..., at = MADE }
 *
 * Pure. */
#pragma once

#include "watch/plan.h"

struct value;

struct value *outcome_to_value(const struct outcome *o); /* NULL: out of memory */
/* Of `service`; into an empty one. 0 or -ENOMEM. */
int outcome_from_value(struct outcome *o, const char *service, const struct value *v);
