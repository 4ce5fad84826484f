/* host: the simulated host's feedback. Each process counts on a real page, the pages are summed by
 * the agent's own code every few milliseconds, and outliers are judged by its own rules; only what
 * carries it from one to the other is played here. */
#pragma once

#include "backends.h"
#include "catalog/feedback_sums.h"
#include "run.h"
#include "select/select.h"
#include "watch/outlier.h"

enum { PROCESSES = 8 };
#define HOST_TICK_NS 5000000ull      /* between two sums */
#define HOST_SWEEP_NS 10000000000ull /* between two judgements by rate; Envoy's */

struct host_process {
  struct feedback_lane *lane; /* of its page, which the sums own */
  struct select_tally tally;  /* of lane 1 */
  struct select_load load;
  struct select_state state;
};

struct host {
  struct host_process processes[PROCESSES];
  enum run_knowledge knowledge;
  struct catalog_map map; /* header, maps and one chunk of live slots */
  _Atomic uint32_t total; /* in flight, all processes */
  struct feedback_sums *sums;
  struct outlier_group outliers;
  struct outlier_endpoint *judged[BACKENDS], endpoints[BACKENDS];
  uint64_t sampled_ns[BACKENDS];  /* when the host's latency last moved */
  uint64_t reported_ns[BACKENDS]; /* when there last was a report */
  uint32_t in_flight[BACKENDS];
  uint64_t now_ns, decay_ns;
  bool changed; /* an endpoint was ejected, or let back in */
};

/* NULL: no memory. */
struct host *host_make(enum run_knowledge knowledge, uint64_t seed);
void host_free(struct host *h);

/* The first `count` endpoints are there now. */
void host_members(struct host *h, uint32_t count);
bool host_ejects(const struct host *h, uint32_t number);

void host_picked(struct host *h, uint32_t process, uint32_t slot, uint64_t now_ns);
void host_done(struct host *h, uint32_t process, uint32_t slot, uint64_t now_ns,
               struct backend_answer answer, uint64_t decay_ns);
/* What moved is added up; true when that changes who may be picked. */
bool host_sum(struct host *h, uint64_t now_ns, uint64_t decay_ns);
/* An interval of the outliers' is over; the same. -ENOMEM. */
int host_sweep(struct host *h, uint64_t now_ns);
/* Picks that nobody has reported yet, counted from the pages. */
uint32_t host_in_flight(const struct host *h);
