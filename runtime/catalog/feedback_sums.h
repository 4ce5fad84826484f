/* feedback_sums: what all processes of the host have counted, added up by slot. Reads the pages
 * that they handed over, each only where it moved, and as hostile input: any byte may say anything
 * at any time, counts are bounded, and a page that lies can make an endpoint look busy or failing,
 * never less busy than the others say. Control thread only. */
#pragma once

#include "catalog/feedback.h"

struct feedback_sums;
struct feedback_source; /* one process's page */

/* One instance, over all processes; the counts and the latencies are those since the last time. */
struct feedback_total {
  uint32_t generation;
  uint32_t in_flight, retries; /* these are among those */
  uint32_t outcomes[FEEDBACK_OUTCOMES];
  uint64_t latency_ns; /* summed over the successes */
};

struct feedback_sums *feedback_sums_new(void); /* NULL: out of memory */
void feedback_sums_free(struct feedback_sums *sums);

/* Takes `page` over, to be unmapped by feedback_page_close. `counted`: another agent has read it,
 * so the outcomes that are on it already are not news. NULL: out of memory; the page stays the
 * caller's. */
struct feedback_source *feedback_sums_add(struct feedback_sums *sums, struct feedback_page *page,
                                          bool counted);
/* Its picks are no longer in flight; the next collection says so. */
void feedback_sums_drop(struct feedback_sums *sums, struct feedback_source *source);

/* Reads what moved. `slots`: the largest number given out; `generation` tells a slot's, 0 for one
 * that nobody has: what is said of another is ignored. `each` is called once for each slot that
 * moved. True: some page has been written to since the last collection. */
bool feedback_sums_collect(struct feedback_sums *sums, uint32_t slots, int64_t now_ns,
                           uint32_t (*generation)(void *arg, uint32_t slot),
                           void (*each)(void *arg, uint32_t slot,
                                        const struct feedback_total *total),
                           void *arg);
