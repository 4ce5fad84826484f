#include "base/alarms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MANY = 100000 };

static struct alarms all;
static struct alarm *items;
static int64_t last_due;
static uint32_t fired;

static uint64_t next_random(void) {
  static uint64_t z = 1;
  z = z * 6364136223846793005u + 1442695040888963407u;
  return z >> 33;
}

static void in_order(struct alarm *a) {
  assert_true(a->due_ns >= last_due);
  assert_false(alarm_is_set(a));
  last_due = a->due_ns;
  fired++;
}

static int setup(void **state) {
  items = calloc(MANY, sizeof *items);
  for (int i = 0; i < MANY; i++)
    items[i].fire = in_order;
  all = (struct alarms){0};
  last_due = fired = 0;
  return alarms_join(&all, MANY);
}

static int teardown(void **state) {
  alarms_free(&all);
  free(items);
  return 0;
}

static void test_random_order(void **state) {
  for (int i = 0; i < MANY; i++)
    alarm_set(&all, &items[i], (int64_t)next_random());
  for (int i = 0; i < MANY; i += 3) /* moved, either way */
    alarm_set(&all, &items[i], (int64_t)next_random());
  uint32_t cleared = 0;
  for (int i = 0; i < MANY; i += 7, cleared++)
    alarm_clear(&all, &items[i]);
  alarm_clear(&all, &items[0]); /* not set: nothing happens */
  assert_int_equal(alarms_run(&all, INT64_MAX, UINT32_MAX), MANY - cleared);
  assert_int_equal(fired, MANY - cleared);
  assert_null(alarms_first(&all));
}

static void test_only_what_is_due(void **state) {
  for (int i = 0; i < 100; i++)
    alarm_set(&all, &items[i], i);
  assert_int_equal(alarms_run(&all, 49, 10), 10);
  assert_int_equal(alarms_run(&all, 49, 1000), 40);
  assert_int_equal(alarms_run(&all, 49, 1000), 0);
  assert_int_equal(alarms_first(&all)->due_ns, 50);
}

/* Renewing 100,000 leases, three times each, is no scan: a few places written for each. */
static void test_renewals_are_cheap(void **state) {
  for (int i = 0; i < MANY; i++)
    alarm_set(&all, &items[i], 10000 + (int64_t)(next_random() % 10000));
  uint64_t before = all.moves;
  for (int round = 1; round <= 3; round++)
    for (int i = 0; i < MANY; i++)
      alarm_set(&all, &items[i], round * 100000 + (int64_t)(next_random() % 10000));
  assert_true(all.moves - before < 3 * (uint64_t)MANY * 18);
  before = all.moves;
  assert_int_equal(alarms_run(&all, 99999, UINT32_MAX), 0); /* nothing is due: nothing is done */
  assert_int_equal(all.moves, before);
}

static void again(struct alarm *a) {
  if (++fired < 10)
    alarm_set(&all, a, a->due_ns + 1);
}

static void test_fire_may_set_it_again(void **state) {
  items[0].fire = again;
  alarm_set(&all, &items[0], 1);
  assert_int_equal(alarms_run(&all, 100, UINT32_MAX), 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_random_order, setup, teardown),
      cmocka_unit_test_setup_teardown(test_only_what_is_due, setup, teardown),
      cmocka_unit_test_setup_teardown(test_renewals_are_cheap, setup, teardown),
      cmocka_unit_test_setup_teardown(test_fire_may_set_it_again, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
