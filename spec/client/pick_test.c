/* What perigee.h promises, one agent and one client: which endpoints are picked, what is told of
 * them, what the errors are. */
#include "client/fixture.h"

enum { PASSING = PERIGEE_PASSING, WARNING = PERIGEE_WARNING, CRITICAL = PERIGEE_CRITICAL };

/* An endpoint of a table in a test: a letter for its id, and what decides whether it is picked. */
static struct catalog_endpoint endpoint(const char *id, uint8_t status, double weight,
                                        uint16_t tier) {
  static uint32_t slots = 100;
  return (struct catalog_endpoint){.id = id,
                                   .address = "10.0.0.1",
                                   .port = 80,
                                   .status = status,
                                   .weight = weight,
                                   .tier = tier,
                                   .slot = ++slots,
                                   .slot_generation = 1};
}

/* The ids that `count` picks name, each once, in the order of the alphabet. */
static const char *picked(struct perigee_service *s, int count) {
  static char letters[32];
  bool seen[26] = {false};
  struct perigee_endpoint e;
  char id[8];
  size_t n = 0;
  for (int i = 0; i < count; i++) {
    assert_int_equal(perigee_pick_id(s, NULL, &e, id, sizeof id), 0);
    seen[id[0] - 'a'] = true;
  }
  for (int i = 0; i < 26; i++)
    if (seen[i])
      letters[n++] = (char)('a' + i);
  letters[n] = 0;
  return letters;
}

static struct perigee_service_info about(struct perigee_service *s) {
  struct perigee_service_info info = {.size = sizeof info};
  assert_int_equal(perigee_service_info(s, &info), 0);
  return info;
}

/* Whatever the balancer, picks choose among the same rows. */
static void who_is_picked(void **state) {
  static const char *const balancers[] = {NULL, "round_robin", "random", "weighted"};
  for (size_t b = 0; b < sizeof balancers / sizeof balancers[0]; b++) {
    struct perigee_service *s = open_service("who");
    struct catalog_endpoint healthy[] = {
        endpoint("a", CRITICAL, 1, 0), endpoint("b", PASSING, 2, 0), endpoint("c", WARNING, 1, 0),
        endpoint("d", PASSING, 0, 0),  endpoint("e", PASSING, 9, 1),
    };
    publish("who", balancers[b], healthy, 5);
    assert_string_equal(picked(s, 200), "bc");
    assert_int_equal(about(s).healthy, 4);
    assert_int_equal(about(s).pickable, 2);
    assert_false(about(s).fail_open);
    assert_string_equal(about(s).balancer, balancers[b] ? balancers[b] : "p2c_ewma");

    /* The first tier is down: the next one takes over. */
    healthy[1].status = healthy[2].status = CRITICAL;
    publish("who", balancers[b], healthy, 5);
    assert_string_equal(picked(s, 200), "e");

    /* What is healthy has no weight: nothing to pick, and no reason to fail open. */
    struct perigee_endpoint e;
    healthy[4].status = CRITICAL;
    publish("who", balancers[b], healthy, 5);
    assert_int_equal(perigee_pick(s, NULL, &e), -EHOSTUNREACH);
    assert_false(about(s).fail_open);

    /* None is healthy: fail open, to the first tier, still not to what has no weight. */
    healthy[3].status = CRITICAL;
    publish("who", balancers[b], healthy, 5);
    assert_string_equal(picked(s, 200), "abc");
    assert_true(about(s).fail_open);
    assert_int_equal(perigee_pick(s, NULL, &e), 0);
    assert_int_equal(e.status, CRITICAL);

    publish("who", balancers[b], NULL, 0);
    assert_int_equal(perigee_pick(s, NULL, &e), -EHOSTUNREACH);
    assert_false(about(s).fail_open);
    assert_int_equal(catalog_withdraw(w, "who"), 0);
    assert_int_equal(perigee_pick(s, NULL, &e), -ENOENT);
    assert_int_equal(perigee_version(s), 0);
    perigee_service_close(s);
  }
}

static void round_robin_in_a_handle(void **state) {
  struct catalog_endpoint e[5];
  static const char *const ids[] = {"a", "b", "c", "d", "e"};
  for (int i = 0; i < 5; i++)
    e[i] = endpoint(ids[i], i == 2 ? CRITICAL : PASSING, 1 + i, 0);
  publish("turns", "round_robin", e, 5);
  struct perigee_service *s = open_service("turns");
  int counts[5] = {0};
  for (int i = 0; i < 4 * 25; i++) {
    struct perigee_endpoint found;
    char id[8];
    assert_int_equal(perigee_pick_id(s, NULL, &found, id, sizeof id), 0);
    counts[id[0] - 'a']++;
  }
  for (int i = 0; i < 5; i++)
    assert_int_equal(counts[i], i == 2 ? 0 : 25);
  perigee_service_close(s);
}

static void addresses(void **state) {
  static const struct {
    const char *address;
    int family;
  } cases[] = {
      {"10.1.2.3", PERIGEE_IP4},
      {"255.255.255.255", PERIGEE_IP4},
      {"::1", PERIGEE_IP6},
      {"2001:db8:85a3:1234:1319:8a2e:0370:7344", PERIGEE_IP6},
      {"fe80::1%eth0", PERIGEE_IP6},
      {"::ffff:10.0.0.1", PERIGEE_IP6},
      {"db.example.net", PERIGEE_NAME},
      {"exactly-thirty-nine-bytes.example.net.x", PERIGEE_NAME},
      {"exactly-forty-bytes-long.example.net.xyz", PERIGEE_NAME},
      {"cafe", PERIGEE_NAME},
      {"/run/app.sock", PERIGEE_UNIX},
      {"@abstract", PERIGEE_UNIX},
      {"a23456789.b23456789.c23456789.d23456789.e23456789.f23456789.g23456789.h23456789.i23456789."
       "j23456789.k23456789.l23456789.m23456789.n23456789.o23456789.p23456789.q23456789.r23456789."
       "s23456789.t23456789.u23456789.v23456789.w23456789.x23456789.y23456789.z2345",
       PERIGEE_NAME},
  };
  struct perigee_service *s = open_service("addresses");
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct perigee_endpoint e, listed;
    struct catalog_endpoint one = endpoint("a", PASSING, 1, 0);
    memset(&e, 'x', sizeof e);
    one.address = cases[i].address;
    publish("addresses", NULL, &one, 1);
    assert_int_equal(perigee_pick(s, NULL, &e), 0);
    assert_string_equal(e.address, cases[i].address);
    assert_int_equal(e.address_length, strlen(cases[i].address));
    assert_int_equal(e.family, cases[i].family);
    assert_int_equal(perigee_list(s, &listed, 1), 1);
    assert_string_equal(listed.address, cases[i].address);
  }
  perigee_service_close(s);
}

/* Each in its turn, also where an address is too long for the shortest way. */
static void long_and_short_in_turn(void **state) {
  struct catalog_endpoint e[] = {endpoint("a", PASSING, 1, 0), endpoint("b", PASSING, 1, 0),
                                 endpoint("c", PASSING, 1, 0)};
  struct perigee_endpoint found, plain;
  char id[8], sequence[13] = "";
  e[1].address = "2001:db8:85a3:1234:1319:8a2e:0370:7344";
  publish("turns", "round_robin", e, 3);
  struct perigee_service *s = open_service("turns");
  do
    assert_int_equal(perigee_pick_id(s, NULL, &found, id, sizeof id), 0);
  while (*id != 'c');
  for (int i = 0; i < 12; i += 2) {
    assert_int_equal(perigee_pick_id(s, NULL, &found, id, sizeof id), 0);
    assert_int_equal(perigee_pick(s, NULL, &plain), 0);
    assert_string_equal(found.address, e[*id - 'a'].address);
    assert_string_equal(plain.address, e[plain.index].address);
    sequence[i] = *id;
    sequence[i + 1] = (char)('a' + plain.index);
  }
  assert_string_equal(sequence, "abcabcabcabc");
  perigee_service_close(s);
}

static void texts(void **state) {
  static const char *const tags[] = {"v1", "", "blue"};
  static const struct catalog_pair meta[] = {{"shard", "17"}, {"empty", ""}, {"", "no key"}};
  static const struct catalog_port ports[] = {{"http", 8080}, {"grpc", 9090}};
  struct catalog_endpoint e[] = {endpoint("", PASSING, 1, 0), endpoint("b", PASSING, 1, 1)};
  struct perigee_endpoint first, found[2];
  char long_id[300], text[400];
  memset(long_id, 'i', sizeof long_id);
  long_id[299] = 0;
  e[0].id = long_id;
  e[0].tags = tags;
  e[0].tag_count = 3;
  e[0].meta = meta;
  e[0].meta_count = 3;
  e[0].ports = ports;
  e[0].port_count = 2;
  e[0].zone = "eu-1a";
  uint64_t version = publish("texts", NULL, e, 2);
  struct perigee_service *s = open_service("texts");
  assert_int_equal(perigee_pick(s, NULL, &first), 0);
  assert_int_equal(first.version, version);
  assert_int_equal(first.slot, e[0].slot);
  assert_int_equal(perigee_list(s, found, 2), 2);

  static const struct {
    const char *what, *text;
    int error;
  } cases[] = {
      {"zone", "eu-1a", 0},      {"tag:0", "v1", 0},           {"tag:1", "", 0},
      {"tag:2", "blue", 0},      {"tag:3", NULL, -ENOENT},     {"meta:shard", "17", 0},
      {"meta:empty", "", 0},     {"meta:", "no key", 0},       {"meta:none", NULL, -ENOENT},
      {"port:grpc", "9090", 0},  {"port:none", NULL, -ENOENT}, {"tag:", NULL, -EINVAL},
      {"tag:-1", NULL, -EINVAL}, {"tag:1x", NULL, -EINVAL},    {"colour", NULL, -EINVAL},
      {"", NULL, -EINVAL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int n = perigee_endpoint_text(s, &first, cases[i].what, text, sizeof text);
    assert_int_equal(n, cases[i].text ? (int)strlen(cases[i].text) : cases[i].error);
    if (cases[i].text)
      assert_string_equal(text, cases[i].text);
  }
  assert_int_equal(perigee_endpoint_text(s, &first, "id", text, 300), 299);
  assert_string_equal(text, long_id);
  assert_int_equal(perigee_endpoint_text(s, &first, "id", text, 299), -ENOSPC);
  assert_int_equal(perigee_endpoint_text(s, &first, "port:grpc", text, 4), -ENOSPC);
  assert_int_equal(perigee_endpoint_text(s, &found[1], "zone", text, sizeof text), 0);
  assert_int_equal(perigee_endpoint_text(s, &found[1], "tag:0", text, sizeof text), -ENOENT);
  assert_int_equal(perigee_endpoint_meta_key(s, &first, 1, text, sizeof text), 5);
  assert_string_equal(text, "empty");
  assert_int_equal(perigee_endpoint_meta_key(s, &first, 3, text, sizeof text), -ENOENT);
  assert_int_equal(perigee_endpoint_meta_key(s, &first, -1, text, sizeof text), -ENOENT);

  /* It has moved to another row; then it is another generation; then it is gone. */
  struct catalog_endpoint swapped[] = {e[1], e[0]};
  swapped[0].tier = 0;
  publish("texts", NULL, swapped, 2);
  assert_int_equal(perigee_endpoint_text(s, &first, "zone", text, sizeof text), 5);
  swapped[1].slot_generation++;
  publish("texts", NULL, swapped, 2);
  assert_int_equal(perigee_endpoint_text(s, &first, "zone", text, sizeof text), -ESTALE);
  assert_int_equal(catalog_withdraw(w, "texts"), 0);
  assert_int_equal(perigee_endpoint_text(s, &first, "zone", text, sizeof text), -ESTALE);
  perigee_service_close(s);
}

static void ids_in_a_pick(void **state) {
  struct perigee_service *s = open_service("ids");
  struct perigee_endpoint e;
  char id[64], expected[64] = "", buffer[72];
  for (size_t length = 0; length < 40; length++) {
    struct catalog_endpoint one = endpoint(expected, PASSING, 1, 0);
    publish("ids", NULL, &one, 1);
    for (size_t size = 0; size < sizeof id; size++) {
      memset(buffer, '#', sizeof buffer);
      int r = perigee_pick_id(s, NULL, &e, buffer, size);
      assert_int_equal(r, size > length ? 0 : -ENOSPC);
      if (r == 0)
        assert_string_equal(buffer, expected);
      for (size_t i = size; i < sizeof buffer; i++)
        assert_int_equal(buffer[i], '#');
    }
    strcat(expected, "x");
  }
  perigee_service_close(s);
}

static void named_ports(void **state) {
  static const struct catalog_port ports[] = {{"http", 8080}, {"grpc", 9090}};
  struct catalog_endpoint e = endpoint("a", PASSING, 1, 0);
  struct perigee_pick_options options = {.size = sizeof options, .port = "grpc"};
  struct perigee_service *s = open_service("ports");
  struct perigee_endpoint found;
  e.ports = ports;
  e.port_count = 2;
  publish("ports", NULL, &e, 1);
  assert_int_equal(perigee_pick(s, &options, &found), 0);
  assert_int_equal(found.port, 9090);
  assert_int_equal(perigee_pick(s, NULL, &found), 0);
  assert_int_equal(found.port, 80);
  options.port = "metrics";
  assert_int_equal(perigee_pick(s, &options, &found), -ENXIO);
  perigee_service_close(s);
}

/* A tick replaces the block and wakes nobody. */
static void versions(void **state) {
  struct catalog_endpoint e = endpoint("a", PASSING, 1, 0);
  struct perigee_service *s = open_service("versions");
  struct perigee_endpoint found;
  uint64_t tick;
  assert_int_equal(perigee_version(s), 0);
  assert_int_equal(perigee_wait(s, 0, 1), -ETIMEDOUT);
  uint64_t first = publish("versions", NULL, &e, 1);
  assert_int_equal(perigee_wait(s, 0, -1), 0);
  assert_int_equal(perigee_version(s), first);
  e.weight = 0.5;
  struct catalog_snapshot snapshot = {.service = "versions", .endpoints = &e, .count = 1};
  assert_int_equal(catalog_publish(w, &snapshot, &tick), 0);
  assert_int_equal(tick, first);
  assert_int_equal(perigee_wait(s, first, 1), -ETIMEDOUT);
  assert_int_equal(perigee_pick(s, NULL, &found), 0);
  assert_true(found.weight == 0.5f);
  assert_int_equal(found.version, first);
  assert_int_equal(about(s).stale, 0);
  assert_int_equal(about(s).stale_ms, 0);
  snapshot.stale_since_ns = (int64_t)select_now_ns() - INT64_C(7000000000);
  assert_int_equal(catalog_publish(w, &snapshot, NULL), 0);
  assert_true(about(s).stale);
  assert_true(about(s).stale_ms >= 7000 && about(s).stale_ms < 600000);
  uint64_t second = publish("versions", NULL, &e, 1);
  assert_true(second > first);
  assert_int_equal(perigee_wait(s, first, -1), 0);
  assert_int_equal(catalog_withdraw(w, "versions"), 0);
  assert_int_equal(perigee_wait(s, second, -1), 0);
  uint64_t third = publish("versions", NULL, &e, 1); /* the same entry, a version of its own */
  assert_true(third > second && perigee_version(s) == third);
  perigee_service_close(s);
}

static void what_publish_refuses(void **state) {
  struct catalog_endpoint good = endpoint("a", PASSING, 1, 0), e;
  struct perigee_service *s = open_service("refused");
  struct perigee_endpoint found;
  char name[300], text[70000];
  uint64_t version = publish("refused", NULL, &good, 1);
  struct catalog_snapshot snapshot = {
      .service = "refused", .endpoints = &e, .count = 1, .moves_version = 1};
  memset(name, 'n', sizeof name);
  memset(text, 't', sizeof text);
  name[256] = text[65536] = 0;
#define REFUSED(field, value)                                                                      \
  (e = good, e.field = (value), assert_int_equal(catalog_publish(w, &snapshot, NULL), -EINVAL))
  REFUSED(weight, -1);
  REFUSED(weight, 1.0 / 0.0);
  REFUSED(weight, 0.0 / 0.0);
  REFUSED(status, 3);
  REFUSED(address, NULL);
  REFUSED(address, "");
  REFUSED(address, name);
  REFUSED(id, text);
#undef REFUSED
  e = good;
  snapshot.balancer = "no such";
  assert_int_equal(catalog_publish(w, &snapshot, NULL), -EINVAL);
  snapshot.balancer = NULL;
  snapshot.service = name;
  assert_int_equal(catalog_publish(w, &snapshot, NULL), -EINVAL);
  snapshot.service = "";
  assert_int_equal(catalog_publish(w, &snapshot, NULL), -EINVAL);
  assert_int_equal(perigee_pick(s, NULL, &found), 0);
  assert_int_equal(found.version, version); /* the snapshot before stayed */
  struct perigee_service *none;
  assert_int_equal(perigee_service_open(p, name, &none), -EINVAL);
  assert_int_equal(perigee_service_open(p, "", &none), -EINVAL);
  perigee_service_close(s);
}

static int collect(void *arg, const char *name) {
  if (strncmp(name, "many-", 5) == 0)
    ++*(int *)arg;
  return strcmp(name, "many-stop") == 0 ? 7 : 0;
}

/* So many that the name index and the directory's chunk are replaced and extended. */
static void many_services(void **state) {
  enum { MANY = 3000 };
  struct catalog_endpoint e = endpoint("a", PASSING, 1, 0);
  struct perigee_service *s = open_service("many-2999");
  struct perigee_endpoint found;
  char name[32];
  int count = 0;
  for (int i = 0; i < MANY; i++) {
    snprintf(name, sizeof name, "many-%d", i);
    publish(name, NULL, &e, 1);
  }
  assert_int_equal(perigee_pick(s, NULL, &found), 0);
  perigee_service_close(s);
  for (int i = 0; i < MANY; i += 37) {
    snprintf(name, sizeof name, "many-%d", i);
    s = open_service(name);
    assert_int_equal(perigee_pick(s, NULL, &found), 0);
    perigee_service_close(s);
  }
  assert_int_equal(perigee_services(p, collect, &count), 0);
  assert_int_equal(count, MANY);
  assert_int_equal(catalog_withdraw(w, "many-0"), 0);
  count = 0;
  assert_int_equal(perigee_services(p, collect, &count), 0);
  assert_int_equal(count, MANY - 1);
  publish("many-stop", NULL, &e, 1);
  assert_int_equal(perigee_services(p, collect, &count), 7);
}

static void slots(void **state) {
  uint32_t slot, generation, other, other_generation;
  struct catalog_stats before, after;
  catalog_stats(w, &before);
  assert_int_equal(catalog_slot_take(w, &slot, &generation), 0);
  assert_true(slot > 0 && generation > 0);
  catalog_slot_free(w, slot);
  catalog_slot_free(w, slot); /* twice is once */
  catalog_slot_free(w, 1 << 30);
  assert_int_equal(catalog_slot_take(w, &other, &other_generation), 0);
  assert_int_not_equal(other, slot); /* it rests */
  catalog_tick(w);
  catalog_stats(w, &after);
  assert_int_equal(after.slots, before.slots + 1);
  for (int i = 0; i < 3000; i++) /* more than one chunk */
    assert_int_equal(catalog_slot_take(w, &slot, &generation), 0);
}

static void about_the_agent(void **state) {
  struct perigee_info info = {.size = sizeof info};
  struct catalog_stats stats;
  catalog_tick(w);
  catalog_stats(w, &stats);
  assert_int_equal(perigee_info(p, &info), 0);
  assert_int_equal(info.agent_pid, getpid());
  assert_true(info.agent_alive);
  assert_int_equal(info.version, catalog_version(w));
  assert_int_equal(info.services, stats.services);
  assert_int_equal(info.endpoints, stats.endpoints);
  assert_int_equal(info.bytes, stats.file_bytes);
  info.size = 4;
  assert_int_equal(perigee_info(p, &info), -EINVAL);
}

static void the_run_directory(void **state) {
  char path[256];
  setenv("PERIGEE_RUN_DIR", "/somewhere", 1);
  assert_int_equal(perigee_run_dir(path, sizeof path), 0);
  assert_string_equal(path, "/somewhere");
  assert_int_equal(perigee_run_dir(path, 5), -ENAMETOOLONG);
  setenv("PERIGEE_RUN_DIR", run_dir, 1);
  struct perigee *other;
  assert_int_equal(perigee_open(&other, NULL), 0);
  perigee_close(other);
  unsetenv("PERIGEE_RUN_DIR");
  setenv("XDG_RUNTIME_DIR", "/nonexistent", 1); /* no catalog in it */
  assert_int_equal(perigee_run_dir(path, sizeof path), 0);
  assert_null(strstr(path, "nonexistent"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(who_is_picked),
      cmocka_unit_test(round_robin_in_a_handle),
      cmocka_unit_test(addresses),
      cmocka_unit_test(long_and_short_in_turn),
      cmocka_unit_test(texts),
      cmocka_unit_test(ids_in_a_pick),
      cmocka_unit_test(named_ports),
      cmocka_unit_test(versions),
      cmocka_unit_test(what_publish_refuses),
      cmocka_unit_test(slots),
      cmocka_unit_test(many_services),
      cmocka_unit_test(about_the_agent),
      cmocka_unit_test(the_run_directory),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
