/* Durations, sizes, addresses, names and near words: vectors, and what is refused. */
#include "base/fault.h"
#include "base/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void durations(void **state) {
  static const struct {
    const char *text;
    int64_t ns;
  } good[] = {
      {"0", 0},
      {"1ns", 1},
      {"500us", 500000},
      {"500\u00b5s", 500000},
      {"500ms", 500000000},
      {"2s", 2000000000},
      {"1m30s", 90000000000},
      {"1.5h", 5400000000000},
      {".5s", 500000000},
      {"1.1s", 1100000000},
      {"0s", 0},
      {"1d12h", 129600000000000},
      {"2562047h", 9223369200000000000},
  };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    int64_t ns = -1;
    struct fault f = {0};
    assert_int_equal(duration_parse(good[i].text, &ns, &f), 0);
    assert_int_equal(ns, good[i].ns);
  }
  static const char *const bad[] = {"",   "5",   "s",     "-2s",      " 2s", "2 s", "2S",
                                    "2w", "1m2", "1..5s", "2562048h", ".s",  "0x5s"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    int64_t ns = -1;
    struct fault f = {0};
    assert_int_equal(duration_parse(bad[i], &ns, &f), -EINVAL);
    assert_int_equal(ns, -1);
    assert_true(strlen(f.text) > 10);
  }
}

static void sizes(void **state) {
  uint64_t n = 0;
  assert_int_equal(size_parse("4096", &n, NULL), 0);
  assert_int_equal(n, 4096);
  assert_int_equal(size_parse("16MiB", &n, NULL), 0);
  assert_int_equal(n, 16 << 20);
  static const char *const bad[] = {
      "", "-1", "1.5MiB", "16MB", "x", " 1", "99999999999999999999", "18446744073709551615GiB"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(size_parse(bad[i], &n, NULL), -EINVAL);
}

static void addresses(void **state) {
  static const struct {
    const char *text, *host;
    uint16_t port;
  } good[] = {{"127.0.0.1:80", "127.0.0.1", 80},
              {"[::1]:8500", "::1", 8500},
              {":80", "", 80},
              {"name.example:65535", "name.example", 65535},
              {"a:0", "a", 0}};
  char host[32];
  uint16_t port;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_int_equal(address_parse(good[i].text, host, sizeof host, &port, NULL), 0);
    assert_string_equal(host, good[i].host);
    assert_int_equal(port, good[i].port);
  }
  static const char *const bad[] = {
      "",       "127.0.0.1", "::1:80",
      "[::1]",  "[::1]80",   "a:65536",
      "a:-1",   "a:",        "a b:80",
      "a/b:80", "[::1",      "[x]:80",
      "a:1x",   "a:000080",  "this-host-name-is-longer-than-the-room-for-it:80"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct fault f = {0};
    assert_int_equal(address_parse(bad[i], host, sizeof host, &port, &f), -EINVAL);
    assert_non_null(strstr(f.text, bad[i]));
  }
}

static void names(void **state) {
  char longest[257];
  memset(longest, 'a', sizeof longest);
  assert_true(name_valid("web", 3));
  assert_true(name_valid("bl\u00e5 \u2603 \U0001F6F0", strlen("bl\u00e5 \u2603 \U0001F6F0")));
  assert_true(name_valid(longest, 255));
  assert_false(name_valid(longest, 256));
  static const char *const bad[] = {"",         "a\nb",     "a\x7f",        "\xff",
                                    "a\xc3",    "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                    "\xc2\x85", "\xe2\x98"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(name_valid(bad[i], strlen(bad[i])));
  assert_false(name_valid("a\0b", 3));
}

static void near_words(void **state) {
  static const char *const known[] = {"interval", "timeout", "rise", "fall", "tags"};
  assert_string_equal(nearest_word("intervall", known, 5), "interval");
  assert_string_equal(nearest_word("timoeut", known, 5), "timeout");
  assert_string_equal(nearest_word("Rise", known, 5), "rise");
  assert_string_equal(nearest_word("tag", known, 5), "tags");
  assert_null(nearest_word("weight", known, 5));
  assert_null(nearest_word("", known, 5));
  char monster[1000];
  memset(monster, 'x', sizeof monster - 1);
  monster[sizeof monster - 1] = 0;
  assert_null(nearest_word(monster, known, 5));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(durations), cmocka_unit_test(sizes),      cmocka_unit_test(addresses),
      cmocka_unit_test(names),     cmocka_unit_test(near_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
