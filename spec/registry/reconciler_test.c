/* The reconciler against a played registry: leases and their ends, failures, the end of the work.
 */
#include "registry/played.h"

static void registers_and_renews_at_a_third(void **state) {
  want("web", "a", STATUS_PASSING);
  settle();
  assert_non_null(place_of("web/a"));
  assert_int_equal(stats().held, 1);
  pass(40);
  assert_in_range(stats().renewed, 10, 13); /* every 3.3 s, a little sooner or later */
  assert_int_equal(stats().registered, 1);
}

static void a_change_is_registered_with_the_same_lease(void **state) {
  want("web", "a", STATUS_PASSING);
  settle();
  int lease = place_of("web/a")->lease;
  want("web", "a", STATUS_CRITICAL);
  settle();
  assert_int_equal(stats().registered, 2);
  assert_int_equal(place_of("web/a")->lease, lease);
  want("web", "a", STATUS_CRITICAL); /* the same again */
  settle();
  assert_int_equal(stats().registered, 2);
}

static void what_was_lost_comes_back(void **state) {
  want("web", "a", STATUS_PASSING);
  settle();
  *place_of("web/a") = (struct place){0}; /* deleted by hand, or a registry restored */
  pass(4);
  assert_non_null(place_of("web/a"));
  assert_int_equal(stats().lost, 1);
}

static void a_refusal_is_tried_again_at_once_and_then_backs_off(void **state) {
  want("web", "a", STATUS_PASSING);
  t.status = -EACCES;
  settle();
  assert_int_equal(t.operations, 2);
  pass(0.25); /* the backoff's least is 0.3 s, its most 6 */
  assert_int_equal(t.operations, 2);
  t.status = 0;
  pass(6);
  assert_int_equal(stats().held, 1);
  t.status = -EACCES; /* a while later: the same once more */
  t.operations = 0;
  want("web", "a", STATUS_CRITICAL);
  settle();
  assert_int_equal(t.operations, 2);
}

static void what_is_refused_alone_backs_off_alone(void **state) {
  want("web", "a", STATUS_PASSING);
  want("web", "denied", STATUS_PASSING);
  t.status = -EACCES;
  t.only = "web/denied";
  pass(300); /* a is renewed ninety times meanwhile */
  assert_int_equal(stats().held, 1);
  assert_in_range(t.refused, 10, 8 + 300 / 12);
  assert_in_range(stats().audits, 1, 1 + 300 / 60);
  t.status = 0; /* its rights are mended */
  pass(25);
  assert_int_equal(stats().held, 2);
}

static void no_two_instances_have_one_key(void **state) {
  want("a/b", "c", STATUS_PASSING);
  want("a", "b/c", STATUS_PASSING);
  want("a%2Fb", "c", STATUS_PASSING);
  settle();
  assert_int_equal(stats().held, 3);
}

/* A watch hears of it later than the registry was asked, and so when no entry is left. */
static void what_was_deregistered_is_told_at_its_end(void **state) {
  want("web", "a", STATUS_PASSING);
  settle();
  reconciler_unwant(t.reconciler, "web", "a");
  assert_true(reconciler_withdrew(t.reconciler, "web", "a"));
  assert_int_equal(t.gone, 0);
  settle();
  assert_int_equal(t.gone, 1);
}

static void failures_back_off_and_end_soon_after_the_outage(void **state) {
  for (int i = 0; i < 20; i++) {
    char id[16];
    snprintf(id, sizeof id, "i%d", i);
    want("web", id, STATUS_PASSING);
  }
  t.status = -EIO;
  t.most_at_once = 0;
  pass(600);
  assert_int_equal(t.most_at_once, 1); /* at a time while it fails */
  /* Each at most every 16 s, once its backoff has grown. */
  assert_in_range(t.operations, 20, 20 * (8 + 600 / 16));
  t.status = 0;
  pass(25); /* the first within 24 s, the others 3 s later */
  assert_int_equal(stats().held, 20);
  assert_true(t.most_at_once <= OPERATIONS_AT_ONCE);
}

static void count_taken(void *arg, const struct desired_entry *e) {
  assert_string_equal(e->taken, "played");
  ++*(int *)arg;
}

static void what_somebody_else_has_is_no_failure_and_is_looked_at_again(void **state) {
  int named = 0;
  want("web", "a", STATUS_PASSING);
  t.status = -EEXIST;
  pass(60);
  assert_in_range(t.operations, 5, 16); /* as often as a failure */
  assert_int_equal(stats().failures, 0);
  assert_int_equal(stats().taken, 1);
  assert_int_equal(stats().held, 0);
  reconciler_each_taken(t.reconciler, count_taken, &named);
  assert_int_equal(named, 1);
  t.status = 0;
  pass(25);
  assert_int_equal(stats().taken, 0);
  assert_int_equal(stats().held, 1);
}

static void what_is_taken_is_not_taken_back(void **state) {
  want("web", "a", STATUS_PASSING);
  t.status = -EEXIST;
  pass(5);
  t.operations = 0;
  reconciler_unwant(t.reconciler, "web", "a");
  settle();
  assert_int_equal(t.operations, 0);
  assert_int_equal(stats().wanted, 0);
  assert_int_equal(stats().taken, 0);
}

static void what_hangs_keeps_nobody_waiting(void **state) {
  char id[16];
  t.hangs = "slow/";
  t.status = -EIO; /* of others, so that only one runs at a time */
  t.only = "web/bad";
  want("web", "bad", STATUS_PASSING);
  for (int i = 0; i < 20; i++) {
    snprintf(id, sizeof id, "s%d", i);
    want("slow", id, STATUS_PASSING);
  }
  want("web", "a", STATUS_PASSING);
  pass(TTL * 3);
  int lease = place_of("web/a")->lease;
  pass(TTL * 3);
  assert_int_equal(place_of("web/a")->lease, lease);
  assert_true(stats().renewed > 10);
  t.hangs = NULL;
  t.status = 0;
  pass(TTL * 3);
  assert_int_equal(stats().held, 22);
}

/* Somebody has deleted web/a, and whoever attends it says so. */
static void delete_a(void) {
  struct value *list = value_table(), *item = value_table();
  *place_of("web/a") = (struct place){0};
  value_set(item, "service", value_text("web", 3));
  value_set(item, "id", value_text("a", 1));
  value_append(list, item);
  reconciler_changed(t.reconciler, list);
  value_unref(list);
  settle();
}

static void what_somebody_changed_is_mended_at_once_and_then_not_so_often(void **state) {
  want("web", "a", STATUS_PASSING);
  settle();
  delete_a();
  assert_non_null(place_of("web/a"));
  delete_a();
  assert_null(place_of("web/a")); /* somebody may go on deleting it */
  pass(5.25);
  assert_non_null(place_of("web/a"));
}

static void what_is_registered_is_attended_once(void **state) {
  assert_false(reconciler_can_attend(t.reconciler));
  want("web", "a", STATUS_PASSING);
  want("web", "b", STATUS_PASSING);
  settle();
  assert_true(t.to_attend >= 2);
  assert_true(reconciler_can_attend(t.reconciler));
  attend();
  assert_int_equal(t.attended, 2);
  t.to_attend = 0;
  pass(20); /* renewals of what is attended ask for nothing */
  assert_int_equal(t.to_attend, 0);
  delete_a(); /* it is registered anew, with another lease */
  assert_true(t.to_attend > 0);
  attend();
  reconciler_attend_none(t.reconciler);
  t.to_attend = 0;
  pass(5);
  assert_true(t.to_attend >= 2);
  reconciler_unwant(t.reconciler, "web", "a");
  settle();
  attend();
  assert_int_equal(t.attended, 1);
}

static void the_next_agent_takes_the_lease_up(void **state) {
  want("web", "a", STATUS_PASSING);
  want("web", "b", STATUS_PASSING);
  settle();
  int lease = place_of("web/a")->lease, leases = t.leases;
  restart();
  want("web", "a", STATUS_PASSING); /* b is not wanted any more */
  settle();
  assert_int_equal(place_of("web/a")->lease, lease);
  assert_int_equal(t.leases, leases); /* no new one */
  assert_int_equal(stats().registered, 0);
  assert_null(place_of("web/b"));
}

/* The store's keys are shorter than a service's name and an id may be together. */
static void long_names_are_taken_up_too(void **state) {
  char service[256] = "", id[256] = "";
  memset(service, 's', 255);
  memset(id, 'i', 255);
  want(service, id, STATUS_PASSING);
  settle();
  int leases = t.leases;
  restart();
  want(service, id, STATUS_PASSING);
  settle();
  assert_int_equal(t.leases, leases);
  assert_int_equal(stats().registered, 0);
}

static void before_its_checks_speak_nothing_changes(void **state) {
  struct instance *in = instance_new(&(struct instance_draft){
      .id = "a", .service = "web", .address = "10.0.0.1", .port = 80, .weight = 1});
  reconciler_want(t.reconciler, in, STATUS_CRITICAL, false);
  settle();
  assert_null(place_of("web/a"));
  reconciler_want(t.reconciler, in, STATUS_PASSING, true);
  settle();
  assert_non_null(place_of("web/a"));
  restart();
  reconciler_want(t.reconciler, in, STATUS_CRITICAL, false); /* the next agent does not know yet */
  settle();
  assert_int_equal(stats().registered, 0);
  assert_int_equal(stats().renewed, 1);
  instance_unref(in);
}

static void asked_otherwise_all_is_renewed_when_nothing_runs(void **state) {
  want("web", "a", STATUS_PASSING);
  want("web", "b", STATUS_PASSING);
  pass(5); /* the first audit is over */
  uint64_t renewed = stats().renewed;
  want("web", "a", STATUS_CRITICAL);
  reconciler_tick(t.reconciler);
  assert_int_equal(t.running_count, 1);
  reconciler_renew_all(t.reconciler);
  want("web", "c", STATUS_PASSING);
  reconciler_tick(t.reconciler);
  assert_int_equal(t.running_count, 1); /* asked in the old way, and not answered yet */
  settle();
  assert_int_equal(stats().held, 3);
  assert_int_equal(stats().renewed, renewed + 2);
}

static void what_could_not_be_taken_back_is_left(void **state) {
  want("web", "a", STATUS_PASSING);
  want("web", "b", STATUS_PASSING);
  settle();
  assert_int_equal(reconciler_left(t.reconciler), 0);
  t.status = -EIO;
  reconciler_stop(t.reconciler, true, 30, 1000, NULL, NULL);
  settle();
  assert_int_equal(reconciler_left(t.reconciler), 2);
  t.status = 0;
  pass(10);
  assert_int_equal(reconciler_left(t.reconciler), 0);
}

static void on_stopped(void *arg) {
  t.stopped = true;
}

static void a_stop_asks_for_a_longer_lease_and_leaving_takes_all_back(void **state) {
  want("web", "a", STATUS_PASSING);
  settle();
  reconciler_stop(t.reconciler, false, 30, 1000, on_stopped, NULL);
  reconciler_tick(t.reconciler);
  assert_int_equal(t.running_count, 1);
  assert_true(t.running[0].ttl == 30 && t.running[0].lease == 0);
  settle();
  assert_true(t.stopped);
  restart();
  want("web", "a", STATUS_PASSING);
  settle(); /* with the usual time again */
  t.stopped = false;
  reconciler_stop(t.reconciler, true, 30, 1000, on_stopped, NULL);
  settle();
  assert_true(t.stopped);
  assert_null(place_of("web/a"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(registers_and_renews_at_a_third),
      TEST(a_change_is_registered_with_the_same_lease),
      TEST(what_was_lost_comes_back),
      TEST(a_refusal_is_tried_again_at_once_and_then_backs_off),
      TEST(what_is_refused_alone_backs_off_alone),
      TEST(no_two_instances_have_one_key),
      TEST(what_was_deregistered_is_told_at_its_end),
      TEST(failures_back_off_and_end_soon_after_the_outage),
      TEST(what_somebody_else_has_is_no_failure_and_is_looked_at_again),
      TEST(what_is_taken_is_not_taken_back),
      TEST(what_hangs_keeps_nobody_waiting),
      TEST(what_somebody_changed_is_mended_at_once_and_then_not_so_often),
      TEST(what_is_registered_is_attended_once),
      TEST(the_next_agent_takes_the_lease_up),
      TEST(long_names_are_taken_up_too),
      TEST(before_its_checks_speak_nothing_changes),
      TEST(asked_otherwise_all_is_renewed_when_nothing_runs),
      TEST(what_could_not_be_taken_back_is_left),
      TEST(a_stop_asks_for_a_longer_lease_and_leaving_takes_all_back),
#undef TEST
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
