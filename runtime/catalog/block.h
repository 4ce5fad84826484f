/* block: one snapshot as the bytes that readers map, made in private memory and copied into the
 * arena whole. Control thread only. */
#pragma once

#include "catalog/layout.h"
#include "catalog/tables.h"
#include "catalog/texts.h"
#include "catalog/writer.h"

/* Memory that is kept from one build to the next. Zero-initialise. */
struct block_draft {
  unsigned char *bytes; /* the result: `length` of them, a multiple of 8 */
  size_t length, room;
  uint64_t *order; /* the rows' class, group and number in the caller's array, sorted */
  double *shape_weights, *weights; /* in the caller's order, and in that order */
  const char **ids;                /* in that order */
  uint16_t *shape_groups;          /* in the caller's order */
  struct catalog_share *shares;    /* of the groups */
  size_t row_room;                 /* of all of them */
  struct texts zones, ports;
};

/* Builds it; version and time are left 0. -EINVAL: unknown balancer, a weight that is negative or
 * not finite, an empty address, or a text longer than the layout allows; -ENOMEM; -E2BIG. */
int block_build(struct block_draft *d, const struct catalog_snapshot *snapshot);
void block_end(struct block_draft *d);
