/* Least request: of `choices` endpoints the one with the fewest requests in flight, on the host's
 * counts. Where all weigh the same, the choices are drawn at random (Envoy's "power of N choices").
 * Where they do not, the first is the next of the weighted cycle, which keeps its turn with the
 * probability ((fewest + 1) / (its own + 1))^bias, and the others are drawn by weight: the shares
 * go as Envoy's weight / (active + 1)^bias does, without a queue that every pick would have to
 * reorder. Bias 0 is weighted round robin to the pick.
 *
 * Options: choices, the bias as a float's bits. */
#include "select/group.h"
#include "select/math.h"

#include <errno.h>
#include <string.h>

enum { CHOICES = 2, CHOICES_MAX = 16 };

static int build(struct catalog_tables *t) {
  float bias = t->rules->unbiased ? 0 : t->rules->bias > 0 ? (float)t->rules->bias : 1;
  t->options[0] = t->rules->choices ? t->rules->choices : CHOICES;
  memcpy(&t->options[1], &bias, sizeof bias);
  int r = select_group_aliases(t);
  return r < 0 ? r : select_order_cycle(t);
}

struct candidate {
  uint32_t row;
  uint32_t active; /* or SELECT_EJECTED, which is more than any */
};

static inline __attribute__((always_inline)) struct candidate
look_at(const struct select_state *state, const struct catalog_view *v, uint32_t row) {
  struct select_place place = select_row_find(state, v, row);
  return (struct candidate){row, select_row_active(v, row, &place, state->now_ns)};
}

/* The group that a row is in; there are few. */
static struct select_group group_of(const struct catalog_view *v, uint32_t row) {
  for (uint32_t i = 0; i < v->group_count; i++) {
    struct select_group g = select_group_at(v, i);
    if (row - g.first < g.count)
      return g;
  }
  return select_group_at(v, 0);
}

static uint32_t draw_other(struct select_state *state, const struct catalog_view *v,
                           const struct select_group *g, uint32_t row) {
  uint32_t other = select_group_draw(v, g, select_random_next(state));
  if (other == row)
    other = row + 1 < g->first + g->count ? row + 1 : g->first;
  return other;
}

static bool keeps_turn(struct select_state *state, const struct candidate *first,
                       const struct candidate *fewest, float bias) {
  if (first->active == SELECT_EJECTED)
    return fewest->active == SELECT_EJECTED;
  if (first->active <= fewest->active || !(bias > 0))
    return true;
  double part = ((double)fewest->active + 1) / ((double)first->active + 1);
  if (bias != 1)
    part = select_exp_minus(-select_ln(part) * (double)bias);
  return (double)(select_random_next(state) >> 11) * 0x1p-53 < part;
}

static uint32_t pick(struct select_state *state, const struct catalog_view *v,
                     const struct select_ask *ask) {
  float bias;
  uint32_t choices = v->options[0] < CHOICES_MAX ? v->options[0] : CHOICES_MAX;
  choices = choices ? choices : 1;
  memcpy(&bias, &v->options[1], sizeof bias);
  bool uniform = (v->flags & CATALOG_UNIFORM) && bias > 0;
  struct select_group g = select_group_whole(v);
  uint32_t row =
      uniform ? select_group_draw(v, &g, select_random_next(state)) : select_walk(state, v);
  if (row >= v->count) /* a damaged table: the caller finds out */
    return SELECT_NOTHING;
  if (v->top)
    g = group_of(v, row);
  struct candidate first = look_at(state, v, row), fewest = first;
  for (uint32_t i = 1; i < choices; i++) {
    uint32_t other = draw_other(state, v, &g, row);
    if (other >= v->count)
      return SELECT_NOTHING;
    struct candidate c = look_at(state, v, other);
    fewest = c.active < fewest.active ? c : fewest;
  }
  return uniform || !keeps_turn(state, &first, &fewest, bias) ? fewest.row : first.row;
}

const struct select_balancer select_least_request = {
    .name = "least_request", .number = 5, .build = build, .pick = pick, .by_load = true};
