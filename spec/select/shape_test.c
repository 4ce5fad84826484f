/* The modifiers: Envoy's tables of priorities and panic, zones in the fluid model, slow start's
 * curve, subsets; and the groups that they make of a snapshot. */
#include "select/fixture.h"
#include "select/math.h"
#include "select/shape.h"

#define NEAR(a, b, within) assert_true(fabs((a) - (b)) <= (within))

/* In percent; healthy of 100 endpoints at each level. */
struct priority_row {
  uint32_t levels, healthy[3];
  double traffic[3];
  bool panics[3];
};

/* Envoy's documentation, "Priority levels" and "Panic threshold" (at 50 %). Its percents are whole
 * numbers, so they are met within one. Two rows of the latter's older editions (50/60 and 25/100)
 * contradict the formula beside them; here they are as the formula has them. */
static const struct priority_row priority_table[] = {
    {2, {100, 100}, {100, 0}, {0}},
    {2, {72, 100}, {100, 0}, {0}},
    {2, {71, 100}, {99, 1}, {0}},
    {2, {50, 100}, {70, 30}, {0}},
    {2, {25, 100}, {35, 65}, {0}},
    {2, {0, 100}, {0, 100}, {0}},
    {2, {72, 72}, {100, 0}, {0}},
    {2, {71, 71}, {99, 1}, {0}},
    {2, {50, 50}, {70, 30}, {0}},
    {2, {50, 60}, {70, 30}, {0}},
    {2, {25, 25}, {50, 50}, {true, true}},
    {2, {5, 65}, {7, 93}, {true, false}},
    {3, {100, 100, 100}, {100, 0, 0}, {0}},
    {3, {72, 72, 100}, {100, 0, 0}, {0}},
    {3, {71, 71, 100}, {99, 1, 0}, {0}},
    {3, {50, 50, 100}, {70, 30, 0}, {0}},
    {3, {25, 100, 100}, {35, 65, 0}, {0}},
    {3, {25, 25, 100}, {35, 35, 30}, {0}},
    {3, {25, 25, 20}, {36, 36, 28}, {true, true, true}},
    {2, {0, 0}, {100, 0}, {true, true}},
};

static void priorities_and_panic(void **state) {
  for (size_t i = 0; i < sizeof priority_table / sizeof priority_table[0]; i++) {
    const struct priority_row *row = &priority_table[i];
    struct select_tier tiers[3];
    double sum = 0;
    for (uint32_t k = 0; k < row->levels; k++)
      tiers[k] = (struct select_tier){.total = 100, .healthy = row->healthy[k]};
    select_tier_loads(tiers, row->levels, 1.4, 0.5);
    for (uint32_t k = 0; k < row->levels; k++) {
      NEAR(tiers[k].load * 100, row->traffic[k], 1);
      assert_int_equal(tiers[k].panics, row->panics[k]);
      sum += tiers[k].load;
    }
    NEAR(sum, 1, 1e-12);
  }
}

/* If every zone's clients send by their own shares, every endpoint gets the same, whatever the
 * zones' sizes; and as much as can be stays at home. */
static void zones_load_all_alike(void **state) {
  enum { ZONES = 5 };
  struct select_state random = {.random = 3};
  for (int round = 0; round < 2000; round++) {
    double upstream[ZONES], clients[ZONES], shares[ZONES], got[ZONES] = {0};
    double up = 0, down = 0;
    uint32_t zones = 2 + (uint32_t)(select_random_next(&random) % (ZONES - 1));
    for (uint32_t i = 0; i < zones; i++) {
      up += upstream[i] = (double)(1 + select_random_next(&random) % 20);
      down += clients[i] = (double)(1 + select_random_next(&random) % 20);
    }
    for (uint32_t i = 0; i < zones; i++) {
      upstream[i] /= up;
      clients[i] /= down;
    }
    for (uint32_t own = 0; own < zones; own++) {
      double sum = 0;
      assert_true(select_zone_shares(upstream, clients, zones, own, shares));
      for (uint32_t i = 0; i < zones; i++) {
        assert_true(shares[i] >= 0);
        sum += shares[i];
        got[i] += clients[own] * shares[i];
      }
      NEAR(sum, 1, 1e-12);
      NEAR(shares[own], upstream[own] < clients[own] ? upstream[own] / clients[own] : 1, 1e-12);
    }
    for (uint32_t i = 0; i < zones; i++)
      NEAR(got[i], upstream[i], 1e-9); /* each zone what it can bear */
  }
}

/* Envoy's examples in words: the own zone suffices; it does not, and the rest goes by what is over.
 */
static void zone_examples(void **state) {
  double shares[3];
  assert_true(select_zone_shares((double[]){0.5, 0.5}, (double[]){0.4, 0.6}, 2, 0, shares));
  NEAR(shares[0], 1, 1e-12);
  assert_true(
      select_zone_shares((double[]){0.2, 0.4, 0.4}, (double[]){0.4, 0.3, 0.3}, 3, 0, shares));
  NEAR(shares[0], 0.5, 1e-12);
  NEAR(shares[1], 0.25, 1e-12);
  assert_false(select_zone_shares((double[]){0.5, 0.5}, (double[]){1, 1}, 2, 0, shares));
}

static void slow_start_curve(void **state) {
  const uint64_t second = 1000000000, window = 30 * second;
  static const double aggressions[] = {1, 2, 0.5};
  for (size_t a = 0; a < 3; a++) {
    double last = 0;
    for (uint64_t t = 0; t <= 40; t++) {
      double part = select_slow_start(t * second, window, aggressions[a], 0.1);
      assert_true(part >= last && part >= 0.1 && part <= 1);
      if (t > 0 && t < 30)
        NEAR(part, fmax(0.1, pow((double)t / 30, 1 / aggressions[a])), 1e-6);
      else
        NEAR(part, t == 0 ? fmax(0.1, pow(1.0 / 30, 1 / aggressions[a])) : 1, 1e-6);
      last = part;
    }
    assert_true(last == 1); /* exactly its weight in the end */
  }
}

static void logarithms(void **state) {
  for (double x = 1e-9; x < 1e9; x *= 1.37) {
    NEAR(select_ln(x), log(x), 1e-9 * fmax(1, fabs(log(x))));
    if (x < 600)
      NEAR(select_exp_minus(x), exp(-x), 1e-9);
  }
}

/* One more endpoint takes one place at most; the order does not matter; hosts differ. */
static void subsets_are_stable(void **state) {
  enum { COUNT = 200, SIZE = 20 };
  static const char *names[COUNT], *reversed[COUNT];
  static bool keep[COUNT], more[COUNT];
  uint32_t used[COUNT] = {0};
  fill(COUNT, 1);
  for (uint32_t i = 0; i < COUNT; i++)
    names[i] = reversed[COUNT - 1 - i] = ids[i];
  for (uint64_t host = 0; host < 200; host++) {
    uint32_t left = 0, kept = 0;
    assert_int_equal(select_subset(names, COUNT - 1, SIZE, select_mix(host + 1), keep), 0);
    assert_int_equal(select_subset(names, COUNT, SIZE, select_mix(host + 1), more), 0);
    for (uint32_t i = 0; i < COUNT - 1; i++) {
      left += keep[i] && !more[i];
      kept += keep[i];
      used[i] += keep[i];
      assert_false(more[i] && !keep[i]);
    }
    assert_int_equal(kept, SIZE);
    assert_int_equal(left, more[COUNT - 1] ? 1 : 0);
    assert_int_equal(select_subset(reversed, COUNT, SIZE, select_mix(host + 1), keep), 0);
    for (uint32_t i = 0; i < COUNT; i++)
      assert_int_equal(keep[COUNT - 1 - i], more[i]);
  }
  for (uint32_t i = 0; i < COUNT - 1; i++)
    assert_true(used[i] > 3 && used[i] < 50); /* 20 expected */
}

static double part_of(const double *parts, uint32_t from, uint32_t to) {
  double sum = 0;
  while (from < to)
    sum += parts[from++];
  return sum;
}

/* A whole snapshot: two levels, zones, both in one weight vector and in the groups. */
static void levels_and_zones_in_a_block(void **state) {
  static const struct catalog_pair second = {"level", "1"};
  double parts[40];
  fill(40, 1);
  for (uint32_t i = 0; i < 40; i++) {
    endpoints[i].meta = i >= 20 ? &second : NULL;
    endpoints[i].meta_count = i >= 20;
    endpoints[i].status = i % 2 && i < 20 ? 2 : 0; /* half of the first level */
    endpoints[i].zone = i % 4 == 0 ? "here" : "there";
  }
  struct catalog_rules rules = {
      .priority = true, .priority_key = "level", .zone = true, .zone_min = 1, .own_zone = "here"};
  struct catalog_view v = build_with("weighted", &rules, 40);
  shares_of(&v, 40, parts);
  NEAR(part_of(parts, 0, 20), 0.7, 1e-6);
  NEAR(part_of(parts, 20, 40), 0.3, 1e-6);
  /* The first level's healthy ones: 5 here, 5 there; the second's: 5 here, 15 there. */
  NEAR(parts[0], 0.7 / 5, 1e-6);
  NEAR(parts[2], 0, 1e-6);
  NEAR(parts[20], 0.3 * 0.5 / 5, 1e-6);
  NEAR(parts[21], 0.3 * 0.5 / 15, 1e-6);
  assert_int_equal(v.group_count, 3);

  /* The same shares from the balancers that have no use for the alias table. */
  static const char *const others[] = {"round_robin", "p2c", "least_request", "random"};
  for (size_t b = 0; b < 4; b++) {
    enum { PICKS = 200000 };
    uint32_t counts[40] = {0};
    struct select_state s = {.random = 5};
    v = build_with(others[b], &rules, 40);
    for (int i = 0; i < PICKS; i++)
      counts[pick_number(&s, &v, NULL)]++;
    for (uint32_t i = 0; i < 40; i++)
      NEAR(counts[i] / (double)PICKS, parts[i], 0.004);
  }
}

static void panic_and_ejection(void **state) {
  struct catalog_rules rules = {.panic = 0.5};
  fill(10, 1);
  for (uint32_t i = 0; i < 6; i++)
    endpoints[i].status = 2;
  assert_int_equal(build("weighted", 10).pickable, 4); /* off unless one asks for it */
  struct catalog_view v = build_with("weighted", &rules, 10);
  assert_int_equal(v.pickable, 10);
  assert_true(v.flags & CATALOG_PANIC && !(v.flags & CATALOG_FAIL_OPEN));
  endpoints[0].status = 0;
  assert_int_equal(build_with("weighted", &rules, 10).pickable, 5);

  fill(4, 1);
  endpoints[1].ejected = true;
  assert_int_equal(build("weighted", 4).pickable, 3);
  for (uint32_t i = 0; i < 4; i++)
    endpoints[i].ejected = true;
  assert_int_equal(build("weighted", 4).pickable, 4); /* never the last */
}

static void slow_start_and_subset_in_a_block(void **state) {
  double parts[10];
  struct catalog_rules rules = {.slow_start_ns = 30000000000};
  fill(10, 2);
  endpoints[3].born_ns = 1000000000000 - 15000000000; /* half its window ago */
  struct catalog_view v = build_with("round_robin", &rules, 10);
  shares_of(&v, 10, parts);
  NEAR(parts[3], 0.5 / 9.5, 1e-6);
  NEAR(parts[4], 1 / 9.5, 1e-6);
  uint32_t counts[10] = {0};
  for (uint32_t i = 0; i < v.cycle; i++)
    counts[number_of(&v, v.order[i])]++;
  NEAR(counts[3] / (double)v.cycle, 0.5 / 9.5, 1 / 4096.0);

  rules = (struct catalog_rules){.subset = 4, .subset_seed = 7};
  v = build_with("random", &rules, 10);
  assert_int_equal(v.pickable, 4);
  assert_int_equal(v.count, 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(priorities_and_panic),
      cmocka_unit_test(zones_load_all_alike),
      cmocka_unit_test(zone_examples),
      cmocka_unit_test(slow_start_curve),
      cmocka_unit_test(logarithms),
      cmocka_unit_test(subsets_are_stable),
      cmocka_unit_test(levels_and_zones_in_a_block),
      cmocka_unit_test(panic_and_ejection),
      cmocka_unit_test(slow_start_and_subset_in_a_block),
  };
  return cmocka_run_group_tests(tests, NULL, end_draft);
}
