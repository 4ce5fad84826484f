/* outlier_stage: the stage `{ "outlier", consecutive = 5, ... }` of a watch's balancer. Pure. */
#pragma once

#include "watch/outlier.h"

struct fault;
struct value;

/* The stage of that name among a balancer's stages, or NULL. */
const struct value *outlier_stage_find(const struct value *balancer);
/* Its rules; what it does not say is as outlier_defaults. -EINVAL: an option that there is not, or
 * a value that cannot be; the fault says which. */
int outlier_stage_parse(const struct value *stage, struct outlier_rules *rules, struct fault *f);
