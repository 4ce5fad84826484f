/* maglev: the lookup table, for the balancers that pick by it. */
#pragma once

#include "select/group.h"

int select_maglev_build(struct catalog_tables *t);

/* The row of a group by 64 bits of a key. May be garbage; by chance where there is no table. */
uint32_t select_maglev_row(const struct catalog_view *v, const struct select_group *g,
                           uint64_t bits);
