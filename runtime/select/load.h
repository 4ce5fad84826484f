/* load: what a load-based pick knows of an endpoint: this handle's own live counts and, beside
 * them, the host's sums from the catalog's live slots. The client fills it and keeps it up to
 * date; select/ only reads. Everything is a relaxed atomic, and nothing is trusted: any value may
 * stand anywhere, and only makes a pick worse. */
#pragma once

#include "catalog/feedback.h"
#include "catalog/reader.h"

/* What the handles of one process have in flight on one service, all slots together: a cell for
 * each lane, of which only in_flight, older, epoch and retries are used. As in the lanes, lane 0's
 * may be negative, and only the sum of all means something. */
struct select_tally {
  _Atomic uint32_t lanes; /* a bit for each that counts calls of this service */
  _Alignas(64) struct feedback_cell totals[FEEDBACK_LANES];
};

/* Belongs to the handle; any field may be empty. The slots' sums include this process as it was
 * when the agent last read its page. Without them, what all handles of this process have in flight
 * is looked up in its own page. */
struct select_load {
  const struct feedback_cell *own; /* the lane's, by slot, own_count of them; NULL = none */
  uint32_t own_count;
  const struct feedback_page *page;   /* with the other lanes; NULL = none */
  const struct select_tally *tally;   /* of the service; NULL = nobody counts */
  const _Atomic uint32_t *host_total; /* in flight on the service, all processes; NULL = unknown */
  const struct catalog_map *map;      /* for its live slots; NULL = no sums */
};

/* In flight on a service, and how many of that are retries. */
struct select_flight {
  uint32_t calls, retries;
};
/* Of this process. `now_ns` as of a pick. All zeroes for NULL. */
struct select_flight select_tally_flight(const struct select_tally *tally, uint64_t now_ns);

/* One endpoint's load, own and host's together. */
struct select_sample {
  uint32_t in_flight;  /* the larger of own and sum: the sum lags, and has the own in it */
  uint64_t latency_ns; /* 0 = nobody has a sample */
  uint64_t picked_ns;  /* by this handle */
  uint32_t failing;    /* of 2^32, on the host where its sums are known */
  uint64_t ejected_until_ns;
};

/* Where the two are that make a sample; NULL = nothing is known there. Where there are no sums,
 * `alone` has the lanes to look for `slot` in. */
struct select_place {
  const struct feedback_cell *own;
  const struct catalog_slot *live;
  const struct select_load *alone;
  uint32_t slot;
};

static inline struct select_place select_load_find(const struct select_load *load, uint32_t slot) {
  struct select_place place = {0};
  if (!load)
    return place;
  if (slot < load->own_count)
    place.own = &load->own[slot];
  if (load->map) {
    place.live = (const struct catalog_slot *)catalog_map_item(load->map, CATALOG_SLOTS, slot);
  } else if (slot < FEEDBACK_SLOTS && load->page && load->tally) {
    place.alone = load;
    place.slot = slot;
  }
  return place;
}

/* Asks the processor for both, so that those of several endpoints are waited for together. */
static inline void select_load_ask(const struct select_place *place) {
  __builtin_prefetch(place->own);
  __builtin_prefetch(place->live);
}

/* What all handles of this process have in flight on a slot: where there are no sums, and so out of
 * line. `load` has a page and a tally. */
uint32_t select_process_active(const struct select_load *load, uint32_t slot, uint32_t generation,
                               uint64_t now_ns);

/* What is in flight alone, for those who ask no more: SELECT_EJECTED when it is ejected. */
#define SELECT_EJECTED UINT32_MAX
static inline uint32_t select_active_of(const struct select_place *place, uint32_t generation,
                                        uint64_t now_ns) {
  const struct feedback_cell *own = place->own;
  const struct catalog_slot *live = place->live;
  int32_t active = own && catalog_load32(&own->generation) == generation
                       ? (int32_t)catalog_load32(&own->in_flight)
                       : 0; /* a shared lane's may be < 0 */
  active = active > 0 ? active : 0;
  if (__builtin_expect(place->alone != NULL, 0))
    return select_process_active(place->alone, place->slot, generation, now_ns);
  if (!live || catalog_load32(&live->generation) != generation)
    return (uint32_t)active;
  if (catalog_load64(&live->ejected_until_ns) > now_ns)
    return SELECT_EJECTED;
  uint32_t sum = catalog_load32(&live->in_flight);
  return sum > (uint32_t)active ? sum : (uint32_t)active;
}

/* All zeroes for a slot of which nothing is known. `now_ns`: CLOCK_MONOTONIC_COARSE. */
struct select_sample select_load_of(const struct select_place *place, uint32_t generation,
                                    uint64_t now_ns);

/* The clock of picks: 1 to 4 ms coarse, and a few ns. */
uint64_t select_now_ns(void);

/* What part of the calls fail, of 2^32: `of` reports, `failed` of them failures, weighted by the
 * time since the last as go-zero's success is. */
uint32_t select_failing(uint32_t old, uint32_t failed, uint32_t of, uint64_t elapsed_ns,
                        uint64_t decay_ns);
/* From a time that was kept as wrapping milliseconds to a time; 0 when it is not before `now_ns`,
 * or longer ago than half of 49 days. */
uint64_t select_time_of(uint32_t ms, uint64_t now_ns);

/* Peak EWMA (Finagle's): a slower sample counts at once, a faster one by the time since the last:
 * old * e^(-elapsed / decay) + sample * (1 - e^(-elapsed / decay)). `old` 0: the sample. */
uint64_t select_ewma(uint64_t old_ns, uint64_t elapsed_ns, uint64_t decay_ns, uint64_t sample_ns);
