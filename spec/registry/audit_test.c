/* Audits: what a registry says that it has of ours, against what it should have. */
#include "registry/played.h"

static void orphans_go_and_others_stay(void **state) {
  snprintf(t.places[0].key, sizeof t.places[0].key, "old/x"); /* listed as ours */
  t.places[0].lease = 77;
  want("web", "a", STATUS_PASSING);
  pass(5);
  assert_null(place_of("old/x"));
  assert_non_null(place_of("web/a"));
  assert_int_equal(stats().orphans, 1);
}

/* Somebody has a copy of our data directory, and registers under the same owner. */
static void an_orphan_that_comes_back_is_somebodys(void **state) {
  snprintf(t.places[0].key, sizeof t.places[0].key, "old/x");
  t.places[0].lease = 77;
  want("web", "a", STATUS_PASSING);
  pass(5);
  assert_null(place_of("old/x"));
  t.places[0] = (struct place){.key = "old/x", .lease = 78};
  t.places[9] = (struct place){.key = "old/y", .lease = 79};
  pass(250);
  assert_non_null(place_of("old/x"));
  assert_non_null(place_of("old/y"));
  assert_non_null(place_of("web/a"));
  assert_int_equal(stats().orphans, 1);
  reconciler_unwant(t.reconciler, "web", "a"); /* what is known here is taken back as ever */
  pass(5);
  assert_null(place_of("web/a"));
}

static void an_audit_finds_what_renewals_do_not(void **state) {
  want("web", "a", STATUS_PASSING);
  pass(5);
  uint64_t audits = stats().audits;
  *place_of("web/a") = (struct place){0};
  pass(125);
  assert_true(stats().audits > audits);
  assert_non_null(place_of("web/a"));
}

static void an_audit_mends_what_somebody_wrote_over(void **state) {
  want("web", "a", STATUS_PASSING);
  pass(5);
  place_of("web/a")->value = 7; /* the lease is the same, so that renewals see nothing */
  pass(20);
  assert_int_equal(place_of("web/a")->value, 7);
  pass(125);
  assert_int_equal(place_of("web/a")->value, 0);
  assert_int_equal(stats().lost, 1);
}

/* The next audit has begun, and the registry says nothing yet. */
static void begin_audit(void) {
  while (!t.listing) {
    advance(second / 4);
    reconciler_tick(t.reconciler);
    answer_all();
  }
}

static void what_changes_while_the_registry_is_listed_is_not_judged(void **state) {
  want("web", "a", STATUS_PASSING);
  want("web", "b", STATUS_PASSING);
  pass(5);
  begin_audit();
  struct place before = *place_of("web/b"), *a = place_of("web/a"), *b = place_of("web/b");
  want("web", "a", STATUS_CRITICAL);
  want("web", "b", STATUS_CRITICAL);
  reconciler_tick(t.reconciler);
  assert_int_equal(t.running_count, 2);
  answer_all();
  struct place now[] = {*a, *b};
  *a = (struct place){0}; /* what it had read by then: one not yet there, one as it was */
  *b = before;
  b->value = 7;
  answer_list();
  *a = now[0];
  *b = now[1];
  pass(5);
  assert_int_equal(stats().lost, 0);
  assert_int_equal(stats().registered, 4);
}

static void a_registry_that_cannot_list_is_not_asked_again(void **state) {
  t.lists = false;
  want("web", "a", STATUS_PASSING);
  pass(300);
  assert_int_equal(stats().audits, 0);
  assert_int_equal(stats().held, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(orphans_go_and_others_stay),
      TEST(an_orphan_that_comes_back_is_somebodys),
      TEST(an_audit_finds_what_renewals_do_not),
      TEST(an_audit_mends_what_somebody_wrote_over),
      TEST(what_changes_while_the_registry_is_listed_is_not_judged),
      TEST(a_registry_that_cannot_list_is_not_asked_again),
#undef TEST
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
