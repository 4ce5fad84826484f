/* The cycle of smooth weighted round robin, made when a snapshot is published so that a pick is one
 * load: nginx's ngx_http_upstream_get_peer run once through. Exact over the cycle where the weights
 * are to each other as whole numbers whose sum is at most 4,096; else they are rounded to shares of
 * 4,096, or of twice the rows, at least one each. */
#include "select/select.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { CYCLE_MAX = 4096, SMOOTH_WORK = 1 << 21 };

/* Of its size: what may be missing to a whole number. Two fractions of 4,096 parts at most differ
 * by 6e-8. */
#define NEAR 1e-9

/* The next whole number down, and the nearest, of what is not below 0. Not libm's: what every
 * process links needs libc alone. */
static double whole(double x) {
  return x < 0x1p52 ? (double)(uint64_t)x : x;
}

static double nearest(double x) {
  return whole(x + 0.5);
}

/* The least n, at most `most`, so that x * n is whole but for what doubles lose; 0: none. It is the
 * denominator of one of the fractions that approach x best, which its continued fraction lists. */
static uint32_t denominator(double x, uint32_t most) {
  double n = 1, before = 0, rest = x;
  while (fabs(x * n - nearest(x * n)) > NEAR * x * n) {
    rest = 1 / (rest - whole(rest)); /* inf: it ends in the test below */
    double next = whole(rest) * n + before;
    if (!(next <= most))
      return 0;
    before = n;
    n = next;
  }
  return (uint32_t)n;
}

/* The smallest whole numbers in the weights' proportions, where their sum is small enough. The sum,
 * or 0: it is not. */
static uint32_t turns_exact(const double *weights, uint32_t count, uint32_t most, uint32_t *turns) {
  double largest = 0;
  uint32_t of_largest = 1;
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count; i++)
    largest = weights[i] > largest ? weights[i] : largest;
  for (uint32_t i = 0; i < count && of_largest; i++)
    of_largest *= denominator(weights[i] / largest * of_largest, most / of_largest);
  for (uint32_t i = 0; i < count && sum <= most && of_largest; i++)
    sum += turns[i] = (uint32_t)nearest(weights[i] / largest * of_largest);
  return sum <= most ? (uint32_t)sum : 0;
}

/* Rounded to shares of `cycle`, at least one each; the sum may differ from it a little. */
static uint32_t turns_rounded(const double *weights, uint32_t count, uint32_t cycle,
                              uint32_t *turns) {
  double largest = 0, sum = 0;
  uint32_t total = 0;
  for (uint32_t i = 0; i < count; i++)
    largest = weights[i] > largest ? weights[i] : largest;
  for (uint32_t i = 0; i < count; i++)
    sum += weights[i] / largest;
  for (uint32_t i = 0; i < count; i++) {
    turns[i] = (uint32_t)(weights[i] / largest / sum * cycle + 0.5);
    turns[i] = turns[i] ? turns[i] : 1;
    total += turns[i];
  }
  return total;
}

/* nginx's: all gain their weight, the first of the largest is taken and loses the sum. */
static int smooth(const uint32_t *turns, uint32_t count, uint32_t cycle, uint32_t *order) {
  int64_t *current = calloc(count, sizeof *current);
  if (!current)
    return -ENOMEM;
  for (uint32_t at = 0; at < cycle; at++) {
    uint32_t best = 0;
    for (uint32_t i = 0; i < count; i++) {
      current[i] += turns[i];
      best = current[i] > current[best] ? i : best;
    }
    current[best] -= cycle;
    order[at] = best;
  }
  free(current);
  return 0;
}

struct turn {
  double when;
  uint32_t row;
};

static int by_time(const void *a, const void *b) {
  const struct turn *x = a, *y = b;
  if (x->when != y->when)
    return x->when < y->when ? -1 : 1;
  return x->row < y->row ? -1 : x->row > y->row;
}

/* Where that would be millions of steps: each row's turns at equal distances, from half a distance
 * on. As exact in counts, and as even. */
static int spread(const uint32_t *turns, uint32_t count, uint32_t cycle, uint32_t *order) {
  struct turn *all = malloc(cycle * sizeof *all);
  uint32_t n = 0;
  if (!all)
    return -ENOMEM;
  for (uint32_t i = 0; i < count; i++)
    for (uint32_t k = 0; k < turns[i]; k++)
      all[n++] = (struct turn){(k + 0.5) / turns[i], i};
  qsort(all, n, sizeof *all, by_time);
  for (uint32_t at = 0; at < n; at++)
    order[at] = all[at].row;
  free(all);
  return 0;
}

int select_order_cycle(struct catalog_tables *t) {
  if (t->uniform)
    return select_order_rows(t);
  uint32_t most = t->count > CYCLE_MAX / 2 ? t->count * 2 : CYCLE_MAX;
  double *weights = malloc(t->count * sizeof *weights);
  uint32_t *turns = malloc(t->count * sizeof *turns);
  int r = weights && turns ? 0 : -ENOMEM;
  if (r == 0) {
    select_shared_weights(t, weights);
    t->cycle = turns_exact(weights, t->count, CYCLE_MAX, turns);
    if (!t->cycle)
      t->cycle = turns_rounded(weights, t->count, most, turns);
    t->order = malloc(t->cycle * sizeof *t->order);
    r = t->order ? 0 : -ENOMEM;
  }
  if (r == 0)
    r = (uint64_t)t->cycle * t->count <= SMOOTH_WORK ? smooth(turns, t->count, t->cycle, t->order)
                                                     : spread(turns, t->count, t->cycle, t->order);
  free(weights);
  free(turns);
  return r;
}
