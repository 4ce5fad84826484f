/* Outlier detection: golden vectors for Envoy's three rules, the table of how many may be ejected,
 * how long, and that no order of reports ever ejects too many or the last. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/value.h"
#include "select/select.h"
#include "watch/balancer.h"
#include "watch/outlier.h"

enum { MOST_ENDPOINTS = 24 };
#define SECOND 1000000000ll

/* Envoy's, as the configuration has them. */
static const struct outlier_rules defaults = {.consecutive = 5,
                                              .interval_ns = 10 * SECOND,
                                              .ejection_ns = 30 * SECOND,
                                              .longest_ns = 300 * SECOND,
                                              .most = 0.1,
                                              .factor = 1.9,
                                              .rate_endpoints = 5,
                                              .rate_requests = 100,
                                              .failure_endpoints = 5,
                                              .failure_requests = 50};

struct scene {
  struct outlier_group group;
  struct outlier_endpoint endpoints[MOST_ENDPOINTS], *list[MOST_ENDPOINTS];
  enum outlier_reason reasons[MOST_ENDPOINTS]; /* of the last change of each */
  int changes;
};

static void scene_begin(struct scene *s, uint32_t count, double most) {
  memset(s, 0, sizeof *s);
  s->group.rules = defaults;
  s->group.rules.most = most;
  for (uint32_t i = 0; i < count; i++) {
    s->endpoints[i].healthy = true;
    s->list[i] = &s->endpoints[i];
  }
  outlier_members(&s->group, s->list, count);
}

static void note(void *arg, uint32_t i, enum outlier_reason reason) {
  struct scene *s = arg;
  s->reasons[i] = reason;
  s->changes++;
}

static void sweep(struct scene *s, int64_t now_ns) {
  s->changes = 0;
  assert_int_equal(outlier_sweep(&s->group, now_ns, note, s), 0);
}

static bool is_out(const struct scene *s, uint32_t i) {
  return s->endpoints[i].ejected_until_ns != 0;
}

static void how_many_at_most(void **state) {
  static const struct {
    double most;
    uint32_t count, expected;
  } table[] = {{0.1, 1, 0},  {0.1, 2, 0},  {0.1, 3, 0}, {0.1, 9, 0}, {0.1, 10, 1}, {0.1, 19, 1},
               {0.1, 20, 2}, {0.5, 1, 0},  {0.5, 2, 1}, {0.5, 3, 1}, {0.5, 4, 2},  {0.5, 10, 5},
               {0.3, 10, 3}, {0.7, 10, 7}, {1, 1, 1},   {1, 10, 10}, {0, 10, 0},   {0.29, 100, 29}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    struct outlier_rules rules = {.most = table[i].most};
    assert_int_equal(outlier_most(&rules, table[i].count), table[i].expected);
  }
}

static void five_in_a_row(void **state) {
  struct scene s;
  scene_begin(&s, 10, 0.1);
  for (int i = 0; i < 4; i++)
    assert_false(outlier_report(&s.group, 3, 0, 1, SECOND));
  assert_false(outlier_report(&s.group, 3, 1, 0, SECOND)); /* a success ends the row */
  for (int i = 0; i < 4; i++)
    assert_false(outlier_report(&s.group, 3, 0, 1, SECOND));
  assert_false(outlier_report(&s.group, 4, 1, 9, SECOND)); /* one among nine: no row is known */
  assert_true(outlier_report(&s.group, 3, 0, 1, SECOND));
  assert_int_equal(s.endpoints[3].ejected_until_ns, 31 * SECOND);
  /* One of ten is out: no other may follow. */
  assert_false(outlier_report(&s.group, 5, 0, 50, SECOND));
  assert_int_equal(s.group.available, 9);
}

static void it_lasts_longer_each_time(void **state) {
  static const int64_t expected[] = {30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300};
  struct scene s;
  scene_begin(&s, 10, 0.1);
  int64_t now = 1000 * SECOND;
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    assert_true(outlier_report(&s.group, 0, 0, 5, now));
    assert_int_equal(s.endpoints[0].ejected_until_ns, now + expected[i] * SECOND);
    sweep(&s, now + expected[i] * SECOND - 1);
    assert_int_equal(s.changes, 0);
    now += expected[i] * SECOND;
    sweep(&s, now);
    assert_int_equal(s.changes, 1);
    assert_int_equal(s.reasons[0], OUTLIER_NONE);
    assert_false(is_out(&s, 0));
  }
  /* Each interval without an ejection takes one off. */
  uint32_t was = s.endpoints[0].ejections;
  for (uint32_t i = 0; i < was; i++)
    sweep(&s, now += 10 * SECOND);
  assert_int_equal(s.endpoints[0].ejections, 0);
  assert_true(outlier_report(&s.group, 0, 0, 5, now));
  assert_int_equal(s.endpoints[0].ejected_until_ns, now + 30 * SECOND);
}

/* Good reports of 1,000 each, and who is ejected: worked out by hand from mean - 1.9 * deviation.
 */
static void success_rates(void **state) {
  static const struct {
    uint32_t count, good[10], requests;
    uint32_t out; /* a bit each */
  } vectors[] = {
      /* mean 900, deviation 200: below 520 */
      {5, {1000, 1000, 1000, 1000, 500}, 1000, 1u << 4},
      /* mean 860, deviation 120.0: below 632 */
      {5, {900, 920, 940, 920, 620}, 1000, 1u << 4},
      /* mean 700, deviation 244.9: below 234.6, which none is */
      {5, {1000, 900, 700, 600, 300}, 1000, 0},
      /* all fail alike */
      {5, {100, 100, 100, 100, 100}, 1000, 0},
      /* only four: too few to compare */
      {4, {1000, 1000, 1000, 0}, 1000, 0},
      /* five, but nobody had a hundred calls */
      {5, {99, 99, 99, 99, 0}, 99, 0},
      /* mean 990, deviation 30: below 933 */
      {10, {1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 900}, 1000, 1u << 9},
  };
  for (size_t v = 0; v < sizeof vectors / sizeof *vectors; v++) {
    struct scene s;
    scene_begin(&s, vectors[v].count, 0.5);
    s.group.rules.consecutive = 0;
    for (uint32_t i = 0; i < vectors[v].count; i++)
      outlier_report(&s.group, i, vectors[v].good[i], vectors[v].requests - vectors[v].good[i], 0);
    sweep(&s, 10 * SECOND);
    for (uint32_t i = 0; i < vectors[v].count; i++) {
      assert_int_equal(is_out(&s, i), vectors[v].out >> i & 1);
      if (is_out(&s, i))
        assert_int_equal(s.reasons[i], OUTLIER_RATE);
      assert_int_equal(s.endpoints[i].good + s.endpoints[i].bad, 0);
    }
  }
}

static void failure_shares(void **state) {
  struct scene s;
  scene_begin(&s, 5, 0.5);
  s.group.rules.consecutive = 0;
  s.group.rules.factor = 0;
  for (int round = 0; round < 2; round++) {
    s.group.rules.failure_share =
        round == 0 ? 0 : 0.85; /* off, as Envoy has it, until it is asked for */
    for (uint32_t i = 0; i < 5; i++)
      outlier_report(&s.group, i,
                     i == 2   ? 15
                     : i == 3 ? 16
                              : 100,
                     i == 2   ? 85
                     : i == 3 ? 84
                              : 0,
                     0);
    sweep(&s, (10 + round) * SECOND);
    assert_int_equal(is_out(&s, 2), round);
    assert_int_equal(s.group.ejected, round);
  }
  assert_int_equal(s.reasons[2], OUTLIER_FAILURES);
}

/* Any reports in any order, any share, any health: never too many, never the last healthy one. */
static void never_too_many(void **state) {
  struct select_state random = {.random = 42};
  for (int round = 0; round < 300; round++) {
    struct scene s;
    uint32_t count = 1 + (uint32_t)(select_random_next(&random) % MOST_ENDPOINTS);
    scene_begin(&s, count, (double)(select_random_next(&random) % 101) / 100);
    s.group.rules.failure_share = 0.5;
    for (uint32_t i = 0; i < count; i++)
      s.endpoints[i].healthy = select_random_next(&random) % 4 != 0;
    outlier_members(&s.group, s.list, count);
    bool any_healthy = s.group.available > 0;
    int64_t now = SECOND;
    for (int step = 0; step < 200; step++) {
      uint32_t i = (uint32_t)(select_random_next(&random) % count);
      outlier_report(&s.group, i, select_random_next(&random) % 3 == 0,
                     (uint32_t)(select_random_next(&random) % 300), now);
      if (step % 20 == 19)
        sweep(&s, now += 10 * SECOND);
      uint32_t out = 0, left = 0;
      for (uint32_t k = 0; k < count; k++) {
        out += is_out(&s, k);
        left += !is_out(&s, k) && s.endpoints[k].healthy;
      }
      assert_true(out <= outlier_most(&s.group.rules, count));
      assert_true(left > 0 || !any_healthy);
      assert_int_equal(out, s.group.ejected);
      assert_int_equal(left, s.group.available);
    }
  }
}

/* What the configuration says when it says nothing, and what it may not say. */
static struct value *stage_of(const char *option, struct value *v) {
  struct value *stages = value_table(), *stage = value_table();
  assert_int_equal(value_append(stage, value_text("outlier", 7)), 0);
  assert_int_equal(value_set(stage, option, v), 0);
  assert_int_equal(value_append(stages, stage), 0);
  assert_int_equal(value_append(stages, value_text("p2c", 3)), 0);
  return stages;
}

static void the_stage(void **state) {
  struct balancer b;
  struct fault f;
  struct value *stages = stage_of("interval", value_text("250ms", 5));
  assert_int_equal(balancer_parse(stages, NULL, &b, &f), 0);
  assert_int_equal(b.outlier.interval_ns, SECOND / 4);
  b.outlier.interval_ns = defaults.interval_ns;
  assert_memory_equal(&b.outlier, &defaults, sizeof defaults);
  balancer_end(&b);
  value_unref(stages);
  static const struct {
    const char *option;
    double number;
  } wrong[] = {{"most", 1.5}, {"most", -1},   {"consecutive", 2.5}, {"interval", 10},
               {"mots", 0.5}, {"factor", -1}, {"rate_requests", -5}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    stages = stage_of(wrong[i].option, value_number(wrong[i].number));
    assert_int_equal(balancer_parse(stages, NULL, &b, &f), -EINVAL);
    assert_non_null(strstr(f.text, wrong[i].option));
    value_unref(stages);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(how_many_at_most),
      cmocka_unit_test(five_in_a_row),
      cmocka_unit_test(it_lasts_longer_each_time),
      cmocka_unit_test(success_rates),
      cmocka_unit_test(failure_shares),
      cmocka_unit_test(never_too_many),
      cmocka_unit_test(the_stage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
