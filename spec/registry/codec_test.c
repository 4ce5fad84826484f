#include "registry/fixture.h"

#include "base/buf.h"
#include "base/value.h"

#include <errno.h>

static uint64_t rnd(uint64_t below) {
  return fixture_read_random(NULL) % below;
}

/* Texts of all kinds: empty, long, not ASCII. */
static const char *random_text(char *room, size_t most) {
  size_t length = rnd(8) ? rnd(12) : rnd(most);
  for (size_t i = 0; i < length; i++)
    room[i] = (char)('a' + rnd(26));
  room[length] = '\0';
  if (length > 2 && rnd(4) == 0)
    memcpy(room, "\xc3\xa9", 2);
  return room;
}

static struct value *random_value(int depth) {
  char text[300];
  switch (depth > 4 ? rnd(4) : rnd(5)) {
  case 0:
    return value_nil();
  case 1:
    return value_boolean(rnd(2));
  case 2:
    return value_number((double)(int64_t)rnd(UINT64_MAX) / 1024);
  case 3:
    return value_text("with\0nul", 1 + rnd(8));
  }
  struct value *table = value_table();
  for (uint64_t n = rnd(4); n > 0; n--)
    value_append(table, random_value(depth + 1));
  for (uint64_t n = rnd(4); n > 0; n--)
    value_set(table, random_text(text, 200), random_value(depth + 1));
  return table;
}

static struct registration *random_registration(void) {
  static char texts[64][300];
  int used = 0;
#define TEXT(most) random_text(texts[used++], most)
  struct catalog_port ports[3] = {{"grpc", 9090}, {"http", 8080}, {"ssh", 22}};
  const char *tags[4];
  struct catalog_pair meta[3] = {{"k", ""}, {"region", ""}, {"v", ""}};
  struct instance_draft d = {.id = "id-1",
                             .service = "web",
                             .address = rnd(2) ? "10.0.0.1" : "/run/web.sock",
                             .zone = TEXT(100),
                             .weight = (double)rnd(1000) / 7,
                             .ports = ports,
                             .tags = tags,
                             .meta = meta,
                             .port_count = (uint16_t)rnd(4),
                             .tag_count = (uint16_t)rnd(5),
                             .meta_count = (uint16_t)rnd(4)};
  d.port = d.address[0] == '/' ? 0 : (uint16_t)rnd(65536);
  for (int i = 0; i < d.tag_count; i++)
    tags[i] = TEXT(250);
  for (int i = 0; i < d.meta_count; i++)
    meta[i].value = TEXT(250);
  struct instance *in = instance_new(&d);
  struct check_definition checks[4];
  uint32_t count = (uint32_t)rnd(5);
  for (uint32_t i = 0; i < count; i++) {
    bool ttl = rnd(2);
    snprintf(texts[used], sizeof texts[used], "check-%u", (unsigned)i);
    checks[i] = (struct check_definition){.id = texts[used++],
                                          .name = TEXT(250),
                                          .notes = TEXT(250),
                                          .plugin = ttl ? "ttl" : "http",
                                          .options = rnd(2) ? random_value(0) : NULL,
                                          .interval_ns = ttl ? 0 : 1 + (int64_t)rnd(1000000),
                                          .ttl_ns = ttl ? 1 + (int64_t)rnd(1000000) : 0,
                                          .timeout_ns = (int64_t)rnd(1000),
                                          .deregister_after_ns = (int64_t)rnd(1000),
                                          .rise = (int)rnd(5),
                                          .fall = (int)rnd(5),
                                          .initial = (enum status)rnd(3)};
  }
  struct registration *r =
      registration_new(&(struct registration){.origin = (enum origin)rnd(4),
                                              .instance = in,
                                              .checks = checks,
                                              .check_count = count,
                                              .lease_ms = (int64_t)rnd(100000),
                                              .owner_pid = (int)rnd(40000),
                                              .owner_start = rnd(UINT64_MAX),
                                              .weight_warning = (int)rnd(100) - 1,
                                              .tag_override = rnd(2)});
  for (uint32_t i = 0; i < count; i++)
    value_unref(checks[i].options);
  instance_unref(in);
  return r;
}

static void test_round_trip(void **state) {
  for (int i = 0; i < 2000; i++) {
    struct registration *r = random_registration(), *back = NULL;
    struct buf bytes = {0};
    assert_int_equal(registration_encode(r, &bytes), 0);
    assert_int_equal(registration_decode(bytes.data, bytes.length, &back), 0);
    assert_true(registration_equal(r, back));
    registration_unref(back);
    registration_unref(r);
    buf_free(&bytes);
  }
}

/* Cut anywhere, or with any bytes changed: refused, or a registration that is fit, and never more
 * than was there. (ASan watches the rest.) */
static void test_damaged(void **state) {
  for (int i = 0; i < 200; i++) {
    struct registration *r = random_registration(), *back = NULL;
    struct buf bytes = {0};
    registration_encode(r, &bytes);
    for (size_t cut = 0; cut < bytes.length; cut += 1 + rnd(8)) {
      char *exact = malloc(cut ? cut : 1); /* so that a read beyond it is seen */
      memcpy(exact, bytes.data, cut);
      assert_int_equal(registration_decode(exact, cut, &back), -EPROTO);
      free(exact);
    }
    for (int round = 0; round < 200; round++) {
      char *exact = malloc(bytes.length);
      memcpy(exact, bytes.data, bytes.length);
      for (uint64_t n = 1 + rnd(4); n > 0; n--)
        exact[rnd(bytes.length)] = (char)(rnd(3) ? rnd(256) : 255);
      int rc = registration_decode(exact, bytes.length, &back);
      if (rc == 0) {
        assert_int_equal(registration_check(back, NULL), 0);
        registration_unref(back);
      } else {
        assert_int_equal(rc, -EPROTO);
      }
      free(exact);
    }
    registration_unref(r);
    buf_free(&bytes);
  }
}

static void test_newer_version_and_trailing_bytes(void **state) {
  struct registration *r = make("web", "web-1", 0, NULL, 0), *back = NULL;
  struct buf bytes = {0};
  registration_encode(r, &bytes);
  buf_char(&bytes, 'x');
  assert_int_equal(registration_decode(bytes.data, bytes.length, &back), -EPROTO);
  bytes.data[0] = 2;
  assert_int_equal(registration_decode(bytes.data, bytes.length - 1, &back), -EPROTO);
  bytes.data[0] = 1;
  assert_int_equal(registration_decode(bytes.data, bytes.length - 1, &back), 0);
  registration_unref(back);
  registration_unref(r);
  buf_free(&bytes);
}

static void test_too_deep(void **state) {
  struct value *v = value_table();
  for (int i = 0; i < 150; i++) {
    struct value *outer = value_table();
    value_append(outer, v);
    v = outer;
  }
  struct check_definition c = {.id = "c", .plugin = "http", .options = v, .interval_ns = second};
  struct registration *r = make("web", "web-1", 0, &c, 1);
  struct buf bytes = {0};
  assert_int_equal(registration_encode(r, &bytes), -E2BIG);
  buf_free(&bytes);
  registration_unref(r);
  value_unref(v);
}

static void test_check_says_what_is_wrong(void **state) {
  struct check_definition c[] = {{.id = "a", .plugin = "http", .interval_ns = second},
                                 {.id = "a", .plugin = "tcp", .interval_ns = second}};
  struct fault f;
  struct registration *r = make("web", "web-1", 0, c, 2);
  assert_int_equal(registration_check(r, &f), -EINVAL);
  assert_string_equal(f.text, "check a: the id is there twice");
  registration_unref(r);
  c[0].interval_ns = 0;
  r = make("web", "web-1", 0, c, 1);
  assert_int_equal(registration_check(r, &f), -EINVAL);
  assert_string_equal(f.text, "check a: its interval must be more than 0");
  registration_unref(r);
  r = make("web", "web-1", -1, NULL, 0);
  assert_int_equal(registration_check(r, &f), -EINVAL);
  registration_unref(r);
  r = make("web", "", 0, NULL, 0);
  assert_int_equal(registration_check(r, &f), -EINVAL);
  registration_unref(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_damaged),
      cmocka_unit_test(test_newer_version_and_trailing_bytes),
      cmocka_unit_test(test_too_deep),
      cmocka_unit_test(test_check_says_what_is_wrong),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
