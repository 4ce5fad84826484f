/* Power of two choices with peak EWMA: of two endpoints, drawn by weight, the one with the lower
 * load: its latency, times its requests in flight for its weight plus this one. go-zero's p2c and
 * Finagle's PeakEwma: a slow answer counts at once and is forgotten with time; one that lost its
 * draws for a second (`force`) is taken all the same, so that what is known of it is never old. One
 * of whose calls lately half have failed loses to one that answers, whatever its load, and a pair
 * with such a one, or an ejected one, is drawn anew, three times at most. Without a sample an
 * endpoint counts as fast as the other: it gets its share, and no flood.
 *
 * Options: decay and force, in ms. The reporter decays: select_decay_ns. */
#include "select/group.h"

enum { DECAY_MS = 10000, FORCE_MS = 1000, TRIES = 3, REDRAWS = 3, NEAR = 4096 };
#define FAILING_MOST (1u << 31)

static int build(struct catalog_tables *t) {
  t->options[0] = t->rules->decay_ms ? t->rules->decay_ms : DECAY_MS;
  t->options[1] = t->rules->force_ms ? t->rules->force_ms : FORCE_MS;
  int r = select_group_aliases(t);
  return r < 0 ? r : select_order_rows(t);
}

enum standing { ANSWERS, FAILS, EJECTED };

struct candidate {
  uint32_t row;
  struct select_sample sample;
  double weight; /* over the mean */
  enum standing standing;
};

static struct candidate look_at(const struct catalog_view *v, const struct select_group *g,
                                uint32_t row, const struct select_place *place, uint64_t now_ns) {
  struct candidate c = {.row = row, .weight = 1};
  c.sample = select_row_load(v, row, place, now_ns);
  c.standing = c.sample.ejected_until_ns > now_ns ? EJECTED
               : c.sample.failing > FAILING_MOST  ? FAILS
                                                  : ANSWERS;
  if (!(v->flags & CATALOG_UNIFORM) && g->weight > 0) {
    union {
      uint32_t word;
      float weight;
    } u = {catalog_load32(&v->rows[row].weight)};
    c.weight = (double)u.weight * g->count / (double)g->weight;
    c.weight = c.weight > 0 ? c.weight : 1;
  }
  return c;
}

static double load_of(const struct candidate *c, uint64_t latency_ns) {
  return (double)latency_ns * (c->sample.in_flight / c->weight + 1);
}

/* Whether `b` is the better of the two. Equal: the one that was drawn first. */
static bool prefers_second(const struct candidate *a, const struct candidate *b) {
  uint64_t x = a->sample.latency_ns, y = b->sample.latency_ns;
  if (a->standing != b->standing)
    return a->standing > b->standing;
  x = x ? x : y ? y : 1;
  y = y ? y : x;
  return load_of(b, y) < load_of(a, x);
}

static uint32_t draw_other(struct select_state *state, const struct catalog_view *v,
                           const struct select_group *g, uint32_t row) {
  for (int i = 0; i < REDRAWS; i++) {
    uint32_t other = select_group_draw(v, g, select_random_next(state));
    if (other != row)
      return other;
  }
  return row + 1 < g->first + g->count ? row + 1 : g->first;
}

struct pair {
  uint32_t first, second;
};

static struct pair draw(struct select_state *state, const struct catalog_view *v,
                        const struct select_group *g) {
  uint32_t first = select_group_draw(v, g, select_random_next(state));
  return (struct pair){first, draw_other(state, v, g, first)};
}

/* False: a damaged table. */
static bool is_whole(const struct catalog_view *v, struct pair p) {
  return p.first < v->count && p.second < v->count;
}

static struct select_group group_of_pick(struct select_state *state, const struct catalog_view *v) {
  return v->top ? select_group_choose(v, select_random_next(state)) : select_group_whole(v);
}

/* Of many endpoints no cache holds what is known of them. What the next picks will draw is known by
 * the generator as it stands: of the third the alias table's cells are asked for, of the second,
 * whose cells are there by now, the slots' numbers, and of the next, whose numbers are there, rows
 * and counts. So no pick waits for more than the last of its loads. Out of line: most sets are not
 * that large. */
static __attribute__((noinline)) void look_ahead(struct select_state next,
                                                 const struct catalog_view *v) {
  struct select_group g = group_of_pick(&next, v);
  struct pair p = draw(&next, v, &g);
  if (is_whole(v, p)) {
    select_row_ask(&next, v, p.first);
    select_row_ask(&next, v, p.second);
  }
  g = group_of_pick(&next, v);
  p = draw(&next, v, &g);
  if (v->slots && is_whole(v, p)) {
    __builtin_prefetch(&v->slots[p.first]);
    __builtin_prefetch(&v->slots[p.second]);
  }
  g = group_of_pick(&next, v);
  select_group_ask(v, &g, select_random_next(&next));
  select_group_ask(v, &g, select_random_next(&next));
}

static uint32_t pick(struct select_state *state, const struct catalog_view *v,
                     const struct select_ask *ask) {
  struct select_group g = group_of_pick(state, v);
  if (g.count == 1)
    return g.first;
  uint64_t now = state->now_ns, force = v->options[1] * 1000000ull;
  struct candidate a, b, chosen, other;
  for (int i = 0; i < TRIES; i++) {
    struct pair p = draw(state, v, &g);
    if (!is_whole(v, p)) /* the caller finds out */
      return SELECT_NOTHING;
    struct select_place x = select_row_ask(state, v, p.first),
                        y = select_row_ask(state, v, p.second);
    if (v->pickable > NEAR)
      look_ahead(*state, v);
    a = look_at(v, &g, p.first, &x, now);
    b = look_at(v, &g, p.second, &y, now);
    if (a.standing == ANSWERS && b.standing == ANSWERS)
      break;
  }
  bool takes_second = prefers_second(&a, &b);
  chosen = takes_second ? b : a;
  other = takes_second ? a : b;
  uint64_t picked = other.sample.picked_ns;
  return picked && picked + force < now && other.standing != EJECTED ? other.row : chosen.row;
}

const struct select_balancer select_p2c_ewma = {.name = "p2c_ewma",
                                                .number = 6,
                                                .build = build,
                                                .pick = pick,
                                                .by_load = true,
                                                .by_latency = true};

uint64_t select_decay_ns(const struct catalog_view *v) {
  uint64_t ms = v->balancer == select_p2c_ewma.number ? v->options[0] : DECAY_MS;
  return ms * 1000000;
}
