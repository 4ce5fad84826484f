#include "select/load.h"

#include "select/math.h"

#include <time.h>

enum { FRESH_NS = 1000000000 }; /* so long an own sample is worth more than the host's mean */

uint64_t select_now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The sum of some lanes' cells, each with what it has in this epoch. */
struct sum {
  int32_t calls, retries;
};
static void sum_add(struct sum *sum, const struct feedback_cell *c, uint32_t epoch) {
  int32_t calls = feedback_in_flight(catalog_load32(&c->in_flight), catalog_load32(&c->older),
                                     catalog_load32(&c->epoch), epoch);
  sum->calls += calls;
  sum->retries += feedback_retries(catalog_load32(&c->retries), calls);
}

static struct select_flight flight_of(const struct sum *sum) {
  return (struct select_flight){.calls = sum->calls > 0 ? (uint32_t)sum->calls : 0,
                                .retries = sum->retries > 0 ? (uint32_t)sum->retries : 0};
}

static uint32_t lanes_of(const struct select_tally *tally) {
  return tally ? catalog_load32(&tally->lanes) & ((1u << FEEDBACK_LANES) - 1) : 0;
}

struct select_flight select_tally_flight(const struct select_tally *tally, uint64_t now_ns) {
  uint32_t epoch = feedback_epoch((int64_t)now_ns);
  struct sum sum = {0};
  for (uint32_t left = lanes_of(tally); left; left &= left - 1)
    sum_add(&sum, &tally->totals[__builtin_ctz(left)], epoch);
  return flight_of(&sum);
}

uint32_t select_process_active(const struct select_load *load, uint32_t slot, uint32_t generation,
                               uint64_t now_ns) {
  uint32_t epoch = feedback_epoch((int64_t)now_ns);
  struct sum sum = {0};
  for (uint32_t left = lanes_of(load->tally); left; left &= left - 1) {
    const struct feedback_lane *lane = &load->page->lanes[__builtin_ctz(left)];
    const struct feedback_cell *c = &lane->cells[slot];
    /* What was never written is not there, and looking would make it. */
    if (catalog_load32(&lane->changes[slot / FEEDBACK_RUN]) &&
        catalog_load32(&c->generation) == generation)
      sum_add(&sum, c, epoch);
  }
  return flight_of(&sum).calls;
}

uint64_t select_ewma(uint64_t old_ns, uint64_t elapsed_ns, uint64_t decay_ns, uint64_t sample_ns) {
  if (old_ns <= sample_ns || decay_ns == 0)
    return sample_ns ? sample_ns : 1; /* 0 means that there is none */
  if (elapsed_ns == 0) /* the clock is coarse: of calls in quick succession the slowest counts */
    return old_ns;
  double keep = select_exp_minus((double)elapsed_ns / (double)decay_ns);
  double mean = (double)old_ns * keep + (double)sample_ns * (1 - keep);
  return mean < 1 ? 1 : (uint64_t)mean;
}

uint32_t select_failing(uint32_t old, uint32_t failed, uint32_t of, uint64_t elapsed_ns,
                        uint64_t decay_ns) {
  if (of == 0 || (old == 0 && failed == 0))
    return old;
  double keep = decay_ns ? select_exp_minus((double)elapsed_ns / (double)decay_ns) : 0;
  double mean = (double)old * keep + (double)failed / of * UINT32_MAX * (1 - keep);
  return mean < UINT32_MAX ? (uint32_t)mean : UINT32_MAX;
}

uint64_t select_time_of(uint32_t ms, uint64_t now_ns) {
  int32_t age_ms = (int32_t)((uint32_t)(now_ns / 1000000) - ms);
  uint64_t age_ns = age_ms > 0 ? (uint64_t)age_ms * 1000000 : 0;
  return ms && age_ns < now_ns ? now_ns - age_ns : 0;
}

struct select_sample select_load_of(const struct select_place *place, uint32_t generation,
                                    uint64_t now_ns) {
  const struct feedback_cell *own = place->own;
  const struct catalog_slot *live = place->live;
  struct select_sample s = {0};
  uint64_t reported = 0, latency = 0;
  if (own && catalog_load32(&own->generation) == generation) {
    int32_t in_flight = (int32_t)catalog_load32(&own->in_flight); /* a shared lane's may be < 0 */
    s.in_flight = in_flight > 0 ? (uint32_t)in_flight : 0;
    s.picked_ns = select_time_of(catalog_load32(&own->picked_ms), now_ns);
    s.latency_ns = catalog_load64(&own->latency_ns);
    s.failing = catalog_load32(&own->failing);
    reported = select_time_of(catalog_load32(&own->reported_ms), now_ns);
  }
  if (place->alone)
    s.in_flight = select_process_active(place->alone, place->slot, generation, now_ns);
  if (!live || catalog_load32(&live->generation) != generation)
    return s;
  uint32_t sum = catalog_load32(&live->in_flight);
  s.in_flight = sum > s.in_flight ? sum : s.in_flight;
  s.ejected_until_ns = catalog_load64(&live->ejected_until_ns);
  s.failing = catalog_load32(&live->failing);
  latency = catalog_load64(&live->latency_ns);
  if (latency && (reported + FRESH_NS < now_ns || s.latency_ns < latency))
    s.latency_ns = latency;
  return s;
}
