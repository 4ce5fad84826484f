/* maglev: its cells, for the balancers that pick by them. */
#pragma once

#include "select/keyed.h"

int select_maglev_build(struct catalog_tables *t);
