/* live: what the host's processes report of their calls, brought to where picks and balancers see
 * it: sums and latencies in the catalog's live slots, and outliers ejected for everybody. Control
 * thread only; feedback.h brings the pages. */
#pragma once

#include "catalog/feedback_sums.h"
#include "watch/set.h"

#include <uv.h>

struct live;

/* NULL: out of memory. */
struct live *live_new(uv_loop_t *loop, struct catalog_writer *writer, struct sets *sets);
/* Before the sets and the writer end. */
void live_free(struct live *l);

/* Pages are added to and dropped from these. */
struct feedback_sums *live_sums(struct live *l);
/* Reads what moved on the pages and publishes it. Whether anything was being written. */
bool live_collect(struct live *l);

/* Tells the processes whether pages are being read: whether a change has to wake us. */
void live_collecting(struct live *l, bool on);

/* A snapshot was published: its instances are what reports are about. */
void live_published(struct live *l, const struct set_published *what);

struct live_stats {
  uint64_t collections;
  uint64_t reports[FEEDBACK_OUTCOMES];
  uint64_t in_flight, retries; /* now */
  uint64_t ejected;            /* now */
  uint64_t ejections[4];       /* by enum outlier_reason */
};
void live_stats(const struct live *l, struct live_stats *out);
