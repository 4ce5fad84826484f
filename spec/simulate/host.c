#include "host.h"

#include <stdlib.h>

enum { FIRST_GRANULE = CATALOG_FIRST_GRANULE, GRANULES = FIRST_GRANULE + 16 };

/* All of a catalog's file that a look at a live slot needs. */
static bool make_slots(struct host *h) {
  unsigned char *file = aligned_alloc(CATALOG_GRANULE, (size_t)GRANULES * CATALOG_GRANULE);
  if (!file)
    return false;
  for (size_t i = 0; i < (size_t)GRANULES * CATALOG_GRANULE; i += 8)
    catalog_store64(file + i, 0);
  struct catalog_header *header = (struct catalog_header *)file;
  h->map = (struct catalog_map){.base = file, .mapped = (uint64_t)GRANULES * CATALOG_GRANULE};
  catalog_store64(&header->size, h->map.mapped);
  catalog_store32(file + (size_t)CATALOG_SLOTS * CATALOG_GRANULE, FIRST_GRANULE);
  return true;
}

static struct catalog_slot *live_slot(const struct host *h, uint32_t slot) {
  return (struct catalog_slot *)(uintptr_t)catalog_map_item(&h->map, CATALOG_SLOTS, slot);
}

struct host *host_make(bool shared, uint64_t seed) {
  struct host *h = calloc(1, sizeof *h);
  if (!h || !make_slots(h)) {
    free(h);
    return NULL;
  }
  for (uint32_t slot = 1; slot <= BACKENDS; slot++)
    catalog_store32(&live_slot(h, slot)->generation, 1);
  for (uint32_t i = 0; i < PROCESSES; i++) {
    struct host_process *p = &h->processes[i];
    for (uint32_t slot = 1; slot <= BACKENDS; slot++)
      catalog_store32(&p->cells[slot].generation, 1);
    p->load = (struct select_load){.own = p->cells, .own_count = BACKENDS + 1};
    if (shared) {
      p->load.map = &h->map;
      p->load.host_total = &h->total;
    }
    p->state.load = &p->load;
    p->state.random = simulate_random(&seed);
    p->state.cursor = (uint32_t)simulate_random(&seed);
  }
  return h;
}

void host_free(struct host *h) {
  if (h)
    free((void *)(uintptr_t)h->map.base);
  free(h);
}

void host_picked(struct host *h, uint32_t process, uint32_t slot, uint64_t now_ns) {
  struct host_process *p = &h->processes[process];
  struct feedback_cell *cell = &p->cells[slot];
  catalog_store32(&cell->in_flight, catalog_load32(&cell->in_flight) + 1);
  catalog_store32(&cell->picked_ms, (uint32_t)(now_ns / 1000000) | 1);
  p->load.own_total++;
}

void host_done(struct host *h, uint32_t process, uint32_t slot, uint64_t now_ns,
               struct backend_answer answer, uint64_t decay_ns) {
  struct host_process *p = &h->processes[process];
  struct feedback_cell *cell = &p->cells[slot];
  enum feedback_outcome outcome = answer.timeout ? FEEDBACK_TIMEOUT
                                  : answer.error ? FEEDBACK_SERVER_ERROR
                                                 : FEEDBACK_SUCCESS;
  catalog_store32(&cell->in_flight, catalog_load32(&cell->in_flight) - 1);
  catalog_store32(&cell->outcomes[outcome], catalog_load32(&cell->outcomes[outcome]) + 1);
  p->load.own_total--;
  if (outcome == FEEDBACK_SERVER_ERROR)
    return; /* how fast it failed says nothing of how fast it is */
  uint64_t elapsed = now_ns - catalog_load64(&cell->sampled_ns);
  catalog_store64(&cell->latency_ns, select_ewma(catalog_load64(&cell->latency_ns), elapsed,
                                                 decay_ns, answer.after_ns));
  catalog_store64(&cell->sampled_ns, now_ns);
  if (outcome == FEEDBACK_SUCCESS)
    catalog_store64(&cell->latency_sum_ns, catalog_load64(&cell->latency_sum_ns) + answer.after_ns);
}

/* The mean of what all processes saw since the last time goes into one average for the host. */
static void sum_slot(struct host *h, uint32_t slot, uint64_t now_ns, uint64_t decay_ns) {
  uint32_t in_flight = 0, successes = 0;
  uint64_t latency = 0;
  for (uint32_t i = 0; i < PROCESSES; i++) {
    const struct feedback_cell *cell = &h->processes[i].cells[slot];
    in_flight += catalog_load32(&cell->in_flight);
    successes += catalog_load32(&cell->outcomes[FEEDBACK_SUCCESS]);
    latency += catalog_load64(&cell->latency_sum_ns);
  }
  struct catalog_slot *live = live_slot(h, slot);
  catalog_store32(&live->in_flight, in_flight);
  uint32_t fresh = successes - h->successes[slot];
  if (!fresh)
    return;
  uint64_t mean = (latency - h->latency_sums[slot]) / fresh;
  uint64_t elapsed = now_ns - h->sampled_ns[slot];
  catalog_store64(&live->latency_ns,
                  select_ewma(catalog_load64(&live->latency_ns), elapsed, decay_ns, mean));
  h->successes[slot] = successes;
  h->latency_sums[slot] = latency;
  h->sampled_ns[slot] = now_ns;
}

void host_sum(struct host *h, uint64_t now_ns, uint64_t decay_ns) {
  for (uint32_t slot = 1; slot <= BACKENDS; slot++)
    sum_slot(h, slot, now_ns, decay_ns);
  atomic_store_explicit(&h->total, host_in_flight(h), memory_order_relaxed);
}

uint32_t host_in_flight(const struct host *h) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < PROCESSES; i++)
    for (uint32_t slot = 1; slot <= BACKENDS; slot++)
      sum += catalog_load32(&h->processes[i].cells[slot].in_flight);
  return sum;
}
