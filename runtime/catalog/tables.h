/* tables: what a balancer makes of a snapshot when it is published. catalog/ says what it needs;
 * select/ implements it, so that the arrows between the folders point one way. */
#pragma once

#include "catalog/layout.h"
#include "catalog/rules.h"

struct catalog_snapshot;

/* First: which endpoints are picked now, in which groups, with what weights. Arrays are in the
 * snapshot's order. */
struct catalog_share {
  double share; /* of the picks, > 0; all sum to 1 */
  uint16_t tier;
  bool zoned; /* all its endpoints are of one zone */
};
struct catalog_shape {
  double *weights;              /* out: inside the group; 0 = not picked now */
  uint16_t *groups;             /* out: which one, where the weight is not 0 */
  struct catalog_share *shares; /* out: group_count, room for one an endpoint */
  uint32_t group_count;
  bool panic; /* out: critical endpoints are among those that are picked, though some are healthy */
};
/* -EINVAL: no such balancer; -ENOMEM; -E2BIG: more groups than there can be. */
int catalog_shape_build(struct catalog_shape *shape, const struct catalog_snapshot *snapshot);

/* Then, with the rows sorted by group: the tables. */
struct catalog_group_tables {
  uint32_t first, count;
  double share;
  void *table; /* out: malloc'd; NULL = none but the alias table's */
  uint32_t table_bytes;
};
struct catalog_tables {
  const char *balancer; /* its name; NULL = the default */
  const struct catalog_rules *rules;
  const double *weights; /* of the rows that can be picked, in the block's order; all > 0 */
  const char *const *ids;
  uint32_t count;
  struct catalog_group_tables *groups;
  uint32_t group_count;
  struct catalog_alias *alias; /* out: `count` cells */
  /* Out: */
  uint32_t number;           /* the balancer's */
  uint32_t *order;           /* malloc'd; row numbers */
  uint32_t cycle;            /* how many */
  struct catalog_alias *top; /* malloc'd, over the groups; NULL with fewer than two */
  uint32_t options[4];       /* the balancer's own, for its picks */
  bool uniform;              /* all rows alike */
  bool slots;                /* picks look at rows' slots before they look at the rows */
};

/* What the tables are made of, as a number: equal numbers, equal tables. 0: they are made in no
 * time, and not worth to be kept. */
uint64_t catalog_tables_key(const struct catalog_tables *t);
/* Whether they take no longer than a loop's turn may, for so many endpoints. */
bool catalog_tables_quick(const char *balancer, size_t count);
/* Fills what is out. -EINVAL: no balancer of that name (also when count is 0); -ENOMEM; -E2BIG. To
 * be ended whatever it returns. */
int catalog_tables_build(struct catalog_tables *t);
void catalog_tables_end(struct catalog_tables *t);
