/* Targets: what is read, and at which character what is refused goes wrong. */
#include "base/fault.h"
#include "base/value.h"
#include "config/sandbox.h"
#include "config/target.h"
#include "vm/plugin/target_form.h"

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

/* As an adapter declares it in Lua. */
static struct target_form *form_of(const char *declared) {
  struct target_form *form = NULL;
  struct fault f = {0};
  char code[400];
  snprintf(code, sizeof code, "return %s", declared);
  struct value *read = sandbox_literal(code);
  if (target_form_new(read, &form, &f) != 0)
    fail_msg("%s", f.text);
  value_unref(read);
  return form;
}

static int checks(const char *text, const struct target_form *form, struct fault *f) {
  struct target t;
  int r = target_parse(text, &t, f);
  if (r == 0)
    r = target_check(&t, text, form, f);
  target_clear(&t);
  return r;
}

struct sample {
  const char *text;
  int character; /* 0: it is right */
  const char *words;
};

static void each_is_judged(const char *declared, const struct sample *samples, size_t count) {
  struct target_form *form = form_of(declared);
  for (size_t i = 0; i < count; i++) {
    const struct sample *s = &samples[i];
    struct fault f = {0};
    char place[40];
    int r = checks(s->text, form, &f);
    snprintf(place, sizeof place, "character %d: ", s->character);
    if (r != (s->character ? -EINVAL : 0) ||
        (r && (!strstr(f.text, place) || !strstr(f.text, s->words))))
      fail_msg("%s: %d, %s", s->text, r, f.text);
  }
  target_form_free(form);
}

static void what_an_adapter_says_of_its_targets_is_checked(void **state) {
  static const struct sample etcd[] = {
      {"etcd:///web", 0, ""},
      {"etcd://h1:2379,[::1]:2379,h2/a/b", 0, ""},
      {"etcd://[fe80::1%25eth0]:1/web", 0, ""},
      {"etcd:///web?foo=1", 13, "the option \"foo\": unknown key; there are no options"},
      {"etcd://h1:99999/web", 11, "expected a port from 1 to 65535"},
      {"etcd://h1:/web", 11, "expected a port"},
      {"etcd://h1:0/web", 11, "expected a port"},
      {"etcd://h1:bad/web", 11, "expected a port"},
      {"etcd://[::1/web", 12, "expected \"]\""},
      {"etcd://[1.2.3.4]:80/web", 9, "expected an IPv6 address"},
      {"etcd://::1/web", 8, "written in brackets"},
      {"etcd://[::1]80/web", 13, "expected \":\" and a port"},
      {"etcd://,/web", 8, "expected a host"},
      {"etcd://h1,/web", 11, "expected a host"},
      {"etcd://h1,h;2/web", 12, "no character of a host"},
  };
  static const struct sample consul[] = {
      {"consul:///web?tag=a,b&passing&x=", 30, "expected"},
      {"consul:///web?tag=a,b&passing=true&wait=1m30s", 0, ""},
      {"consul:///web?passing=", 0, ""},
      {"consul:///web?colour=red", 15, "unknown key; known are"},
      {"consul:///web?tag=a&pasing=1", 21, "did you mean \"passing\"?"},
      {"consul:///web?passing=maybe", 15, "expected true or false, found the text \"maybe\""},
      {"consul:///web?wait=xx", 15, "xx"},
      {"consul:///web?retries=two", 15, "expected a whole number"},
      {"consul:///web?retries=2", 0, ""},
      {"consul:///web?tag=", 15, "expected a list of at least 1 item"},
  };
  static const struct sample dns[] = {
      {"dns:///name:80", 0, ""},
      {"dns:///name", 12, "expected \":\" and a port"},
      {"dns:///name:99999", 13, "expected a port"},
      {"dns:///a:1,b:2", 11, "one address"},
      {"dns://8.8.8.8/name:80", 7, "as in dns:///name:80"},
  };
  static const struct sample list[] = {
      {"static:///a:1,[::1]:2,b:3", 0, ""},
      {"static:///a:1,b", 16, "expected \":\" and a port"},
      {"static:///a:1,", 15, "expected a host"},
      {"static:///,a:1", 11, "expected a host"},
      {"static:///a:0", 13, "expected a port"},
      {"static:///:1", 11, "expected a host"},
      {"static:///::1:2", 11, "in brackets"},
  };
  static const struct sample file[] = {
      {"file:///etc/x", 0, ""},
      {"file://etc/x", 8, "file has no server to choose"},
      {"srv:///x?y=1", 10, "unknown key"},
  };
#define EACH(declared, samples) each_is_judged(declared, samples, sizeof samples / sizeof *samples)
  EACH("{ authority = 'addresses' }", etcd);
  EACH("{ authority = 'addresses', options = { passing = { 'boolean', optional = true },"
       " tag = { 'list', of = 'string', min = 1, optional = true },"
       " retries = { 'integer', optional = true }, wait = { 'duration', optional = true } } }",
       consul);
  EACH("{ name = 'address' }", dns);
  EACH("{ name = 'addresses' }", list);
  EACH("{}", file);
}

static void who_says_nothing_is_not_checked(void **state) {
  struct fault f = {0};
  assert_int_equal(checks("ours://a/b?c=1", NULL, &f), 0);
}

static void no_password_is_shown(void **state) {
  static const char *const bad[] = {"etcd://bob:hunter2@h1:1/web", "etcd://hunter2@h1/web",
                                    "etcd://bob:hunter2@h1/w b", "etcd://bob:hunter2%@h1/web",
                                    "etcd://bob:hunter2%40h1/web"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct target t;
    struct fault f = {0};
    assert_int_equal(target_parse(bad[i], &t, &f), -EINVAL);
    assert_null(strstr(f.text, "hunter2"));
  }
  struct target t;
  struct fault f = {0};
  target_parse(bad[0], &t, &f);
  assert_string_equal(f.text, "\"etcd://...@h1:1/web\": character 8: no user and no password in a "
                              "target: they are options of the registry");
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
      cmocka_unit_test(what_an_adapter_says_of_its_targets_is_checked),
      cmocka_unit_test(who_says_nothing_is_not_checked),
      cmocka_unit_test(no_password_is_shown),
      cmocka_unit_test(survives_random_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
