#include "host.h"

#include <stdlib.h>
#include <unistd.h>

enum { FIRST_GRANULE = CATALOG_FIRST_GRANULE, GRANULES = FIRST_GRANULE + 16 };

/* runtime/watch/stage.c's defaults. */
static const struct outlier_rules rules = {.consecutive = 5,
                                           .interval_ns = HOST_SWEEP_NS,
                                           .ejection_ns = 30000000000,
                                           .longest_ns = 300000000000,
                                           .most = 0.1,
                                           .factor = 1.9,
                                           .rate_endpoints = 5,
                                           .rate_requests = 100};

/* All of a catalog's file that a look at a live slot needs. */
static bool make_slots(struct host *h) {
  size_t size = (size_t)GRANULES * CATALOG_GRANULE;
  unsigned char *file = aligned_alloc(CATALOG_GRANULE, size);
  if (!file)
    return false;
  for (size_t i = 0; i < size; i += 8)
    catalog_store64(file + i, 0);
  h->map = (struct catalog_map){.base = file, .mapped = size};
  catalog_store64(&((struct catalog_header *)file)->size, size);
  catalog_store32(file + (size_t)CATALOG_SLOTS * CATALOG_GRANULE, FIRST_GRANULE);
  return true;
}

static struct catalog_slot *live_slot(const struct host *h, uint32_t slot) {
  return (struct catalog_slot *)(uintptr_t)catalog_map_item(&h->map, CATALOG_SLOTS, slot);
}

static bool make_process(struct host *h, struct host_process *p, uint64_t *seed) {
  int fd = -1;
  struct feedback_page *page = feedback_page_make(&fd);
  if (fd >= 0)
    close(fd);
  if (!page || !feedback_sums_add(h->sums, page, false))
    return false;
  p->lane = &page->lanes[1];
  for (uint32_t slot = 1; slot <= BACKENDS; slot++)
    catalog_store32(&p->lane->cells[slot].generation, 1);
  catalog_store32(&p->tally.lanes, 1u << 1);
  p->load = (struct select_load){
      .own = p->lane->cells, .own_count = BACKENDS + 1, .page = page, .tally = &p->tally};
  if (h->knowledge != RUN_ALONE) {
    p->load.map = &h->map;
    p->load.host_total = &h->total;
  }
  p->state.load = &p->load;
  p->state.random = simulate_random(seed);
  p->state.cursor = (uint32_t)simulate_random(seed);
  return true;
}

struct host *host_make(enum run_knowledge knowledge, uint64_t seed) {
  struct host *h = calloc(1, sizeof *h);
  if (!h)
    return NULL;
  h->knowledge = knowledge;
  h->sums = feedback_sums_new();
  bool made = h->sums && make_slots(h);
  for (uint32_t i = 0; made && i < PROCESSES; i++)
    made = make_process(h, &h->processes[i], &seed);
  if (!made) {
    host_free(h);
    return NULL;
  }
  for (uint32_t i = 0; i < BACKENDS; i++) {
    catalog_store32(&live_slot(h, i + 1)->generation, 1);
    h->endpoints[i].healthy = true;
    h->judged[i] = &h->endpoints[i];
  }
  if (knowledge == RUN_EJECTS)
    h->outliers.rules = rules;
  return h;
}

void host_free(struct host *h) {
  if (!h)
    return;
  feedback_sums_free(h->sums);
  free((void *)(uintptr_t)h->map.base);
  free(h);
}

void host_members(struct host *h, uint32_t count) {
  outlier_members(&h->outliers, h->judged, count);
}

bool host_ejects(const struct host *h, uint32_t number) {
  return h->endpoints[number].ejected_until_ns != 0;
}

/* ---- what a process counts: client/report.c's rules ---- */

static void announce(struct feedback_lane *lane, uint32_t slot) {
  _Atomic uint32_t *change = &lane->changes[slot / FEEDBACK_RUN];
  catalog_store32(change, catalog_load32(change) + 1);
  catalog_store64(&lane->activity, catalog_load64(&lane->activity) + 1);
}

static void add(_Atomic uint32_t *word, uint32_t n) {
  catalog_store32(word, catalog_load32(word) + n);
}

void host_picked(struct host *h, uint32_t process, uint32_t slot, uint64_t now_ns) {
  struct host_process *p = &h->processes[process];
  struct feedback_cell *cell = &p->lane->cells[slot];
  add(&cell->in_flight, 1);
  catalog_store32(&cell->epoch, feedback_epoch((int64_t)now_ns));
  catalog_store32(&cell->picked_ms, (uint32_t)(now_ns / 1000000) | 1);
  announce(p->lane, slot);
  add(&p->tally.totals[1].in_flight, 1);
  catalog_store32(&p->tally.totals[1].epoch, feedback_epoch((int64_t)now_ns));
}

void host_done(struct host *h, uint32_t process, uint32_t slot, uint64_t now_ns,
               struct backend_answer answer, uint64_t decay_ns) {
  struct host_process *p = &h->processes[process];
  struct feedback_cell *cell = &p->lane->cells[slot];
  enum feedback_outcome outcome = answer.timeout ? FEEDBACK_TIMEOUT
                                  : answer.error ? FEEDBACK_SERVER_ERROR
                                                 : FEEDBACK_SUCCESS;
  add(&cell->in_flight, (uint32_t)-1);
  add(&cell->outcomes[outcome], 1);
  if (outcome == FEEDBACK_SUCCESS)
    catalog_store64(&cell->latency_sum_ns, catalog_load64(&cell->latency_sum_ns) + answer.after_ns);
  add(&p->tally.totals[1].in_flight, (uint32_t)-1);
  announce(p->lane, slot);
  uint64_t old = catalog_load64(&cell->latency_ns);
  uint64_t elapsed = now_ns - select_time_of(catalog_load32(&cell->reported_ms), now_ns);
  bool failed = outcome != FEEDBACK_SUCCESS;
  catalog_store32(&cell->failing,
                  select_failing(catalog_load32(&cell->failing), failed, 1, elapsed, decay_ns));
  if (!failed || answer.after_ns > old)
    catalog_store64(&cell->latency_ns, select_ewma(old, elapsed, decay_ns, answer.after_ns));
  catalog_store32(&cell->reported_ms, (uint32_t)(now_ns / 1000000) | 1);
}

/* ---- what the agent makes of it: agent/live.c's rules ---- */

static void show_ejection(struct host *h, uint32_t number) {
  int64_t until = h->endpoints[number].ejected_until_ns;
  catalog_store64(&live_slot(h, number + 1)->ejected_until_ns, (uint64_t)until);
  h->changed = true;
}

static uint32_t generation_of(void *arg, uint32_t slot) {
  return slot >= 1 && slot <= BACKENDS;
}

static void take_total(void *arg, uint32_t slot, const struct feedback_total *t) {
  struct host *h = arg;
  uint32_t i = slot - 1, good = t->outcomes[FEEDBACK_SUCCESS], bad = 0;
  struct catalog_slot *live = live_slot(h, slot);
  catalog_store32(&live->in_flight, t->in_flight);
  catalog_store32(&h->total, catalog_load32(&h->total) + t->in_flight - h->in_flight[i]);
  h->in_flight[i] = t->in_flight;
  if (good) {
    catalog_store64(&live->latency_ns,
                    select_ewma(catalog_load64(&live->latency_ns), h->now_ns - h->sampled_ns[i],
                                h->decay_ns, t->latency_ns / good));
    h->sampled_ns[i] = h->now_ns;
  }
  for (int outcome = 0; outcome < FEEDBACK_OUTCOMES; outcome++)
    bad += outcome == FEEDBACK_SUCCESS ? 0 : t->outcomes[outcome];
  if (good + bad) {
    catalog_store32(&live->failing, select_failing(catalog_load32(&live->failing), bad, good + bad,
                                                   h->now_ns - h->reported_ns[i], h->decay_ns));
    h->reported_ns[i] = h->now_ns;
  }
  if (h->knowledge == RUN_EJECTS && good + bad && i < h->outliers.count &&
      outlier_report(&h->outliers, i, good, bad, (int64_t)h->now_ns))
    show_ejection(h, i);
}

bool host_sum(struct host *h, uint64_t now_ns, uint64_t decay_ns) {
  h->now_ns = now_ns;
  h->decay_ns = decay_ns;
  h->changed = false;
  feedback_sums_collect(h->sums, BACKENDS, (int64_t)now_ns, generation_of, take_total, h);
  return h->changed;
}

static void sweep_changed(void *arg, uint32_t i, enum outlier_reason reason) {
  show_ejection(arg, i);
}

int host_sweep(struct host *h, uint64_t now_ns) {
  h->changed = false;
  int e = outlier_sweep(&h->outliers, (int64_t)now_ns, sweep_changed, h);
  return e < 0 ? e : h->changed;
}

uint32_t host_in_flight(const struct host *h) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < PROCESSES; i++)
    for (uint32_t slot = 1; slot <= BACKENDS; slot++)
      sum += catalog_load32(&h->processes[i].lane->cells[slot].in_flight);
  return sum;
}
