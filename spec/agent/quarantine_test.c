/* Quarantine and probation: by a clock that the test turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/plugins/probation.h"
#include "agent/plugins/quarantine.h"

static const int64_t second = 1000000000LL;

/* Calls it `n` times, one a second, as long as it allows that; how often it was called. */
static int call(struct quarantine *q, int n, bool fault, int64_t *now) {
  int called = 0;
  for (int i = 0; i < n; i++, *now += second)
    if (quarantine_allows(q, *now)) {
      called++;
      quarantine_note(q, fault, *now);
    }
  return called;
}

static void five_faults_begin_one(void **state) {
  struct quarantine q = {0};
  int64_t now = second;
  assert_int_equal(call(&q, 4, true, &now), 4);
  assert_false(quarantine_holds(&q, now));
  assert_int_equal(call(&q, 1, true, &now), 1);
  assert_true(quarantine_holds(&q, now));
  assert_int_equal(q.times, 1);
}

static void each_one_after_it_is_longer(void **state) {
  struct quarantine q = {0};
  int64_t now = second;
  call(&q, 5, true, &now);
  assert_int_equal(call(&q, 3600, true, &now), 10); /* after 10, 20, 40 ... 600 s */
  assert_int_equal(q.span_ns, 600 * second);
}

static void one_good_call_ends_it(void **state) {
  struct quarantine q = {0};
  int64_t now = second;
  call(&q, 5, true, &now);
  now = q.until_ns;
  assert_true(quarantine_allows(&q, now));
  assert_false(quarantine_allows(&q, now)); /* while that one is under way */
  assert_true(quarantine_holds(&q, now));
  assert_false(quarantine_note(&q, false, now));
  assert_false(quarantine_holds(&q, now));
  assert_int_equal(call(&q, 100, false, &now), 100);
}

/* One instance that a plugin cannot stand must not freeze what it says of the others. */
static void a_few_faults_among_many_calls_begin_none(void **state) {
  struct quarantine q = {0};
  int64_t now = second;
  for (int i = 0; i < 1000; i++) {
    assert_int_equal(call(&q, 1, true, &now), 1);
    assert_int_equal(call(&q, 2, false, &now), 2);
  }
  assert_int_equal(q.times, 0);
}

static void old_faults_are_forgotten(void **state) {
  struct quarantine q = {0};
  int64_t now = second;
  for (int i = 0; i < 100; i++, now += 120 * second)
    assert_int_equal(call(&q, 1, true, &now), 1);
  assert_int_equal(q.times, 0);
}

static void after_good_minutes_the_next_is_short_again(void **state) {
  struct quarantine q = {0};
  int64_t now = second;
  call(&q, 120, true, &now);
  assert_true(q.span_ns > 10 * second);
  now = q.until_ns;
  call(&q, 600, false, &now);
  uint64_t before = q.times;
  for (int i = 0; i < 600 && q.times == before; i++)
    call(&q, 1, true, &now);
  assert_int_equal(q.times, before + 1);
  assert_int_equal(q.span_ns, 10 * second);
}

/* What a new version is after so many calls, of which so many failed, now or when its time is up.
 */
static enum probation_verdict verdict(unsigned calls, unsigned faults, bool time_is_up) {
  struct probation p;
  probation_begin(&p, second);
  for (unsigned i = 0; i < calls; i++)
    probation_note(&p, i < faults);
  return probation_judge(&p, second + (time_is_up ? PROBATION_NS : 0));
}

static void a_new_version_proves_itself(void **state) {
  assert_int_equal(verdict(4, 0, false), PROBATION_GOES_ON);
  assert_int_equal(verdict(5, 0, false), PROBATION_PASSED);
  assert_int_equal(verdict(4, 4, false), PROBATION_GOES_ON);
  assert_int_equal(verdict(5, 5, false), PROBATION_FAILED);
  assert_int_equal(verdict(0, 0, true), PROBATION_PASSED); /* nobody has called it */
  assert_int_equal(verdict(1, 1, true), PROBATION_FAILED); /* seldom, and in vain */
  assert_int_equal(verdict(2, 1, true), PROBATION_PASSED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(five_faults_begin_one),
      cmocka_unit_test(each_one_after_it_is_longer),
      cmocka_unit_test(one_good_call_ends_it),
      cmocka_unit_test(a_few_faults_among_many_calls_begin_none),
      cmocka_unit_test(old_faults_are_forgotten),
      cmocka_unit_test(after_good_minutes_the_next_is_short_again),
      cmocka_unit_test(a_new_version_proves_itself),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
