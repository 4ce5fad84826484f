/* Sets whose tables take long, made elsewhere: here by the spec, when it is time. */
#include "watch/fake.h"

enum { MANY = 700, WORKS = 4 };

static struct set_work *works[WORKS];
static int count, refusal;

static int begin(void *arg, struct set_work *w) {
  if (refusal)
    return refusal;
  assert_in_range(count, 0, WORKS - 1);
  works[count++] = w;
  return 0;
}

static void finish(int i) {
  set_work_run(works[i]);
  set_work_over(works[i]);
}

static void put_many(struct set *s, int from, int to) {
  char id[16];
  for (int i = from; i < to; i++) {
    snprintf(id, sizeof id, "%04d", i);
    assert_int_equal(put(s, id, 1, STATUS_PASSING), 0);
  }
}

static int setup_many(void **state) {
  setup(state);
  struct fixture *fx = *state;
  struct value *maglev = value_text("maglev", 6);
  count = refusal = 0;
  sets_elsewhere(fx->all, begin, NULL);
  assert_int_equal(set_balancer(fx->web, maglev, NULL), 0);
  value_unref(maglev);
  put_many(fx->web, 0, MANY);
  return 0;
}

static void few_are_published_at_once(void **state) {
  struct fixture *fx = *state;
  for (int i = 300; i < MANY; i++) {
    char id[16];
    snprintf(id, sizeof id, "%04d", i);
    set_remove(fx->web, id);
  }
  assert_int_equal(sets_flush(fx->all), 1);
  assert_int_equal(count, 0);
}

static void many_are_published_when_they_are_made(void **state) {
  struct fixture *fx = *state;
  assert_int_equal(sets_flush(fx->all), 0);
  assert_int_equal(fake.publishes, 0);
  assert_int_equal(fx->told.count, 0);
  assert_int_equal(sets_working(fx->all), 1);
  assert_false(sets_dirty(fx->all));
  finish(0);
  assert_int_equal(fake.publishes, 1);
  assert_int_equal(fake.last.count, MANY);
  assert_true(fake.last.moves_version);
  assert_int_equal(fx->told.count, 1);
  assert_int_equal(fx->told.rows, MANY);
  assert_int_equal(sets_working(fx->all), 0);
  assert_int_equal(sets_flush(fx->all), 0);
}

/* What changes meanwhile is not in it, keeps its slots until it is published, and comes after it.
 */
static void changes_come_after(void **state) {
  struct fixture *fx = *state;
  sets_flush(fx->all);
  set_remove(fx->web, "0001");
  put_many(fx->web, MANY, MANY + 1);
  assert_int_equal(sets_flush(fx->all), 0);
  assert_int_equal(sets_flush(fx->all), 0);
  assert_int_equal(count, 1);
  finish(0);
  assert_int_equal(fake.last.count, MANY);
  assert_int_equal(fx->told.rows, MANY);
  assert_int_equal(fake.slots, MANY);
  assert_true(sets_dirty(fx->all));
  assert_int_equal(sets_flush(fx->all), 0);
  assert_int_equal(count, 2);
  assert_int_equal(fake.slots, MANY + 1); /* what has left is still in the catalog */
  set_remove(fx->web, "0002");
  finish(1);
  assert_int_equal(fake.last.count, MANY);
  assert_null(strstr(fake.ids, "0001"));
  assert_int_equal(fake.slots, MANY);
}

/* The first of them is not published yet: what is said of the service meanwhile is not lost. */
static void rules_change_meanwhile(void **state) {
  struct fixture *fx = *state;
  struct value *ring = value_text("ring", 4);
  sets_flush(fx->all);
  assert_int_equal(set_balancer(fx->web, ring, NULL), 0);
  set_stale(fx->web, true);
  sets_flush(fx->all);
  finish(0);
  assert_string_equal(fake.last.balancer, "maglev");
  sets_flush(fx->all);
  assert_int_equal(count, 2);
  finish(1);
  assert_string_equal(fake.last.balancer, "ring");
  assert_true(fake.last.stale_since_ns);
  value_unref(ring);
}

/* The tables are those that are there: nothing takes long. */
static void the_same_tables_are_published_at_once(void **state) {
  struct fixture *fx = *state;
  sets_flush(fx->all);
  finish(0);
  fake.same_tables = true;
  put(fx->web, "0003", 2, STATUS_PASSING);
  assert_int_equal(sets_flush(fx->all), 1);
  assert_int_equal(count, 1);
  assert_int_equal(fake.publishes, 2);
}

static void a_failure_is_tried_again(void **state) {
  struct fixture *fx = *state;
  struct sets_stats stats;
  sets_flush(fx->all);
  set_remove(fx->web, "0001");
  sets_flush(fx->all);
  fake.fail = -ENOSPC;
  finish(0);
  sets_stats(fx->all, &stats);
  assert_int_equal(stats.failed, 1);
  assert_int_equal(fx->told.count, 0);
  assert_int_equal(sets_flush(fx->all), 0); /* too soon */
  fake.fail = 0;
  now_ns += 2000000000;
  assert_int_equal(sets_flush(fx->all), 0);
  assert_int_equal(count, 2);
  finish(1);
  assert_true(fake.last.moves_version);
  assert_int_equal(fake.last.count, MANY - 1);
  assert_int_equal(fake.slots, MANY - 1);
  sets_stats(fx->all, &stats);
  assert_int_equal(stats.waiting, 0);
}

static void a_service_ends_meanwhile(void **state) {
  struct fixture *fx = *state;
  sets_flush(fx->all);
  finish(0);
  set_remove(fx->web, "0001");
  sets_flush(fx->all);
  set_close(fx->web);
  assert_int_equal(sets_flush(fx->all), 1);
  assert_int_equal(fx->told.gone, 1);
  assert_int_equal(fake.slots, 0);
  assert_int_equal(sets_working(fx->all), 0);
  finish(1);
  assert_int_equal(fake.publishes, 1);
}

static void all_end_meanwhile(void **state) {
  struct fixture *fx = *state;
  sets_flush(fx->all);
  sets_free(fx->all);
  fx->all = NULL;
  finish(0);
  assert_int_equal(fake.publishes, 0);
}

/* Nobody to make it: then it is made here. */
static void refused(void **state) {
  struct fixture *fx = *state;
  refusal = -EAGAIN;
  sets_flush(fx->all);
  assert_int_equal(fake.publishes, 1);
  assert_int_equal(fx->told.rows, MANY);
  assert_int_equal(sets_working(fx->all), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup_many, teardown)
      T(few_are_published_at_once),
      T(many_are_published_when_they_are_made),
      T(changes_come_after),
      T(rules_change_meanwhile),
      T(the_same_tables_are_published_at_once),
      T(a_failure_is_tried_again),
      T(a_service_ends_meanwhile),
      T(all_end_meanwhile),
      T(refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
