/* Keys of instances, and what is remembered by them of what this agent has deregistered. */
#include "registry/fixture.h"

#include "registry/desired.h"
#include "registry/withdrawn.h"

static void keys_are_read_back(void **state) {
  static const char *const services[] = {"web", "a/b", "a%2Fb", "%", "/", "a%25"};
  char key[DESIRED_KEY_MAX], other[DESIRED_KEY_MAX], service[256];
  for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
    const char *id = desired_key_parse(desired_key(key, services[i], "c/d%2F"), service);
    assert_string_equal(service, services[i]);
    assert_string_equal(id, "c/d%2F");
    for (size_t k = 0; k < i; k++)
      assert_string_not_equal(key, desired_key(other, services[k], "c/d%2F"));
  }
}

static void it_is_remembered_for_a_minute(void **state) {
  struct withdrawn w;
  char key[DESIRED_KEY_MAX];
  clock_use(&fixture_clock);
  withdrawn_init(&w, 60);
  withdrawn_add(&w, desired_key(key, "web", "a"));
  advance(30 * second);
  withdrawn_add(&w, desired_key(key, "web", "b"));
  assert_true(withdrawn_has(&w, "web", "a"));
  assert_false(withdrawn_has(&w, "api", "a"));
  advance(31 * second);
  assert_false(withdrawn_has(&w, "web", "a"));
  assert_true(withdrawn_has(&w, "web", "b"));
  withdrawn_add(&w, desired_key(key, "web", "b")); /* once more: its minute begins anew */
  withdrawn_add(&w, desired_key(key, "web", "c"));
  advance(40 * second);
  assert_true(withdrawn_has(&w, "web", "b"));
  assert_int_equal(w.table.count, 2);
  withdrawn_end(&w);
  clock_use(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(keys_are_read_back),
                                     cmocka_unit_test(it_is_remembered_for_a_minute)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
