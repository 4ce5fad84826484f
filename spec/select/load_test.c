/* The balancers that go by load, on counts that the spec sets. */
#include "select/fixture.h"

enum { HOSTS = 20 };

static struct feedback_cell own[HOSTS + 1];
static struct select_load load = {.own = own, .own_count = HOSTS + 1};

static void forget(void) {
  memset(own, 0, sizeof own);
  for (uint32_t i = 0; i <= HOSTS; i++)
    own[i].generation = 1;
}

static uint64_t milliseconds(uint64_t ms) {
  return ms * 1000000;
}

/* What p2c compares, for whole rows of equal weight. */
static double load_of(uint32_t number) {
  return (double)own[number + 1].latency_ns * (own[number + 1].in_flight + 1);
}

/* Who goes by load finds the slots side by side, in the rows' order; nobody else pays for them. */
static void slots_lie_side_by_side(void **state) {
  fill(HOSTS, 1);
  endpoints[3].status = endpoints[7].status = 2;
  endpoints[5].tier = 1;
  struct catalog_view v = build("p2c", HOSTS);
  assert_int_equal(v.pickable, HOSTS - 3);
  for (uint32_t row = 0; row < v.pickable; row++)
    assert_int_equal(v.slots[row], v.rows[row].slot);
  assert_null(build("ring", HOSTS).slots);
}

/* Of two endpoints the strictly worse one is never taken, whatever the loads. */
static void the_worse_of_two_is_never_taken(void **state) {
  struct select_state random = {.random = 41}, s = {.random = 1, .load = &load};
  fill(2, 1);
  struct catalog_view v = build("p2c", 2);
  forget();
  for (int i = 0; i < 20000; i++) {
    for (uint32_t k = 0; k < 2; k++) {
      own[k + 1].latency_ns = 1 + select_random_next(&random) % milliseconds(50);
      own[k + 1].in_flight = (uint32_t)(select_random_next(&random) % 50);
    }
    uint32_t number = pick_number(&s, &v, NULL);
    assert_true(load_of(number) <= load_of(1 - number));
  }
}

/* Of many, the worst is never taken (any pair has a better one), and each is as likely as the
 * number of pairs that it is the better of. */
static void two_choices_of_many(void **state) {
  enum { PICKS = 190000 };
  uint32_t counts[HOSTS] = {0};
  struct select_state s = {.random = 2, .load = &load};
  fill(HOSTS, 1);
  struct catalog_view v = build("p2c", HOSTS);
  forget();
  for (uint32_t i = 0; i < HOSTS; i++)
    own[i + 1].latency_ns = milliseconds(i + 1);
  for (int i = 0; i < PICKS; i++)
    counts[pick_number(&s, &v, NULL)]++;
  assert_int_equal(counts[HOSTS - 1], 0);
  for (uint32_t i = 0; i < HOSTS; i++)
    assert_true(fabs(counts[i] - PICKS / 190.0 * (HOSTS - 1 - i)) < 600);
}

static void idle_ones_go_by_weight(void **state) {
  enum { PICKS = 200000 };
  uint32_t counts[4] = {0};
  struct select_state s = {.random = 3, .load = &load};
  fill(4, 1);
  endpoints[0].weight = 3;
  struct catalog_view v = build("p2c", 4);
  forget();
  for (int i = 0; i < PICKS; i++)
    counts[pick_number(&s, &v, NULL)]++;
  assert_true(fabs(counts[0] / (double)PICKS - 0.5) < 0.01);
  /* Under load three times the weight bears three times as much. */
  own[1].in_flight = 30;
  own[2].in_flight = own[3].in_flight = own[4].in_flight = 10;
  memset(counts, 0, sizeof counts);
  for (int i = 0; i < PICKS; i++)
    counts[pick_number(&s, &v, NULL)]++;
  assert_true(fabs(counts[0] / (double)PICKS - 0.5) < 0.01);
}

/* A service that has come a moment ago: slow start divides the draws, and what an endpoint can bear
 * stays what it was. */
static void slow_start_leaves_loads_alone(void **state) {
  struct catalog_rules rules = {.slow_start_ns = 3600000000000, .slow_start_min = 0.1};
  struct select_state s = {.random = 12, .load = &load};
  fill(2, 1);
  endpoints[1].weight = 2;
  for (int young = 0; young < 2; young++) {
    for (uint32_t i = 0; young && i < 2; i++)
      endpoints[i].born_ns = 999999999000; /* a microsecond before build_with's now */
    struct catalog_view v = build_with("p2c", &rules, 2);
    forget();
    own[1].latency_ns = milliseconds(26) / 10;
    own[2].latency_ns = milliseconds(1);
    own[2].in_flight = 2; /* 1 ms x (2 / 1.33 + 1) is 2.5 ms; of 3 it is 3.25 */
    for (int i = 0; i < 100; i++)
      assert_int_equal(pick_number(&s, &v, NULL), 1);
    own[2].in_flight = 3;
    for (int i = 0; i < 100; i++)
      assert_int_equal(pick_number(&s, &v, NULL), 0);
  }
}

/* Who has lost its draws for a second is tried again; who was ejected is not. */
static void the_forgotten_is_tried(void **state) {
  struct select_state s = {.random = 4, .load = &load};
  fill(2, 1);
  struct catalog_view v = build("p2c", 2);
  uint64_t now = select_now_ns();
  forget();
  own[1].latency_ns = milliseconds(1);
  own[2].latency_ns = milliseconds(500);
  own[1].picked_ms = own[2].picked_ms = (uint32_t)(now / 1000000) | 1;
  for (int i = 0; i < 100; i++)
    assert_int_equal(pick_number(&s, &v, NULL), 0);
  own[2].picked_ms = (uint32_t)(now / 1000000 - 1500) | 1;
  assert_int_equal(pick_number(&s, &v, NULL), 1);
}

/* Without a sample an endpoint is as good as the one beside it, not a thousand times better. */
static void a_new_one_is_not_flooded(void **state) {
  uint32_t fresh = 0;
  struct select_state s = {.random = 5, .load = &load};
  fill(HOSTS, 1);
  struct catalog_view v = build("p2c", HOSTS);
  forget();
  for (uint32_t i = 1; i < HOSTS; i++)
    own[i + 1].latency_ns = milliseconds(100);
  for (int i = 0; i < 100000; i++)
    fresh += pick_number(&s, &v, NULL) == 0;
  assert_true(fresh > 4000 && fresh < 6000); /* its twentieth part */
}

/* A spike counts at once and is forgotten by time, whatever the number of answers since. */
static void peak_ewma(void **state) {
  const uint64_t decay = milliseconds(10000);
  assert_int_equal(select_ewma(0, 0, decay, 700), 700);
  assert_int_equal(select_ewma(100, 1, decay, 900), 900);
  assert_int_equal(select_ewma(900, 0, decay, 100), 900);
  double half = (double)select_ewma(milliseconds(100), (uint64_t)(6.931471806e9), decay, 1);
  assert_true(fabs(half / 1e6 - 50) < 0.001);
  uint64_t once = select_ewma(milliseconds(100), milliseconds(3000), decay, milliseconds(20)),
           twice = select_ewma(milliseconds(100), milliseconds(1500), decay, milliseconds(20));
  twice = select_ewma(twice, milliseconds(1500), decay, milliseconds(20));
  assert_true(fabs((double)once - (double)twice) < 100);
  assert_true(select_ewma(5, UINT64_MAX, decay, 0) >= 1); /* 0 would be no sample */
}

/* Of two, the one that lately fails more than half of its calls loses, however idle it is; it is
 * tried again when it has lost for a second; where both fail, their loads decide. */
static void who_fails_loses(void **state) {
  struct select_state s = {.random = 8, .load = &load};
  fill(2, 1);
  struct catalog_view v = build("p2c", 2);
  forget();
  own[1].latency_ns = milliseconds(1);
  own[1].failing = (1u << 31) + 1;
  own[2].latency_ns = milliseconds(100);
  own[2].in_flight = 50;
  for (int i = 0; i < 1000; i++)
    assert_int_equal(pick_number(&s, &v, NULL), 1);
  own[1].picked_ms = (uint32_t)(select_now_ns() / 1000000) - 2000;
  assert_int_equal(pick_number(&s, &v, NULL), 0);
  own[1].picked_ms = 0;
  own[2].failing = UINT32_MAX;
  for (int i = 0; i < 1000; i++)
    assert_int_equal(pick_number(&s, &v, NULL), 0);
}

/* Of many it is drawn only when three pairs in a row have such a one. */
static void who_fails_is_drawn_seldom(void **state) {
  uint32_t failing = 0;
  struct select_state s = {.random = 9, .load = &load};
  fill(HOSTS, 1);
  struct catalog_view v = build("p2c", HOSTS);
  forget();
  own[4].failing = UINT32_MAX;
  for (int i = 0; i < 100000; i++)
    failing += pick_number(&s, &v, NULL) == 3;
  assert_int_equal(failing, 0); /* the other one of each pair answers */
}

static void failing_goes_by_time(void **state) {
  const uint64_t decay = 10000000000;
  assert_int_equal(select_failing(0, 0, 5, 1000, decay), 0);
  assert_int_equal(select_failing(7, 3, 0, 1000, decay), 7);
  uint32_t f = 0;
  int seconds = 0;
  for (; f <= 1u << 31; seconds++) /* ln 2 times the decay: 6.93 s */
    f = select_failing(f, 1, 1, 1000000000, decay);
  assert_int_equal(seconds, 7);
  for (seconds = 0; f > 1u << 31; seconds++)
    f = select_failing(f, 0, 1, 1000000000, decay);
  assert_int_equal(seconds, 1);
  f = select_failing(0, 1, 1, 1000000000000, decay);
  assert_true(f > UINT32_MAX - 1000); /* after a long time the last report is all that is known */
  f = select_failing(UINT32_MAX, 1, 4, 1000000000000, decay);
  assert_true(fabs(f / 4294967296.0 - 0.25) < 0.001);
}

static void figures_of_another_generation(void **state) {
  struct select_state s = {.random = 6, .load = &load};
  fill(2, 1);
  struct catalog_view v = build("least_request", 2);
  forget();
  own[1].generation = 7;
  own[1].in_flight = 1000; /* of the instance that had the slot before */
  own[2].in_flight = 1;
  for (int i = 0; i < 1000; i++)
    assert_int_equal(pick_number(&s, &v, NULL), 0);
}

static void least_request_takes_the_least(void **state) {
  struct catalog_rules rules = {.choices = 16};
  struct select_state random = {.random = 43}, s = {.random = 7, .load = &load};
  fill(2, 1);
  forget();
  struct catalog_view v = build_with("least_request", &rules, 2);
  for (int i = 0; i < 10000; i++) {
    own[1].in_flight = (uint32_t)(select_random_next(&random) % 5);
    own[2].in_flight = (uint32_t)(select_random_next(&random) % 5);
    uint32_t number = pick_number(&s, &v, NULL);
    assert_true(own[number + 1].in_flight <= own[2 - number].in_flight);
  }
}

/* Bias 0 is weighted round robin, whatever the load. */
static void bias_0_is_weighted_round_robin(void **state) {
  struct catalog_rules rules = {.unbiased = true};
  uint32_t turns[500];
  fill(7, 1);
  for (uint32_t i = 0; i < 7; i++)
    endpoints[i].weight = 1 + i;
  forget();
  for (uint32_t i = 0; i < HOSTS; i++)
    own[i + 1].in_flight = i * i;
  struct catalog_view v = build("weighted_round_robin", 7);
  struct select_state s = {.random = 8, .cursor = 3, .load = &load};
  for (int i = 0; i < 500; i++)
    turns[i] = pick_number(&s, &v, NULL);
  v = build_with("least_request", &rules, 7);
  s = (struct select_state){.random = 9, .cursor = 3, .load = &load};
  for (int i = 0; i < 500; i++)
    assert_int_equal(pick_number(&s, &v, NULL), turns[i]);
}

/* The more in flight, the smaller the share, and by the bias the more so. */
static void bias_is_monotone(void **state) {
  enum { PICKS = 50000 };
  double last_share = 1;
  for (int bias = 1; bias <= 3; bias++) {
    struct catalog_rules rules = {.bias = bias};
    uint32_t last = PICKS;
    fill(5, 1);
    endpoints[0].weight = 2;
    for (uint32_t busy = 0; busy <= 8; busy += 2) {
      uint32_t count = 0;
      struct select_state s = {.random = 10, .load = &load};
      struct catalog_view v = build_with("least_request", &rules, 5);
      forget();
      own[1].in_flight = busy;
      for (int i = 0; i < PICKS; i++)
        count += pick_number(&s, &v, NULL) == 0;
      if (busy == 0)
        assert_true(fabs(count / (double)PICKS - 1 / 3.0) < 0.01);
      else
        assert_true(count < last);
      last = count;
    }
    assert_true(last / (double)PICKS < last_share);
    last_share = last / (double)PICKS;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(slots_lie_side_by_side),
      cmocka_unit_test(the_worse_of_two_is_never_taken),
      cmocka_unit_test(two_choices_of_many),
      cmocka_unit_test(idle_ones_go_by_weight),
      cmocka_unit_test(slow_start_leaves_loads_alone),
      cmocka_unit_test(the_forgotten_is_tried),
      cmocka_unit_test(a_new_one_is_not_flooded),
      cmocka_unit_test(peak_ewma),
      cmocka_unit_test(who_fails_loses),
      cmocka_unit_test(who_fails_is_drawn_seldom),
      cmocka_unit_test(failing_goes_by_time),
      cmocka_unit_test(figures_of_another_generation),
      cmocka_unit_test(least_request_takes_the_least),
      cmocka_unit_test(bias_0_is_weighted_round_robin),
      cmocka_unit_test(bias_is_monotone),
  };
  return cmocka_run_group_tests(tests, NULL, end_draft);
}
