/* Maglev with bounded loads: the key's endpoint, unless it has its cap of requests in flight
 * already: `bound` times its fair share of all, rounded up. Then a rehash of the key decides, not
 * the neighbour, so that an overload does not run through the table. Mirrokni, Thorup and
 * Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018; the rehash: Chen, Coleman and
 * Shrivastava, arXiv 1908.08762.
 *
 * Options: the bound as a float's bits. */
#include "select/maglev.h"

#include <string.h>

enum { PROBES = 16 };

static int build(struct catalog_tables *t) {
  float bound = t->rules->bound > 1 ? (float)t->rules->bound : 1.25F;
  memcpy(&t->options[0], &bound, sizeof bound);
  return select_maglev_build(t);
}

/* The host's total where the agent sums it, else this process's. */
static uint32_t total_of(const struct select_state *state) {
  const struct select_load *load = state->load;
  if (!load)
    return 0;
  uint32_t host = load->host_total ? catalog_load32(load->host_total) : 0;
  uint32_t own = select_tally_flight(load->tally, state->now_ns).calls;
  return host > own ? host : own;
}

/* In flight over the cap after one more; negative while there is room. */
static double excess(const struct select_state *state, const struct catalog_view *v,
                     const struct select_group *g, uint32_t row, double fair) {
  union {
    uint32_t word;
    float weight;
  } u = {catalog_load32(&v->rows[row].weight)};
  struct select_place place = select_row_find(state, v, row);
  uint32_t active = select_row_active(v, row, &place, state->now_ns);
  double cap = g->weight > 0 ? fair * (double)u.weight / (double)g->weight : fair / g->count;
  cap = cap > 0 ? cap : 0; /* weights may be damaged */
  double whole = (double)(uint64_t)(cap < 1e15 ? cap : 1e15);
  cap = whole < cap ? whole + 1 : whole;
  return active == SELECT_EJECTED ? 1e18 : active + 1 - cap;
}

static uint32_t pick(struct select_state *state, const struct catalog_view *v,
                     const struct select_ask *ask) {
  uint64_t bits = select_key_bits(state, ask);
  struct select_group g = select_group_of_key(v, bits);
  float bound;
  memcpy(&bound, &v->options[0], sizeof bound);
  double fair = (double)(bound * g.share) * (total_of(state) + 1.0), least = 1e300;
  uint32_t best = SELECT_NOTHING;
  for (uint32_t i = 0; i < PROBES + g.count; i++) {
    /* Maglev's answer, then others of its table; when that many were full, all of them in turn: one
     * has room. */
    uint32_t row = i == 0       ? select_cells_row(v, &g, bits)
                   : i < PROBES ? select_cells_row(v, &g, select_mix(bits + i))
                                : g.first + (uint32_t)((bits + i) % g.count);
    if (row >= v->count)
      return row;
    double over = excess(state, v, &g, row, fair);
    if (!(over > 0))
      return row;
    if (over < least) {
      least = over;
      best = row;
    }
  }
  return best;
}

const struct select_balancer select_maglev_bounded = {.name = "maglev_bounded",
                                                      .number = 10,
                                                      .build = build,
                                                      .pick = pick,
                                                      .quick = SELECT_QUICK,
                                                      .by_load = true,
                                                      .by_key = true};
