/* What the balancers promise, on tables built in private memory: exact counts, exact shares. */
#include "select/fixture.h"

enum { MOST = 3000 };

static double weights[MOST];
static struct catalog_alias alias[MOST];

static void fill_weights(uint32_t count, double weight) {
  for (uint32_t i = 0; i < count; i++)
    weights[i] = weight;
}

static void names_and_numbers(void **state) {
  for (unsigned i = 0; select_at(i); i++) {
    assert_ptr_equal(select_by_name(select_at(i)->name), select_at(i));
    assert_ptr_equal(select_by_number(select_at(i)->number), select_at(i));
    for (unsigned j = 0; j < i; j++)
      assert_int_not_equal(select_at(i)->number, select_at(j)->number);
  }
  assert_null(select_by_name("least_loaded_of_all"));
  assert_ptr_equal(select_by_name(NULL), &select_p2c_ewma);
  assert_ptr_equal(select_by_number(4711), &select_weighted); /* every block has its table */
  assert_ptr_equal(select_by_name("p2c"), &select_p2c_ewma);
  struct catalog_tables t = {.balancer = "no such"};
  assert_int_equal(catalog_tables_build(&t), -EINVAL);
  t.balancer = "random";
  assert_int_equal(catalog_tables_build(&t), 0);
}

static void round_robin_is_exact(void **state) {
  static const uint32_t counts[] = {1, 2, 3, 7, 10, 1000, MOST};
  for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
    uint32_t count = counts[c], picked[MOST] = {0}, last = 0;
    fill(count, 1);
    struct catalog_view v = build("round_robin", count);
    struct select_state s = {.cursor = 0xfffffff0u + (uint32_t)c}; /* any value, wrapping too */
    for (uint32_t i = 0; i < count * 3; i++) {
      uint32_t row = select_round_robin.pick(&s, &v, NULL);
      assert_true(row < count);
      assert_true(i == 0 || row == (last + 1) % count);
      picked[row]++;
      last = row;
    }
    for (uint32_t i = 0; i < count; i++)
      assert_int_equal(picked[i], 3);
  }
}

/* Handles begin everywhere: 10,000 random cursors over 10 rows, chi square with 9 degrees of
 * freedom below 33.7 (p = 1e-4); the seed is fixed. */
static void round_robin_begins_anywhere(void **state) {
  double chi = 0;
  uint32_t first[10] = {0};
  struct select_state random = {.random = 42};
  fill(10, 1);
  struct catalog_view v = build("round_robin", 10);
  for (int i = 0; i < 10000; i++) {
    struct select_state s = {.cursor = (uint32_t)select_random_next(&random)};
    first[select_round_robin.pick(&s, &v, NULL)]++;
  }
  for (int i = 0; i < 10; i++)
    chi += (first[i] - 1000.0) * (first[i] - 1000.0) / 1000;
  assert_true(chi < 33.7);
}

/* Over a snapshot that shrinks and grows the rotation never leaves it. */
static void round_robin_follows_the_snapshot(void **state) {
  struct select_state s = {.cursor = 1}, random = {.random = 7};
  fill(50, 1);
  for (int i = 0; i < 2000; i++) {
    uint32_t count = 1 + (uint32_t)(select_random_next(&random) % 50);
    struct catalog_view v = build("round_robin", count);
    for (int k = 0; k < 3; k++)
      assert_true(select_round_robin.pick(&s, &v, NULL) < count);
  }
}

/* How many parts of count * 2^32 each row has in the table. */
static void sum_cells(uint32_t count, uint64_t *parts) {
  memset(parts, 0, count * sizeof *parts);
  for (uint32_t i = 0; i < count; i++) {
    uint64_t own = alias[i].other == i ? 1ull << 32 : alias[i].own;
    assert_true(alias[i].other < count);
    parts[i] += own;
    parts[alias[i].other] += (1ull << 32) - own;
  }
}

static void check_alias(uint32_t count) {
  static uint64_t parts[MOST];
  long double sum = 0, total = (long double)count * 4294967296.0L, most = 0;
  uint64_t given = 0;
  assert_int_equal(select_alias_build(weights, count, alias), 0);
  sum_cells(count, parts);
  for (uint32_t i = 0; i < count; i++) {
    sum += weights[i];
    most = weights[i] > most ? weights[i] : most;
    given += parts[i];
  }
  assert_true(given == (uint64_t)count << 32);
  for (uint32_t i = 0; i < count; i++) {
    long double exact = weights[i] / sum * total, difference = (long double)parts[i] - exact;
    assert_true(parts[i] >= 1); /* what has a weight is picked */
    if (weights[i] < most)
      assert_true(difference <= 1 && difference >= -1);
    else
      assert_true(difference <= count && difference >= -(long double)count);
  }
}

static void alias_tables_are_exact(void **state) {
  struct select_state random = {.random = 20240229};
  for (int round = 0; round < 400; round++) {
    uint32_t count = 1 + (uint32_t)(select_random_next(&random) % (round % 8 ? 40 : 2000));
    for (uint32_t i = 0; i < count; i++) {
      uint64_t r = select_random_next(&random);
      switch (round % 5) {
      case 0:
        weights[i] = 1 + (double)(r % 10);
        break;
      case 1:
        weights[i] = (double)(r >> 11) * 0x1p-53 + 1e-9;
        break;
      case 2:
        weights[i] = ldexp(1, (int)(r % 40) - 20);
        break;
      case 3:
        weights[i] = i == 0 ? 1e6 : 1;
        break;
      default:
        weights[i] = r % 2 ? 0.1 : 0.3;
        break;
      }
    }
    check_alias(count);
  }
}

static void alias_tables_bear_extremes(void **state) {
  fill_weights(3, 1e308);
  weights[1] = 5e-324;
  check_alias(3);
  fill_weights(MOST, 5e-324);
  check_alias(MOST);
  fill_weights(MOST, 5e-324);
  weights[MOST - 1] = 1e308;
  check_alias(MOST);
  weights[0] = 0.25;
  check_alias(1);
}

/* 1,000,000 picks at a fixed seed against the weights: chi square, 9 degrees, p = 1e-4. */
static void weighted_picks_by_weight(void **state) {
  uint32_t picked[10] = {0};
  double chi = 0;
  fill(10, 1);
  for (int i = 0; i < 10; i++)
    endpoints[i].weight = i + 1;
  struct catalog_view v = build("weighted", 10);
  struct select_state s = {.random = 99};
  for (int i = 0; i < 1000000; i++)
    picked[select_weighted.pick(&s, &v, NULL)]++;
  for (int i = 0; i < 10; i++) {
    double expected = 1000000.0 * (i + 1) / 55;
    chi += (picked[i] - expected) * (picked[i] - expected) / expected;
  }
  assert_true(chi < 33.7);
}

static void random_ignores_weights(void **state) {
  uint32_t picked[10] = {0};
  double chi = 0;
  fill(10, 1);
  for (int i = 0; i < 10; i++)
    endpoints[i].weight = i + 1;
  struct catalog_view v = build("random", 10);
  struct select_state s = {.random = 99};
  for (int i = 0; i < 1000000; i++)
    picked[select_random.pick(&s, &v, NULL)]++;
  for (int i = 0; i < 10; i++)
    chi += (picked[i] - 100000.0) * (picked[i] - 100000.0) / 100000;
  assert_true(chi < 33.7);
}

/* Every balancer, on a block of garbage behind a head that fits into it: a row is returned that the
 * caller refuses, or one that exists. No look outside the block, which the sanitizer watches. */
static void garbage_is_not_followed(void **state) {
  enum { COUNT = 16, WORDS = 512 };
  uint64_t *block = malloc(WORDS * sizeof *block);
  struct select_state random = {.random = 5};
  struct feedback_cell own[COUNT];
  for (int round = 0; round < 2000; round++) {
    for (int i = 0; i < WORDS; i++)
      block[i] = select_random_next(&random) & (round % 2 ? UINT64_MAX : 0xfff000000fff);
    memcpy(own, block, sizeof own);
    struct select_tally tally = {.lanes = (uint32_t)block[7]};
    memcpy(tally.totals, block, sizeof tally.totals);
    struct select_load load = {.own = own, .own_count = COUNT, .tally = &tally};
    struct catalog_view v = {.block = (const unsigned char *)block,
                             .bytes = WORDS * sizeof *block,
                             .rows = (const struct catalog_row *)block,
                             .order = (const uint32_t *)block + 300,
                             .alias = block + 160,
                             .groups = (const struct catalog_group *)(block + 200),
                             .top = round % 3 ? block + 300 : NULL,
                             .group_count = round % 5 ? 9 : 1,
                             .flags = round % 7 ? 0 : CATALOG_UNIFORM,
                             .options = {(uint32_t)block[8], (uint32_t)block[9]},
                             .count = COUNT,
                             .pickable = 1 + (uint32_t)round % COUNT,
                             .cycle = 1 + (uint32_t)round % COUNT};
    for (unsigned b = 0; select_at(b); b++) {
      struct select_state s = {.random = select_random_next(&random),
                               .cursor = (uint32_t)select_random_next(&random),
                               .load = round % 4 ? &load : NULL};
      for (int i = 0; i < 20; i++)
        (void)select_at(b)->pick(&s, &v, &(struct select_ask){.hash = s.random, .keyed = i % 2});
    }
  }
  free(block);
}

/* Every balancer, over snapshots of every kind: what has no weight is never picked, what is
 * critical only when nothing else is left, what has a weight is picked some time. */
static void only_what_can_be_picked(void **state) {
  struct select_state random = {.random = 11};
  for (unsigned b = 0; select_at(b); b++)
    for (int round = 0; round < 60; round++) {
      uint32_t count = 1 + (uint32_t)(select_random_next(&random) % 12), some = 0;
      bool seen[12] = {false};
      fill(count, 1);
      for (uint32_t i = 0; i < count; i++) {
        endpoints[i].weight = (double)(select_random_next(&random) % 4);
        endpoints[i].status = select_random_next(&random) % 4 == 0 ? 2 : 0;
      }
      struct catalog_view v = build(select_at(b)->name, count);
      if (v.pickable == 0)
        continue;
      struct select_state s = {.random = 1};
      for (int i = 0; i < 3000; i++)
        seen[pick_number(&s, &v, NULL)] = true;
      for (uint32_t i = 0; i < count; i++)
        some += endpoints[i].weight > 0 && endpoints[i].status < 2;
      for (uint32_t i = 0; i < count; i++) {
        bool can = endpoints[i].weight > 0 && (endpoints[i].status < 2 || !some);
        if (!can)
          assert_false(seen[i]);
        else if (select_at(b) != &select_pick_first)
          assert_true(seen[i]);
      }
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_and_numbers),
      cmocka_unit_test(round_robin_is_exact),
      cmocka_unit_test(round_robin_begins_anywhere),
      cmocka_unit_test(round_robin_follows_the_snapshot),
      cmocka_unit_test(alias_tables_are_exact),
      cmocka_unit_test(alias_tables_bear_extremes),
      cmocka_unit_test(weighted_picks_by_weight),
      cmocka_unit_test(random_ignores_weights),
      cmocka_unit_test(garbage_is_not_followed),
      cmocka_unit_test(only_what_can_be_picked),
  };
  return cmocka_run_group_tests(tests, NULL, end_draft);
}
