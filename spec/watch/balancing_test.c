/* What a set's balancer makes of its publishing: births, ramps, views. */
#include "watch/fake.h"

/* { { NAME, OPTION = VALUE }, ALGORITHM } */
static struct value *stages_of(const char *name, const char *option, const char *text,
                               const char *algorithm) {
  struct value *stages = value_table(), *first = value_table();
  value_append(first, value_text(name, strlen(name)));
  value_set(first, option, value_text(text, strlen(text)));
  value_append(stages, first);
  value_append(stages, value_text(algorithm, strlen(algorithm)));
  return stages;
}

/* Who comes to a known service is born then; while one is young the set is published again now and
 * then, without a new version; in the end once more, and then no more. */
static void test_slow_start(void **state) {
  struct fixture *fx = *state;
  struct value *slow = stages_of("slow_start", "window", "30s", "random");
  assert_int_equal(set_balancer(fx->web, slow, NULL), 0);
  now_ns += 1000000000;
  put(fx->web, "a", 1, STATUS_PASSING);
  put(fx->web, "b", 1, STATUS_CRITICAL);
  sets_flush(fx->all);
  assert_true(fake.rows[0].born_ns == 0 && fake.rows[1].born_ns == 0);
  now_ns += 1000000000;
  int64_t born = now_ns;
  put(fx->web, "c", 1, STATUS_PASSING);
  set_status(fx->web, "b", STATUS_PASSING);
  sets_flush(fx->all);
  assert_int_equal(fake.rows[0].born_ns, 0);
  assert_int_equal(fake.rows[1].born_ns, born);
  assert_int_equal(fake.rows[2].born_ns, born);
  uint64_t version = fake.version;
  assert_int_equal(sets_flush(fx->all), 0);
  for (int second = 1; second <= 30; second++) {
    now_ns += 1000000000;
    assert_int_equal(sets_flush(fx->all), 1);
    assert_int_equal(fake.last.now_ns, now_ns);
    assert_int_equal(fake.rows[2].born_ns, born);
  }
  now_ns += 60000000000;
  assert_int_equal(sets_flush(fx->all), 0);
  assert_int_equal(fake.version, version);
  value_unref(slow);
}

/* The next agent finds how old what it takes over is. */
static void test_age_is_taken_over(void **state) {
  struct fixture *fx = *state;
  struct value *slow = stages_of("slow_start", "window", "30s", "random");
  assert_int_equal(set_balancer(fx->web, slow, NULL), 0);
  now_ns += 100000000000;
  strcpy(fake.adoptable, "a");
  fake.live[4000].born_ns = (uint64_t)now_ns - 1000000000;
  put(fx->web, "a", 1, STATUS_PASSING);
  put(fx->web, "b", 1, STATUS_PASSING);
  sets_flush(fx->all);
  assert_int_equal(fake.rows[0].born_ns, now_ns - 1000000000);
  assert_int_equal(fake.rows[1].born_ns, 0);
  put(fx->web, "c", 1, STATUS_PASSING);
  sets_flush(fx->all);
  assert_int_equal(fake.rows[2].born_ns, now_ns);
  assert_int_equal(fake.live[fake.rows[2].slot].born_ns, now_ns); /* for the one after this */
  value_unref(slow);
}

/* A view: only what has the tag is in the catalog. */
static void test_selection(void **state) {
  struct fixture *fx = *state;
  struct value *v2 = stages_of("select", "tag", "v2", "random");
  struct instance *in = instance_new(&(struct instance_draft){.id = "b",
                                                              .service = "web",
                                                              .address = "10.0.0.2",
                                                              .port = 1,
                                                              .weight = 1,
                                                              .tags = (const char *[]){"v2"},
                                                              .tag_count = 1});
  assert_int_equal(set_balancer(fx->web, v2, NULL), 0);
  put(fx->web, "a", 1, STATUS_PASSING);
  set_put(fx->web, in, STATUS_PASSING);
  put(fx->web, "c", 1, STATUS_PASSING);
  sets_flush(fx->all);
  assert_string_equal(fake.ids, "b ");
  assert_int_equal(set_balancer(fx->web, NULL, NULL), 0);
  sets_flush(fx->all);
  assert_string_equal(fake.ids, "a b c ");
  instance_unref(in);
  value_unref(v2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_slow_start, setup, teardown),
      cmocka_unit_test_setup_teardown(test_age_is_taken_over, setup, teardown),
      cmocka_unit_test_setup_teardown(test_selection, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
