/* Weighted round robin, to the pick. */
#include "select/fixture.h"

static struct catalog_view weigh(const char *balancer, const double *weights, uint32_t count) {
  fill(count, 1);
  for (uint32_t i = 0; i < count; i++)
    endpoints[i].weight = weights[i];
  return build(balancer, count);
}

static void nginx_s_example(void **state) {
  struct catalog_view v = weigh("weighted_round_robin", (double[]){5, 1, 1}, 3);
  struct select_state s = {0};
  char text[8] = "";
  assert_int_equal(v.cycle, 7);
  for (int i = 0; i < 7; i++)
    text[i] = (char)('a' + pick_number(&s, &v, NULL));
  assert_string_equal(text, "aabacaa");
  v = weigh("weighted_round_robin", (double[]){50, 10, 10}, 3);
  assert_int_equal(v.cycle, 7); /* reduced */
}

/* Over any cycle's length, from any start: exactly its turns each, in whatever unit weights are. */
static void counts_are_exact(void **state) {
  struct select_state random = {.random = 23};
  for (int round = 0; round < 300; round++) {
    double weights[100];
    uint32_t count = 1 + (uint32_t)(select_random_next(&random) % 100), counts[100] = {0};
    uint64_t sum = 0;
    static const double units[] = {1, 0.1, 1.0 / 7, 3.14159e-5, 1e300};
    double unit = units[round % 5];
    uint64_t whole[100];
    for (uint32_t i = 0; i < count; i++) {
      sum += whole[i] = 1 + select_random_next(&random) % 40;
      weights[i] = (double)whole[i] * unit;
    }
    struct catalog_view v = weigh("weighted_round_robin", weights, count);
    struct select_state s = {.cursor = (uint32_t)select_random_next(&random)};
    assert_true(sum > 4096 || sum % v.cycle == 0);
    for (uint32_t i = 0; i < v.cycle; i++)
      counts[pick_number(&s, &v, NULL)]++;
    for (uint32_t i = 0; sum <= 4096 && i < count; i++)
      assert_true(counts[i] * (sum / v.cycle) == whole[i]);
  }
}

/* What plans and modifiers make of whole weights is a fraction, of few parts. */
static void shares_are_exact(void **state) {
  static const double canary[] = {0.95 / 7 * 4, 0.95 / 7 * 2, 0.95 / 7, 0.05 / 3, 0.05 / 3 * 2};
  static const uint32_t turns[] = {228, 114, 57, 7, 14}; /* of 420, which is 20 * 7 * 3 */
  struct catalog_view v = weigh("weighted_round_robin", (double[]){0.5, 0.25}, 2);
  assert_int_equal(v.cycle, 3);
  v = weigh("weighted_round_robin", canary, 5);
  uint32_t counts[5] = {0};
  assert_int_equal(v.cycle, 420);
  for (uint32_t i = 0; i < v.cycle; i++)
    counts[number_of(&v, v.order[i])]++;
  assert_memory_equal(counts, turns, sizeof turns);
}

/* Where whole numbers are not to be had: within half a turn of 4,096, and never none. */
static void others_are_close(void **state) {
  struct select_state random = {.random = 29};
  for (int round = 0; round < 100; round++) {
    double weights[30], sum = 0;
    uint32_t counts[30] = {0};
    for (int i = 0; i < 30; i++)
      sum += weights[i] = i == 7 ? 1e-6 : (double)(1 + select_random_next(&random) % 1000) / 7;
    struct catalog_view v = weigh("weighted_round_robin", weights, 30);
    assert_true(v.cycle > 4050 && v.cycle < 4150);
    for (uint32_t i = 0; i < v.cycle; i++)
      counts[number_of(&v, v.order[i])]++;
    for (int i = 0; i < 30; i++) {
      double exact = weights[i] / sum * 4096;
      assert_true(counts[i] >= 1 && fabs(counts[i] - exact) <= (exact < 0.5 ? 1 : 0.5 + 1e-9));
    }
  }
}

/* Also where the cycle is laid out by distance: no one waits for more than twice its distance. */
static void turns_are_even(void **state) {
  static const uint32_t sizes[] = {10, 100, 1000, ENDPOINTS_MAX};
  for (size_t k = 0; k < 4; k++) {
    static double weights[ENDPOINTS_MAX];
    static uint32_t last[ENDPOINTS_MAX], gap[ENDPOINTS_MAX], counts[ENDPOINTS_MAX];
    for (uint32_t i = 0; i < sizes[k]; i++)
      weights[i] = 1 + i % 3;
    struct catalog_view v = weigh("weighted_round_robin", weights, sizes[k]);
    memset(last, 0xff, sizeof last);
    memset(gap, 0, sizeof gap);
    memset(counts, 0, sizeof counts);
    for (uint32_t at = 0; at < 2 * v.cycle; at++) {
      uint32_t i = number_of(&v, v.order[at % v.cycle]);
      if (last[i] != UINT32_MAX && at - last[i] > gap[i])
        gap[i] = at - last[i];
      last[i] = at;
      counts[i] += at < v.cycle;
    }
    for (uint32_t i = 0; i < sizes[k]; i++)
      assert_true(counts[i] > 0 && gap[i] <= 2.0 * v.cycle / counts[i] + 2);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nginx_s_example),  cmocka_unit_test(counts_are_exact),
      cmocka_unit_test(shares_are_exact), cmocka_unit_test(others_are_close),
      cmocka_unit_test(turns_are_even),
  };
  return cmocka_run_group_tests(tests, NULL, end_draft);
}
