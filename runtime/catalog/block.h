/* block: one snapshot as the bytes that readers map, made in private memory and copied into the
 * arena whole. Control thread only. */
#pragma once

#include "catalog/layout.h"
#include "catalog/texts.h"
#include "catalog/writer.h"

/* Memory that is kept from one build to the next. Zero-initialise. */
struct block_draft {
  unsigned char *bytes; /* the result: `length` of them, a multiple of 8 */
  size_t length, room;
  uint64_t *order; /* the rows' class, tier and number in the caller's array, sorted */
  double *weights; /* in that order */
  size_t row_room; /* of both */
  struct texts zones, ports;
};

/* Builds it; version and time are left 0. -EINVAL: unknown balancer, a weight that is negative or
 * not finite, an empty address, or a text longer than the layout allows; -ENOMEM; -E2BIG. */
int block_build(struct block_draft *d, const struct catalog_snapshot *snapshot);
void block_end(struct block_draft *d);
