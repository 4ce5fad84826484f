/* backends: the simulated endpoints. Each serves SERVERS requests at once and queues the rest in
 * order; a caller that has waited TIMEOUT_NS leaves, also out of the queue. Virtual time, ns. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { BACKENDS = 50, BACKEND_SERVERS = 4 };
enum {
  BACKEND_SLOW = 10,
  BACKEND_FAILING = 20,
  BACKEND_NEW = 49
}; /* which is what; the rest are well */

#define BACKEND_TIMEOUT_NS 1000000000ull
#define BACKEND_MEAN_NS 10000000ull /* of a request's service, exponential */
#define BACKEND_WARM_NS                                                                            \
  10000000000ull /* from its start on, the new one gets as fast as the others */

struct backends {
  uint64_t random;
  uint64_t new_since_ns;
  uint64_t free_ns[BACKENDS][BACKEND_SERVERS]; /* when each server is done with what it has */
};

struct backend_answer {
  uint64_t after_ns; /* the caller has it so much later */
  bool timeout, error;
};

/* What becomes of a request that arrives now; calls come in order of time. */
struct backend_answer backends_serve(struct backends *b, uint32_t number, uint64_t now_ns);

/* 64 bits, uniform: Steele, Lea and Flood's SplitMix64; any state. */
uint64_t simulate_random(uint64_t *state);
/* Exponentially distributed with this mean. */
uint64_t simulate_exponential(uint64_t *state, double mean);
