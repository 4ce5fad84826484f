/* builds: large tables of balancers are made on the loop's threads. Control thread only. */
#pragma once

#include "watch/set.h"

#include <uv.h>

/* From now on those of `sets` are. What is not over when these end is ended by the loop. */
void builds_elsewhere(uv_loop_t *loop, struct sets *sets);
