/* snapshot: a set's rows made what the catalog publishes of them: slots, births, the plan, and of
 * all that the endpoints that the watch is about. flush.c's. Control thread only. */
#pragma once

#include "watch/set_inside.h"

/* Gives each row its slot and its age, and asks the planner: *plan has a row for each of the set's,
 * or is NULL where nobody plans. Rows are tidy. -EAGAIN: the plan is not ready before `due_ns`. */
int snapshot_prepare(struct set *s, int64_t now, const struct plan_row **plan);
/* Into the sets' scratch: *count endpoints, and how they are. */
int snapshot_endpoints(struct set *s, const struct plan_row *plan, struct set_tally *tally,
                       size_t *count);
/* After that: the rows that the watch is about, where it is not about all, and, where it was
 * `planned`, the plan's rows of these moved to the front of the scratch. */
const struct set_row *snapshot_rows(const struct set *s, bool planned, size_t *count);
