/* named: the rows of a group as the hashing balancers see them: by a hash of their ids, in an order
 * that does not depend on the order in which they came. Agent only. */
#pragma once

#include "select/select.h"

struct select_named {
  uint64_t hash; /* XXH64 of the id */
  const char *id;
  uint32_t row; /* in the group */
  double weight;
};

/* Of t->groups[g], sorted by hash and id; malloc'd. NULL: no memory. */
struct select_named *select_named_rows(const struct catalog_tables *t, uint32_t g);
