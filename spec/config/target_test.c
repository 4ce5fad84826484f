/* Targets: what is read, and at which character what is refused goes wrong. */
#include "base/fault.h"
#include "config/target.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void reads_all_parts(void **state) {
  struct target t;
  struct fault f = {0};
  assert_int_equal(target_parse("etcd://10.0.0.1:2379/a/b%20c%2F?tag=v%31&x=", &t, &f), -EINVAL);
  assert_int_equal(target_parse("etcd://10.0.0.1:2379/a/b%2Fc?tag=v%31&x=", &t, &f), 0);
  assert_string_equal(t.registry, "etcd");
  assert_string_equal(t.authority, "10.0.0.1:2379");
  assert_string_equal(t.name, "a/b/c");
  assert_int_equal(t.option_count, 2);
  assert_string_equal(target_option(&t, "tag"), "v1");
  assert_string_equal(target_option(&t, "x"), "");
  assert_null(target_option(&t, "y"));
  target_clear(&t);
  assert_int_equal(target_parse("embedded:///web", &t, &f), 0);
  assert_string_equal(t.authority, "");
  assert_string_equal(t.name, "web");
  target_clear(&t);
}

static void errors_point_at_the_character(void **state) {
  static const struct {
    const char *text;
    int character;
  } bad[] = {
      {"", 1},
      {"web", 4},
      {"etcd//web", 5},
      {"etcd:/web", 5},
      {"1etcd:///web", 1},
      {"et cd:///web", 3},
      {"etcd://web", 11},
      {"etcd:///", 9},
      {"etcd:///?x=1", 9},
      {"etcd://host?x=1", 12},
      {"etcd:///a b", 10},
      {"etcd:///a%", 10},
      {"etcd:///a%g0", 10},
      {"etcd:///a%00", 10},
      {"etcd:///a?", 11},
      {"etcd:///a?x", 12},
      {"etcd:///a?x=1&", 15},
      {"etcd:///a?x=1&x=2", 15},
      {"etcd:///a?=1", 11},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct target t;
    struct fault f = {0};
    char expected[300];
    assert_int_equal(target_parse(bad[i].text, &t, &f), -EINVAL);
    snprintf(expected, sizeof expected, "\"%s\": character %d: ", bad[i].text, bad[i].character);
    f.text[strlen(expected)] = 0;
    assert_string_equal(f.text, expected);
    assert_null(t.registry);
  }
}

struct found {
  char text[200];
};

static int add(void *arg, const char *host, unsigned short port) {
  struct found *all = arg;
  size_t n = strlen(all->text);
  snprintf(all->text + n, sizeof all->text - n, "%s|%u ", host, port);
  return 0;
}

static void static_names_are_addresses(void **state) {
  struct found all = {{0}};
  struct fault f = {0};
  assert_int_equal(target_each_address("a:1,[::1]:2,b:3", add, &all, &f), 0);
  assert_string_equal(all.text, "a|1 ::1|2 b|3 ");
  static const char *const bad[] = {"a", "a:1,", ",a:1", "a:0", ":1", "a:1,b:70000", "::1:2"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(target_each_address(bad[i], NULL, NULL, &f), -EINVAL);
}

/* Any bytes: no crash, and what is accepted can be read again from its parts. */
static void survives_random_text(void **state) {
  static const char alphabet[] = "ab:/?=&%[]@12 \x01\xc3.";
  uint64_t x = 88172645463325252u;
  for (int round = 0; round < 200000; round++) {
    char text[40];
    size_t n = 0;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    size_t length = x % (sizeof text - 1);
    if (round % 2)
      n = (size_t)snprintf(text, sizeof text, "a://");
    for (; n < length; n++) {
      x ^= x << 13, x ^= x >> 7, x ^= x << 17;
      text[n] = alphabet[x % (sizeof alphabet - 1)];
    }
    text[n] = 0;
    struct target t;
    struct fault f = {0};
    if (target_parse(text, &t, &f) == 0) {
      assert_true(*t.registry && *t.name);
      target_clear(&t);
    } else {
      assert_true(strstr(f.text, "character") != NULL);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_all_parts),
      cmocka_unit_test(errors_point_at_the_character),
      cmocka_unit_test(static_names_are_addresses),
      cmocka_unit_test(survives_random_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
