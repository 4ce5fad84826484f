/* block: one snapshot as the bytes that readers map, made in private memory and copied into the
 * arena whole. One thread at a time. */
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
  struct catalog_block head;    /* as far as it is known when the rows are arranged */
  struct catalog_tables tables; /* of what they are to be made */
  uint64_t key;                 /* catalog_tables_key of that */
};

/* First the rows: which are picked, in what groups and order. -EINVAL: unknown balancer, or a
 * weight that is negative or not finite; -ENOMEM; -E2BIG. */
int block_arrange(struct block_draft *d, const struct catalog_snapshot *snapshot);
/* Then the bytes; version and time are left 0. `before` is a block of the same key, whose tables
 * are these too; NULL: they are made. -EINVAL: an empty address, or a text longer than the layout
 * allows; -ENOMEM; -E2BIG. */
int block_build(struct block_draft *d, const struct catalog_snapshot *snapshot,
                const struct catalog_block *before);
void block_end(struct block_draft *d);

/* Fills what is out, of what is in, from a block of the same key. -ENOMEM. */
int tables_copy(struct catalog_tables *t, const struct catalog_block *from);
