#include "catalog/feedback_sums.h"

#include <stdlib.h>
#include <string.h>

/* What one page may say at most: in flight on a slot; reports of one outcome, and their mean
 * latency, between two collections. */
enum { MOST_IN_FLIGHT = 65535, MOST_REPORTS = 1000000 };
#define MOST_LATENCY_NS 3600000000000ull

/* A cell as it was when it was last read. */
struct seen {
  uint32_t generation, unused;
  int32_t in_flight, retries;
  uint32_t outcomes[FEEDBACK_OUTCOMES];
  uint64_t latency_sum_ns;
};

struct lane_run {
  uint32_t change;
  struct seen cells[FEEDBACK_RUN];
};

/* A page's share of a slot's sum: its lanes together, then what was added for it. */
struct share {
  uint32_t generation;
  int32_t in_flight, retries;
  uint32_t given, given_retries;
};

/* FEEDBACK_RUN slots of one page; made when they first move. */
struct source_run {
  struct share shares[FEEDBACK_RUN];
  struct lane_run *lanes[FEEDBACK_LANES]; /* NULL = never moved */
};

struct feedback_source {
  struct feedback_source *next;
  struct feedback_page *page;
  uint64_t activity[FEEDBACK_LANES];
  struct source_run **runs;
  uint32_t run_count;
  bool counted; /* its first reading is no news */
};

struct slot_sum {
  struct feedback_total total;
  uint64_t in_flight, retries; /* the total's are these, cut to 32 bits */
  bool moved;
};

struct feedback_sums {
  struct feedback_source *sources;
  size_t source_count;
  struct slot_sum *slots;
  uint32_t *moved; /* numbers; room for all */
  uint32_t slot_room, moved_count;
  uint32_t epoch;
};

struct feedback_sums *feedback_sums_new(void) {
  return calloc(1, sizeof(struct feedback_sums));
}

static void source_free(struct feedback_source *s) {
  for (uint32_t i = 0; i < s->run_count; i++) {
    for (int lane = 0; s->runs[i] && lane < FEEDBACK_LANES; lane++)
      free(s->runs[i]->lanes[lane]);
    free(s->runs[i]);
  }
  free(s->runs);
  feedback_page_close(s->page);
  free(s);
}

void feedback_sums_free(struct feedback_sums *sums) {
  if (!sums)
    return;
  for (struct feedback_source *s = sums->sources, *next; s; s = next) {
    next = s->next;
    source_free(s);
  }
  free(sums->slots);
  free(sums->moved);
  free(sums);
}

struct feedback_source *feedback_sums_add(struct feedback_sums *sums, struct feedback_page *page,
                                          bool counted) {
  struct feedback_source *s = calloc(1, sizeof *s);
  if (!s)
    return NULL;
  *s = (struct feedback_source){.next = sums->sources, .page = page, .counted = counted};
  sums->sources = s;
  sums->source_count++;
  return s;
}

static void mark(struct feedback_sums *sums, uint32_t slot) {
  if (sums->slots[slot].moved)
    return;
  sums->slots[slot].moved = true;
  sums->moved[sums->moved_count++] = slot;
}

static uint32_t cut(uint64_t n) {
  return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* What the page adds to the slot's sum is now this. */
static void give(struct feedback_sums *sums, uint32_t slot, struct share *share, uint32_t in_flight,
                 uint32_t retries) {
  struct slot_sum *sum = &sums->slots[slot];
  sum->in_flight += (uint64_t)in_flight - share->given;
  sum->retries += (uint64_t)retries - share->given_retries;
  sum->total.in_flight = cut(sum->in_flight);
  sum->total.retries = cut(sum->retries);
  share->given = in_flight;
  share->given_retries = retries;
}

void feedback_sums_drop(struct feedback_sums *sums, struct feedback_source *source) {
  struct feedback_source **at = &sums->sources;
  while (*at != source)
    at = &(*at)->next;
  *at = source->next;
  sums->source_count--;
  for (uint32_t slot = 0; slot < source->run_count * FEEDBACK_RUN && slot < sums->slot_room;
       slot++) {
    struct source_run *run = source->runs[slot / FEEDBACK_RUN];
    struct share *share = run ? &run->shares[slot % FEEDBACK_RUN] : NULL;
    if (!share || !(share->given || share->given_retries) ||
        share->generation != sums->slots[slot].total.generation)
      continue;
    give(sums, slot, share, 0, 0);
    mark(sums, slot);
  }
  source_free(source);
}

/* Room for all runs. What cannot be had now is asked for again by the next collection. */
static bool source_reserve(struct feedback_source *s, uint32_t runs) {
  if (runs <= s->run_count)
    return true;
  struct source_run **grown = realloc(s->runs, runs * sizeof *grown);
  if (!grown)
    return false;
  memset(grown + s->run_count, 0, (runs - s->run_count) * sizeof *grown);
  s->runs = grown;
  s->run_count = runs;
  return true;
}

static bool sums_reserve(struct feedback_sums *sums, uint32_t slots) {
  if (slots < sums->slot_room)
    return true;
  uint32_t room = (slots / 1024 + 1) * 1024;
  struct slot_sum *grown = realloc(sums->slots, room * sizeof *grown);
  if (grown)
    sums->slots = grown;
  uint32_t *moved = realloc(sums->moved, room * sizeof *moved);
  if (moved)
    sums->moved = moved;
  if (!grown || !moved)
    return false;
  memset(grown + sums->slot_room, 0, (room - sums->slot_room) * sizeof *grown);
  sums->slot_room = room;
  return true;
}

static int32_t bounded(int32_t n) {
  return n > MOST_IN_FLIGHT ? MOST_IN_FLIGHT : n < -MOST_IN_FLIGHT ? -MOST_IN_FLIGHT : n;
}

/* A cell's words. False: it is being given to another instance, and will move again. */
static bool cell_read(const struct feedback_cell *cell, uint32_t epoch, struct seen *out) {
  out->generation = atomic_load_explicit(&cell->generation, memory_order_acquire);
  int32_t n = feedback_in_flight(catalog_load32(&cell->in_flight), catalog_load32(&cell->older),
                                 catalog_load32(&cell->epoch), epoch);
  out->in_flight = bounded(n);
  out->retries = bounded((int32_t)catalog_load32(&cell->retries));
  out->unused = 0;
  for (int i = 0; i < FEEDBACK_OUTCOMES; i++)
    out->outcomes[i] = catalog_load32(&cell->outcomes[i]);
  out->latency_sum_ns = catalog_load64(&cell->latency_sum_ns);
  return out->generation && catalog_epoch_is(&cell->generation, out->generation);
}

static uint64_t add_most(uint64_t sum, uint64_t n) {
  return sum + n < sum ? UINT64_MAX : sum + n;
}

static void add_reports(struct feedback_total *t, const struct seen *before,
                        const struct seen *now) {
  for (int i = 0; i < FEEDBACK_OUTCOMES; i++) {
    uint32_t n = now->outcomes[i] - before->outcomes[i];
    n = n < MOST_REPORTS ? n : MOST_REPORTS;
    uint64_t latency = now->latency_sum_ns - before->latency_sum_ns;
    if (i == FEEDBACK_SUCCESS && n)
      t->latency_ns = add_most(t->latency_ns, latency / n < MOST_LATENCY_NS ? latency : 0);
    t->outcomes[i] = t->outcomes[i] + n < t->outcomes[i] ? UINT32_MAX : t->outcomes[i] + n;
  }
}

/* One cell that may have moved. `current`: the slot's generation. */
static void take_cell(struct feedback_sums *sums, struct feedback_source *source, uint32_t slot,
                      struct seen *seen, const struct seen *now, uint32_t current) {
  struct slot_sum *sum = &sums->slots[slot];
  struct share *share = &source->runs[slot / FEEDBACK_RUN]->shares[slot % FEEDBACK_RUN];
  if (sum->total.generation != current)
    *sum = (struct slot_sum){.total.generation = current, .moved = sum->moved};
  if (share->generation != current)
    *share = (struct share){.generation = current};
  if (seen->generation != current)
    *seen = (struct seen){.generation = current};
  share->in_flight += now->in_flight - seen->in_flight;
  share->retries += now->retries - seen->retries;
  if (!source->counted)
    add_reports(&sum->total, seen, now);
  *seen = *now;
  uint32_t in_flight = (uint32_t)(share->in_flight > 0 ? bounded(share->in_flight) : 0);
  uint32_t retries = (uint32_t)(share->retries > 0 ? bounded(share->retries) : 0);
  give(sums, slot, share, in_flight, retries < in_flight ? retries : in_flight);
  mark(sums, slot);
}

struct collection {
  struct feedback_sums *sums;
  uint32_t slots, epoch;
  bool all; /* a new epoch: old picks are forgotten where nothing moved, too */
  uint32_t (*generation)(void *arg, uint32_t slot);
  void *arg;
};

static void read_run(const struct collection *c, struct feedback_source *s, int lane, uint32_t run,
                     struct lane_run *known) {
  const struct feedback_cell *cells = &s->page->lanes[lane].cells[run * FEEDBACK_RUN];
  for (uint32_t i = 0; i < FEEDBACK_RUN && run * FEEDBACK_RUN + i <= c->slots; i++) {
    struct seen now, *before = &known->cells[i];
    uint32_t slot = run * FEEDBACK_RUN + i;
    if (!cell_read(&cells[i], c->epoch, &now) || memcmp(&now, before, sizeof now) == 0)
      continue;
    uint32_t current = c->generation(c->arg, slot);
    if (current && now.generation == current)
      take_cell(c->sums, s, slot, before, &now, current);
  }
}

/* NULL: no memory; it is looked at again next time. */
static struct lane_run *lane_run_of(struct feedback_source *s, int lane, uint32_t run) {
  struct source_run *r = s->runs[run];
  if (!r)
    r = s->runs[run] = calloc(1, sizeof *r);
  if (r && !r->lanes[lane])
    r->lanes[lane] = calloc(1, sizeof *r->lanes[lane]);
  return r ? r->lanes[lane] : NULL;
}

static bool read_lane(const struct collection *c, struct feedback_source *s, int lane) {
  struct feedback_lane *from = &s->page->lanes[lane];
  uint64_t activity = atomic_load_explicit(&from->activity, memory_order_acquire);
  bool moved = activity != s->activity[lane], whole = true;
  if (!moved && !c->all)
    return false;
  for (uint32_t run = 0; run <= c->slots / FEEDBACK_RUN; run++) {
    uint32_t change = atomic_load_explicit(&from->changes[run], memory_order_acquire);
    struct lane_run *known = s->runs[run] ? s->runs[run]->lanes[lane] : NULL;
    if (known ? known->change == change && !c->all : change == 0)
      continue;
    known = lane_run_of(s, lane, run);
    whole = whole && known;
    if (!known)
      continue;
    known->change = change;
    read_run(c, s, lane, run, known);
  }
  if (whole)
    s->activity[lane] = activity;
  return moved;
}

bool feedback_sums_collect(struct feedback_sums *sums, uint32_t slots, int64_t now_ns,
                           uint32_t (*generation)(void *arg, uint32_t slot),
                           void (*each)(void *arg, uint32_t slot,
                                        const struct feedback_total *total),
                           void *arg) {
  struct collection c = {.sums = sums,
                         .slots = slots < FEEDBACK_SLOTS ? slots : FEEDBACK_SLOTS - 1,
                         .epoch = feedback_epoch(now_ns),
                         .generation = generation,
                         .arg = arg};
  bool moved = false;
  if (!sums->sources && !sums->moved_count)
    return false; /* nobody reports, so nothing is kept: 64 bytes a slot are worth it */
  if (!sums_reserve(sums, c.slots))
    return false;
  c.all = c.epoch != sums->epoch;
  sums->epoch = c.epoch;
  for (struct feedback_source *s = sums->sources; s; s = s->next) {
    if (!source_reserve(s, c.slots / FEEDBACK_RUN + 1))
      continue;
    for (int lane = 0; lane < FEEDBACK_LANES; lane++)
      moved |= read_lane(&c, s, lane);
    s->counted = false;
  }
  for (uint32_t i = 0; i < sums->moved_count; i++) {
    struct slot_sum *sum = &sums->slots[sums->moved[i]];
    each(arg, sums->moved[i], &sum->total);
    memset(sum->total.outcomes, 0, sizeof sum->total.outcomes);
    sum->total.latency_ns = 0;
    sum->moved = false;
  }
  sums->moved_count = 0;
  return moved;
}
