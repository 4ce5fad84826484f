/* Counting: a pick that will be reported, and its report. What it costs is measured by
 * spec/bench/report.c and pick_balancers.c.
 *
 * A handle's own lane is written by the thread that has the handle, with plain relaxed stores; so
 * is that lane's total in the tally of the service. Handles that share lane 0, and reports from
 * another thread, which also go there, pay for read-modify-writes. */
#include "client/handle.h"

#include <errno.h>
#include <string.h>

#define DECAY_NS 10000000000ull /* where the view is not ours to look at */
#define LATE_NS 3000000000ull   /* an agent whose heart has not beaten for so long sums nothing */
#define TELL_NS 100000000ull    /* threads that only report tell the agent this often */

enum { TELL_EVERY = 256 }; /* so many picks until an absent agent is looked for again */

static inline uint32_t add(_Atomic uint32_t *word, uint32_t n, bool alone) {
  if (!alone)
    return atomic_fetch_add_explicit(word, n, memory_order_relaxed) + n;
  n += atomic_load_explicit(word, memory_order_relaxed);
  atomic_store_explicit(word, n, memory_order_relaxed);
  return n;
}

static inline void put32(_Atomic uint32_t *word, uint32_t value) {
  atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline void put64(_Atomic uint64_t *word, uint64_t value) {
  atomic_store_explicit(word, value, memory_order_relaxed);
}

/* After the cell's words: tells who reads that its run has changed. */
static inline void announce(struct feedback_lane *lane, uint32_t slot, bool alone) {
  _Atomic uint32_t *change = &lane->changes[slot / FEEDBACK_RUN];
  if (alone) {
    uint64_t activity = atomic_load_explicit(&lane->activity, memory_order_relaxed);
    atomic_store_explicit(change, atomic_load_explicit(change, memory_order_relaxed) + 1,
                          memory_order_release);
    atomic_store_explicit(&lane->activity, activity + 1, memory_order_release);
  } else {
    atomic_fetch_add_explicit(change, 1, memory_order_release);
    atomic_fetch_add_explicit(&lane->activity, 1, memory_order_release);
  }
}

/* The cell begins anew, for another instance. Who reads it meanwhile sees generation 0 before any
 * word of the new one. */
static void claim(struct feedback_cell *c, uint32_t generation) {
#if CATALOG_TSAN
  atomic_exchange_explicit(&c->generation, 0, memory_order_acq_rel);
#else
  put32(&c->generation, 0);
  atomic_thread_fence(memory_order_release);
#endif
  put32(&c->in_flight, 0);
  put32(&c->older, 0);
  put32(&c->epoch, 0);
  for (int i = 0; i < FEEDBACK_OUTCOMES; i++)
    put32(&c->outcomes[i], 0);
  put64(&c->latency_ns, 0);
  put32(&c->reported_ms, 0);
  put32(&c->failing, 0);
  put32(&c->picked_ms, 0);
  put32(&c->retries, 0);
  put64(&c->latency_sum_ns, 0);
  atomic_store_explicit(&c->generation, generation, memory_order_release);
}

/* What of the cell is in flight in this epoch; its reports alone are < 0. */
static inline int32_t in_flight_of(const struct feedback_cell *c, uint32_t epoch) {
  return feedback_in_flight(catalog_load32(&c->in_flight), catalog_load32(&c->older),
                            catalog_load32(&c->epoch), epoch);
}

/* Picks of the epoch before become the older ones; what was older is forgotten. */
static void roll(struct feedback_cell *c, uint32_t epoch) {
  int32_t kept = in_flight_of(c, epoch);
  put32(&c->in_flight, (uint32_t)kept);
  put32(&c->older, (uint32_t)kept);
  put32(&c->retries, (uint32_t)feedback_retries(catalog_load32(&c->retries), kept));
  put32(&c->epoch, epoch);
}

/* Whether the cell is of this instance, and in this epoch; 0: in any. */
static inline bool is_at(const struct feedback_cell *c, uint32_t generation, uint32_t epoch) {
  return catalog_load32(&c->generation) == generation &&
         (epoch == 0 || catalog_load32(&c->epoch) == epoch);
}

/* Slow and rare: what `ready` does. */
static __attribute__((noinline, cold)) bool renew(struct perigee_service *s,
                                                  struct feedback_cell *c, uint32_t generation,
                                                  uint32_t epoch, bool alone) {
  if (!alone)
    pthread_mutex_lock(&s->perigee->page->lock);
  uint32_t has = catalog_load32(&c->generation);
  bool ours = has == 0 || (int32_t)(generation - has) >= 0;
  if (ours && has != generation)
    claim(c, generation);
  if (ours && epoch && catalog_load32(&c->epoch) != epoch)
    roll(c, epoch);
  if (!alone)
    pthread_mutex_unlock(&s->perigee->page->lock);
  return ours;
}

/* The cell is to be of this instance, and in this epoch; 0: in any. False: it is of a later
 * instance, which has the slot now. */
static inline bool ready(struct perigee_service *s, struct feedback_cell *c, uint32_t generation,
                         uint32_t epoch, bool alone) {
  return __builtin_expect(is_at(c, generation, epoch), 1) || renew(s, c, generation, epoch, alone);
}

/* The agent has to be told now and then: that it should read, or that we are there at all. */
static inline void tell(struct perigee_service *s) {
  if (__builtin_expect(catalog_load32(&catalog_map_header(&s->mapping->map)->collecting), 1)) {
    s->quiet = 0;
    return;
  }
  if (s->quiet++ % TELL_EVERY == 0)
    lanes_tell(s);
}

void client_hear(struct perigee_service *s, uint64_t now_ns) {
  uint64_t beat = catalog_load64(&catalog_map_header(&s->mapping->map)->heartbeat_ns);
  bool alive = (int64_t)(now_ns - beat) < (int64_t)LATE_NS;
  s->heard_ns = now_ns;
  s->load.page = atomic_load_explicit(&s->perigee->lanes.page, memory_order_acquire);
  s->load.map = alive ? &s->mapping->map : NULL;
  s->load.host_total = alive ? &s->entry->in_flight : NULL;
}

/* A ticket is what a report must show to take a pick back: in which process it was made (8 bits),
 * whether it was a retry, and in which epoch. */
enum { TICKET_RETRY = 1 << 23, TICKET_EPOCH = TICKET_RETRY - 1, TICKET_FORKS_SHIFT = 24 };
enum { TOTAL_GENERATION = 1 }; /* of the tally's cells, which are no instance's */

static inline uint32_t ticket_of(const struct perigee_service *s, uint32_t epoch, bool retry) {
  uint32_t forks = atomic_load_explicit(&s->forks, memory_order_relaxed);
  return forks << TICKET_FORKS_SHIFT | (retry ? TICKET_RETRY : 0) | epoch;
}

static uint32_t part_of(uint32_t calls) {
  return (uint32_t)((uint64_t)calls * PERIGEE_RETRY_PERCENT / 100);
}

int client_may_retry(struct perigee_service *s) {
  if (client_forked(s))
    client_find(s);
  struct select_flight own = select_tally_flight(&s->tally->counts, s->state.now_ns), all = own;
  if (s->load.map) { /* the host's lag behind, and have the own in them */
    uint32_t calls = catalog_load32(&s->entry->in_flight),
             retries = catalog_load32(&s->entry->retries);
    all.calls = calls > own.calls ? calls : own.calls;
    all.retries = retries > own.retries ? retries : own.retries;
  }
  if (own.retries < part_of(own.calls))
    return 0; /* nobody else, whatever it says, uses up what is this process's own part */
  uint32_t budget = part_of(all.calls);
  budget = budget > PERIGEE_RETRY_LEAST ? budget : PERIGEE_RETRY_LEAST;
  return all.retries < budget ? 0 : -EDQUOT;
}

void client_track(struct perigee_service *s, struct perigee_endpoint *e, bool retry) {
  struct feedback_lane *lane = s->lane;
  uint64_t now = s->state.now_ns;
  uint32_t epoch = feedback_epoch((int64_t)now);
  if (now != s->heard_ns)
    client_hear(s, now);
  if (__builtin_expect(!lane, 0) && !(lane = lanes_join(s)))
    return;
  if (__builtin_expect(s->strays, 0) && lane != s->shared)
    lane = lanes_share(s);
  if (e->slot >= FEEDBACK_SLOTS)
    return;
  bool alone = lane != s->shared;
  struct feedback_cell *c = &lane->cells[e->slot];
  if (!ready(s, c, e->slot_generation, epoch, alone))
    return;
  ready(s, s->total, TOTAL_GENERATION, epoch, alone);
  add(&c->in_flight, 1, alone);
  add(&s->total->in_flight, 1, alone);
  if (retry) {
    add(&c->retries, 1, alone);
    add(&s->total->retries, 1, alone);
  }
  put32(&c->picked_ms, (uint32_t)(now / 1000000) | 1);
  announce(lane, e->slot, alone);
  e->ticket = ticket_of(s, epoch, retry);
  tell(s);
}

/* The ticket, which counts only once; 0: nothing is counted for it, or not in this process. */
static inline uint32_t ticket_spent(const struct perigee_service *s, struct perigee_endpoint *e) {
  uint32_t ticket = e->ticket;
  e->ticket = 0;
  uint32_t forks = atomic_load_explicit(&s->forks, memory_order_relaxed);
  return ticket >> TICKET_FORKS_SHIFT == (forks & 0xff) ? ticket : 0;
}

/* One pick less; not below nothing, where this thread alone counts. */
static void take_back(struct feedback_cell *c, uint32_t ticket, bool alone) {
  uint32_t now = catalog_load32(&c->epoch), ticket_epoch = ticket & TICKET_EPOCH;
  if (now != ticket_epoch && now != ticket_epoch + 1)
    return; /* forgotten: too late a report, or a cell that has begun anew */
  if (alone && catalog_load32(&c->in_flight) == 0)
    return;
  add(&c->in_flight, (uint32_t)-1, alone);
  if (now != ticket_epoch && !(alone && catalog_load32(&c->older) == 0))
    add(&c->older, (uint32_t)-1, alone);
  if (ticket & TICKET_RETRY && !(alone && catalog_load32(&c->retries) == 0))
    add(&c->retries, (uint32_t)-1, alone);
}

/* A failure never makes an endpoint look faster: what refuses at once would draw all calls. */
static void sample(struct feedback_cell *c, enum feedback_outcome outcome, uint64_t latency_ns,
                   uint64_t now, uint64_t decay_ns) {
  uint64_t old = catalog_load64(&c->latency_ns);
  uint64_t elapsed = now - select_time_of(catalog_load32(&c->reported_ms), now);
  uint32_t failing = catalog_load32(&c->failing), failed = outcome != FEEDBACK_SUCCESS;
  if (failing || failed)
    put32(&c->failing, select_failing(failing, failed, 1, elapsed, decay_ns));
  if (!failed || latency_ns > old)
    put64(&c->latency_ns, select_ewma(old, elapsed, decay_ns, latency_ns));
  put32(&c->reported_ms, (uint32_t)(now / 1000000) | 1);
}

static void count(struct feedback_cell *c, enum feedback_outcome outcome, uint64_t latency_ns,
                  bool alone) {
  add(&c->outcomes[outcome], 1, alone);
  if (outcome != FEEDBACK_SUCCESS)
    return;
  if (alone)
    put64(&c->latency_sum_ns, catalog_load64(&c->latency_sum_ns) + latency_ns);
  else
    atomic_fetch_add_explicit(&c->latency_sum_ns, latency_ns, memory_order_relaxed);
}

/* Another thread's report: into the shared lane, whatever lane the pick was counted in. */
static __attribute__((noinline)) int report_away(struct perigee_service *s,
                                                 struct perigee_endpoint *e, int outcome,
                                                 uint64_t latency_ns) {
  if (client_forked(s))
    return 0; /* a child, in which nobody has picked yet: the call was its parent's */
  struct feedback_lane *lane = lanes_shared(s);
  if (!lane)
    return 0;
  s->strays = true;
  uint64_t now = select_now_ns();
  uint32_t epoch = feedback_epoch((int64_t)now), ticket = ticket_spent(s, e);
  struct feedback_cell *c = &lane->cells[e->slot], *total = &s->tally->counts.totals[0];
  if (!ready(s, c, e->slot_generation, epoch, false))
    return 0;
  if (ticket) {
    if (!(catalog_load32(&s->tally->counts.lanes) & 1))
      atomic_fetch_or(&s->tally->counts.lanes, 1);
    ready(s, total, TOTAL_GENERATION, epoch, false);
    take_back(c, ticket, false);
    take_back(total, ticket, false);
  }
  if (outcome != PERIGEE_ABANDONED) {
    count(c, (enum feedback_outcome)outcome, latency_ns, false);
    sample(c, (enum feedback_outcome)outcome, latency_ns, now, DECAY_NS);
  }
  announce(lane, e->slot, false);
  uint64_t told = catalog_load64(&s->told_ns);
  if (now - told >= TELL_NS && atomic_compare_exchange_strong(&s->told_ns, &told, now))
    lanes_tell(s);
  return 0;
}

int perigee_done(struct perigee_service *s, struct perigee_endpoint *e, int outcome,
                 uint64_t latency_ns) {
  if (outcome < 0 || outcome > PERIGEE_ABANDONED || e->slot == 0 || e->slot >= FEEDBACK_SLOTS ||
      e->slot_generation == 0)
    return -EINVAL;
  if (atomic_load_explicit(&s->thread, memory_order_relaxed) != __builtin_thread_pointer())
    return report_away(s, e, outcome, latency_ns);
  if (client_forked(s))
    client_find(s);
  struct feedback_lane *lane = s->lane;
  if (!lane && !(lane = lanes_join(s)))
    return 0;
  bool alone = lane != s->shared, timed = s->by_latency && outcome != PERIGEE_ABANDONED;
  uint64_t now = timed || !alone ? select_now_ns() : 0;
  /* In a lane of its own the cell is in the ticket's epoch or the next one, or has forgotten it. */
  uint32_t epoch = alone ? 0 : feedback_epoch((int64_t)now), ticket = ticket_spent(s, e);
  struct feedback_cell *c = &lane->cells[e->slot];
  if (!ready(s, c, e->slot_generation, epoch, alone))
    return 0;
  if (ticket) {
    take_back(c, ticket, alone);
    take_back(s->total, ticket, alone);
  }
  if (outcome != PERIGEE_ABANDONED)
    count(c, (enum feedback_outcome)outcome, latency_ns, alone);
  if (timed)
    sample(c, (enum feedback_outcome)outcome, latency_ns, now, select_decay_ns(&s->view));
  announce(lane, e->slot, alone);
  tell(s);
  return 0;
}

static void forget(struct feedback_cell *c) {
  put32(&c->in_flight, 0);
  put32(&c->older, 0);
  put32(&c->retries, 0);
}

/* What is in flight in one's own cell goes over to the shared one. */
static void share(struct perigee_service *s, struct feedback_cell *own, struct feedback_cell *to,
                  uint32_t generation) {
  uint32_t epoch = feedback_epoch((int64_t)select_now_ns());
  if (!is_at(own, generation, epoch))
    roll(own, epoch);
  if (ready(s, to, generation, epoch, false)) {
    add(&to->in_flight, catalog_load32(&own->in_flight), false);
    add(&to->older, catalog_load32(&own->older), false);
    add(&to->retries, catalog_load32(&own->retries), false);
  }
  forget(own);
}

static bool has_any(const struct feedback_cell *c, uint32_t generation) {
  return catalog_load32(&c->generation) == generation && catalog_load32(&c->in_flight);
}

void report_forget(struct perigee_service *s, uint32_t slot, uint32_t generation) {
  if (!has_any(&s->lane->cells[slot], generation))
    return;
  forget(&s->lane->cells[slot]);
  announce(s->lane, slot, true);
}

void report_share(struct perigee_service *s, uint32_t slot, uint32_t generation) {
  if (!has_any(&s->lane->cells[slot], generation))
    return;
  share(s, &s->lane->cells[slot], &s->shared->cells[slot], generation);
  announce(s->shared, slot, false);
  announce(s->lane, slot, true);
}

void report_forget_total(struct perigee_service *s) {
  forget(s->total);
}

void report_share_total(struct perigee_service *s) {
  if (has_any(s->total, TOTAL_GENERATION))
    share(s, s->total, &s->tally->counts.totals[0], TOTAL_GENERATION);
}

void client_lane_none(struct perigee_service *s) {
  s->lane = NULL;
  s->shared = NULL;
  s->total = NULL;
  s->load.own = NULL;
  s->load.own_count = 0;
  s->load.page = NULL;
  s->quiet = 0;
  s->strays = false;
}
