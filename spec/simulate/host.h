/* host: the simulated host's feedback. A cell of counts for each endpoint in each process, as the
 * library keeps them, and the live slots, into which the agent sums them every few milliseconds. */
#pragma once

#include "backends.h"
#include "catalog/feedback.h"
#include "select/select.h"

enum { PROCESSES = 8 };
#define HOST_TICK_NS 5000000ull /* between two sums */

struct host_process {
  struct feedback_cell cells[BACKENDS + 1]; /* by slot; slot 0 is nobody's */
  struct select_load load;
  struct select_state state;
};

struct host {
  struct host_process processes[PROCESSES];
  struct catalog_map map; /* header, maps and one chunk of live slots */
  _Atomic uint32_t total; /* in flight, all processes */
  /* What the sums were when the agent last looked, by slot. */
  uint32_t successes[BACKENDS + 1];
  uint64_t latency_sums[BACKENDS + 1], sampled_ns[BACKENDS + 1];
};

/* `shared`: picks see the sums; else each process what it did itself. NULL: no memory. */
struct host *host_make(bool shared, uint64_t seed);
void host_free(struct host *h);

void host_picked(struct host *h, uint32_t process, uint32_t slot, uint64_t now_ns);
void host_done(struct host *h, uint32_t process, uint32_t slot, uint64_t now_ns,
               struct backend_answer answer, uint64_t decay_ns);
void host_sum(struct host *h, uint64_t now_ns, uint64_t decay_ns);
/* Picks that nobody has reported yet, counted from the cells. */
uint32_t host_in_flight(const struct host *h);
