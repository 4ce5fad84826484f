/* tables: what a balancer makes of a snapshot when it is published. catalog/ says what it needs;
 * select/ implements it, so that the arrows between the folders point one way. */
#pragma once

#include "catalog/layout.h"

struct catalog_tables {
  const char *balancer;  /* its name; NULL = the default */
  const double *weights; /* of the rows that can be picked, in the block's order; all > 0 */
  uint32_t count;
  uint32_t number;             /* out: the balancer's */
  uint32_t *order;             /* out: `count` row numbers */
  struct catalog_alias *alias; /* out: `count` cells */
};

/* Fills what is out. -EINVAL: no balancer of that name (also when count is 0); -ENOMEM. */
int catalog_tables_build(struct catalog_tables *t);
