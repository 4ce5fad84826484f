/* Plugins that pick: what they see, what they may answer, what becomes of those that fail, and how
 * threads take over what is published. spec: threads */
#include "base/value.h"
#include "fixture.h"

#include "catalog/live.h"
#include "catalog/writer.h"
#include "client/perigee.h"
#include "vm/pick/pick_rules.h"
#include "vm/pick/picker.h"

#include <math.h>
#include <pthread.h>

static struct value *parts_of(const char *source) {
  struct value *parts = value_table();
  value_set(parts, "source", value_text(source, strlen(source)));
  return parts;
}

struct rig {
  char dir[40];
  struct catalog_writer *writer;
  struct perigee *perigee;
  struct perigee_service *service;
  uv_loop_t loop;
  struct pick_rules *rules;
  struct pickers *pickers;
  struct pick_rule *rule; /* the one in use */
  uint32_t slots[8];
  atomic_int told;
};

static const struct isolate_limits limits = {.compiled = true};

static void on_fault(void *arg) {
  struct rig *rig = arg;
  rig->told++;
}

static const char *const tags[2][2] = {{"v1", "blue"}, {"v2", "green"}};

static void publish(struct rig *rig, int count, const char *balancer) {
  struct catalog_endpoint e[8] = {0};
  char ids[8][16];
  for (int i = 0; i < count; i++) {
    snprintf(ids[i], sizeof ids[i], "web-%d", i + 1);
    e[i] = (struct catalog_endpoint){.address = "10.0.0.1",
                                     .id = ids[i],
                                     .port = (uint16_t)(81 + i),
                                     .weight = i + 1,
                                     .zone = i % 2 ? "b" : "a",
                                     .tags = tags[i % 2],
                                     .tag_count = 2};
    if (!rig->slots[i])
      assert_int_equal(catalog_slot_take(rig->writer, &rig->slots[i], &e[i].slot_generation), 0);
    e[i].slot = rig->slots[i];
    e[i].slot_generation = catalog_live_slot(rig->writer, rig->slots[i])->generation;
  }
  const struct catalog_snapshot s = {.service = "web",
                                     .balancer = balancer,
                                     .endpoints = e,
                                     .count = (size_t)count,
                                     .moves_version = 1};
  assert_int_equal(catalog_publish(rig->writer, &s, NULL), 0);
}

static int rig_open(void **state) {
  struct rig *rig = calloc(1, sizeof *rig);
  strcpy(rig->dir, "/tmp/perigee-picker-XXXXXX");
  if (!mkdtemp(rig->dir) || catalog_writer_open(rig->dir, &rig->writer, NULL) != 0)
    return -1;
  uv_loop_init(&rig->loop);
  publish(rig, 5, "pick_first");
  if (perigee_open(&rig->perigee, rig->dir) != 0 ||
      perigee_service_open(rig->perigee, "web", &rig->service) != 0)
    return -1;
  rig->rules = pick_rules_new(on_fault, rig);
  rig->pickers = pickers_new(
      &(struct pickers_with){.rules = rig->rules, .thread = 3, .loop = &rig->loop, .library = "."});
  *state = rig;
  return 0;
}

static int rig_close(void **state) {
  struct rig *rig = *state;
  char command[80];
  pickers_end(rig->pickers);
  uv_run(&rig->loop, UV_RUN_DEFAULT);
  int left = uv_loop_close(&rig->loop);
  perigee_service_close(rig->service);
  pickers_free(rig->pickers);
  pick_rule_unref(rig->rule);
  pick_rules_free(rig->rules);
  perigee_close(rig->perigee);
  catalog_writer_close(rig->writer);
  snprintf(command, sizeof command, "rm -r %s", rig->dir);
  left |= system(command);
  free(rig);
  return left;
}

static struct pick_rule *make_rule(const char *body, const struct value *options) {
  struct buf b = {0};
  buf_format(&b,
             "return { kind = 'balancer', summary = 'a test', options = { n = { 'number', 7 } },\n"
             "pick = function(view, key, options)\n%s\nend }",
             body);
  struct pick_rule *r =
      pick_rule_new("under_test", "/test/under_test.lua", parts_of(b.data), "", &limits, options);
  assert_non_null(r);
  buf_free(&b);
  return r;
}

/* Has web picked by a plugin with this body. */
static void use(struct rig *rig, const char *body) {
  pick_rule_unref(rig->rule);
  rig->rule = make_rule(body, NULL);
  assert_int_equal(pick_rules_publish(rig->rules, &(struct pick_use){"web", rig->rule}, 1), 0);
  pickers_bind(rig->pickers, "web", rig->service);
}

/* The endpoint's number, from 1, by its port. */
static int pick_by(struct rig *rig, const char *key) {
  struct perigee_endpoint e;
  struct perigee_pick_options o = {.size = sizeof o, .flags = PERIGEE_NO_REPORT, .key = key};
  o.key_length = key ? strlen(key) : 0;
  assert_int_equal(perigee_pick(rig->service, &o, &e), 0);
  return e.port - 80;
}

static int picked(struct rig *rig) {
  return pick_by(rig, NULL);
}

static uint64_t faults(struct rig *rig) {
  return rig->rule->counts[3].faults;
}

static const char *blamed(struct rig *rig) {
  static char text[500];
  pick_rule_blamed(rig->rule, text, sizeof text);
  return text;
}

/* ---- what they see ---- */

static void what_is_returned_is_picked(void **state) {
  struct rig *rig = *state;
  use(rig, "return 3");
  assert_int_equal(picked(rig), 3);
  use(rig, "return #view");
  assert_int_equal(picked(rig), 5);
  use(rig, "return view:count() - 1");
  assert_int_equal(picked(rig), 4);
  use(rig, "return options.n - 5");
  assert_int_equal(picked(rig), 2);
  assert_int_equal(rig->rule->counts[3].picks, 1);
  assert_int_equal(faults(rig), 0);
  assert_true(rig->rule->counts[3].memory > 10000);
}

static void nil_has_the_standin_pick(void **state) {
  struct rig *rig = *state;
  use(rig, "return nil");
  assert_int_equal(picked(rig), 1);
  use(rig, "if key == 'odd' then return 5 end");
  assert_int_equal(pick_by(rig, "odd"), 5);
  assert_int_equal(pick_by(rig, "even"), 1);
  assert_int_equal(faults(rig), 0);
}

static void the_view_is_the_snapshot(void **state) {
  struct rig *rig = *state;
  static const char *const truths[] = {
      "view:weight(1) == 1 and view:weight(5) == 5",
      "view:id(2) == 'web-2' and view:id(5) == 'web-5'",
      "view:zone(1) == 'a' and view:zone(2) == 'b'",
      "view:has(1, 'v1') and view:has(1, 'blue') and not view:has(1, 'v2') and not view:has(1, '')",
      "view:has(2, 'green') and not view:has(2, 'green\\0')",
      "view:status(1) == 'passing'",
      "view:in_flight(1) == 0 and view:latency(1) == 0",
      "key == nil and select('#', options) == 1",
      "view:hash(1) == 1 and view:hash(1000) >= 1 and view:hash(1000) <= 1000",
      "not pcall(view.hash, view, 0) and not pcall(view.hash, view, 0 / 0)",
      "getmetatable(view) == 'view' and not pcall(function() view.x = 1 end)",
      "tostring(view):match('^userdata') ~= nil",
  };
  for (size_t i = 0; i < sizeof truths / sizeof *truths; i++) {
    char body[300];
    snprintf(body, sizeof body, "return (%s) and 4 or 2", truths[i]);
    use(rig, body);
    for (int n = 0; n < 150; n++) /* the last ones are compiled */
      if (picked(rig) != 4)
        fail_msg("%s, in pick %d: %s", truths[i], n, blamed(rig));
  }
}

static void live_load_is_seen(void **state) {
  struct rig *rig = *state;
  use(rig, "local best, least = 1, math.huge\n"
           "for i = 1, #view do\n"
           "  local n = view:in_flight(i)\n"
           "  if n < least then best, least = i, n end\n"
           "end\nreturn best");
  catalog_tick(rig->writer); /* a heartbeat: the sums are believed */
  for (int i = 0; i < 5; i++) {
    struct catalog_slot *slot = catalog_live_slot(rig->writer, rig->slots[i]);
    catalog_store32(&slot->in_flight, i == 3 ? 1 : 10);
    catalog_store64(&slot->latency_ns, i == 2 ? 1000000 : 5000000);
  }
  assert_int_equal(picked(rig), 4);
  use(rig, "for i = 1, #view do if view:latency(i) < 0.002 then return i end end");
  assert_int_equal(picked(rig), 3);
  use(rig, "for i = 1, #view do if view:latency(i) ~= 0.005 and i ~= 3 then return i end end "
           "return 5");
  assert_int_equal(picked(rig), 5);
  assert_int_equal(faults(rig), 0);
}

static void the_same_key_has_the_same_hash(void **state) {
  struct rig *rig = *state;
  int seen[6] = {0};
  use(rig, "return view:hash(#view)");
  for (int k = 0; k < 60; k++) {
    char key[24];
    snprintf(key, sizeof key, "user-%d", k);
    int first = pick_by(rig, key);
    seen[first]++;
    for (int n = 0; n < 5; n++)
      assert_int_equal(pick_by(rig, key), first);
  }
  for (int i = 1; i <= 5; i++)
    assert_true(seen[i] > 0);
  use(rig, "return key == 'the key' and 2 or 1");
  assert_int_equal(pick_by(rig, "the key"), 2);
  use(rig, "return key == '' and 2 or 1");
  assert_int_equal(pick_by(rig, ""), 2);
}

static void what_the_caller_avoids_is_avoided(void **state) {
  struct rig *rig = *state;
  struct perigee_endpoint first, second;
  use(rig, "return 2");
  struct perigee_pick_options o = {.size = sizeof o, .flags = PERIGEE_NO_REPORT};
  assert_int_equal(perigee_pick(rig->service, &o, &first), 0);
  o.avoid = &first;
  o.avoid_count = 1;
  assert_int_equal(perigee_pick(rig->service, &o, &second), 0);
  assert_int_not_equal(second.port, first.port);
}

static void a_new_snapshot_is_seen(void **state) {
  struct rig *rig = *state;
  use(rig, "return #view");
  assert_int_equal(picked(rig), 5);
  publish(rig, 3, "pick_first");
  assert_int_equal(picked(rig), 3);
}

/* ---- what they may answer ---- */

static void what_is_no_endpoint_is_a_fault(void **state) {
  struct rig *rig = *state;
  static const char *const wrong[][2] = {
      {"return 0", "pick returned 0: the endpoints are 1 to 5"},
      {"return 6", "pick returned 6: the endpoints are 1 to 5"},
      {"return -1", "pick returned -1: the endpoints are 1 to 5"},
      {"return 1.5", "pick returned 1.5: the endpoints are 1 to 5"},
      {"return 0 / 0", "nan: the endpoints are 1 to 5"},
      {"return math.huge", "pick returned inf: the endpoints are 1 to 5"},
      {"return -math.huge", "pick returned -inf: the endpoints are 1 to 5"},
      {"return 2 ^ 32 + 1", "pick returned 4294967297: the endpoints are 1 to 5"},
      {"return 2 ^ 53", "the endpoints are 1 to 5"},
      {"return '2'", "pick returned a string: the number of an endpoint is wanted, or nil"},
      {"return 1LL", "pick returned a cdata: "},
      {"return {}", "pick returned a table: "},
      {"return false", "pick returned a boolean: "},
      {"return view", "pick returned a userdata: "},
      {"return pick", NULL},
      {"error('on purpose')", "under_test.lua:3: on purpose"},
      {"error({})", "raised a table"},
      {"return nil + 1", "under_test.lua:3: attempt to perform arithmetic"},
      {"return view:weight(0)", "there is no endpoint 0: they are 1 to 5"},
      {"return view:weight(6)", "there is no endpoint 6: they are 1 to 5"},
      {"return view:weight(-1)", "there is no endpoint -1: they are 1 to 5"},
      {"return view:weight(1.5)", "there is no endpoint 1.5: they are 1 to 5"},
      {"return view:weight(0 / 0)", "nan: they are 1 to 5"},
      {"return view:weight('1')", "there is no endpoint 1: they are 1 to 5"},
      {"return view:weight(1LL)", "there is no endpoint 1LL: they are 1 to 5"},
      {"return view:weight()", "there is no endpoint nil: they are 1 to 5"},
      {"return view:in_flight(2 ^ 31)", "there is no endpoint 2147483648"},
      {"return view:latency(2 ^ 32 + 1)", "there is no endpoint 4294967297"},
      {"return view:id(99)", "there is no endpoint 99"},
      {"return view:has(1, 5)", "a tag is a string"},
      {"return view.rows[1]", "under_test.lua:3: attempt to index field 'rows'"},
      {"while true do end", "killed: took more than 250000 steps or 2 ms, at "},
      {"while true do pcall(function() while true do end end) end", "killed: "},
      {"local function f() return f() end return f()", "killed: "},
      {"::a:: goto a", "killed: "},
      {"local s = ('x'):rep(2e7)", "out of memory: "},
      {"local s = 'x' for i = 1, 30 do s = s .. s end", ""} /* of memory or of time */,
      {"return (('a'):rep(3000)):find(('a*'):rep(50) .. 'b')", "killed: "},
      {"perigee.sleep(1)", "attempt to call field 'sleep'"},
      {"coroutine.yield(2)", "yield"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    use(rig, wrong[i][0]);
    for (uint64_t n = 1; n <= 3; n++) {
      int told = rig->told, got = picked(rig);
      if (got != 1) /* the standin's */
        fail_msg("%s: picked %d", wrong[i][0], got);
      if (wrong[i][1] && (faults(rig) != n || !strstr(blamed(rig), wrong[i][1])))
        fail_msg("%s: %llu faults, %s", wrong[i][0], (unsigned long long)faults(rig), blamed(rig));
      assert_true(!wrong[i][1] || rig->told == told + 1);
    }
  }
}

static void a_view_is_good_for_its_own_pick(void **state) {
  struct rig *rig = *state;
  use(rig, "kept_ = kept_ or view\nreturn kept_:weight(2)");
  assert_int_equal(picked(rig), 2); /* it shows the pick that is under way */
  publish(rig, 1, "pick_first");
  assert_int_equal(picked(rig), 1);
  assert_int_equal(faults(rig), 1);
  assert_non_null(strstr(blamed(rig), "there is no endpoint 2: they are 1 to 1"));
}

static void one_that_does_not_load_leaves_the_standin(void **state) {
  struct rig *rig = *state;
  pick_rule_unref(rig->rule);
  rig->rule = pick_rule_new("under_test", "/test/under_test.lua", parts_of("return { kind = "), "",
                            &limits, NULL);
  pick_rules_publish(rig->rules, &(struct pick_use){"web", rig->rule}, 1);
  pickers_bind(rig->pickers, "web", rig->service);
  for (int i = 0; i < 3; i++)
    assert_int_equal(picked(rig), 1);
  assert_int_equal(faults(rig), 1); /* it is tried once */
  assert_non_null(strstr(blamed(rig), "under_test.lua:1: "));
}

static void one_in_quarantine_is_not_asked(void **state) {
  struct rig *rig = *state;
  use(rig, "return 4");
  rig->rule->held = true;
  assert_int_equal(picked(rig), 1);
  assert_int_equal(rig->rule->counts[3].picks, 0);
  rig->rule->held = false;
  assert_int_equal(picked(rig), 4);
}

/* ---- how what is published is followed ---- */

static void rules_come_and_go_between_picks(void **state) {
  struct rig *rig = *state;
  use(rig, "return 2");
  assert_int_equal(picked(rig), 2);
  /* no binding anew: a handle that somebody kept follows too */
  struct pick_rule *next = make_rule("return 3", NULL);
  pick_rules_publish(rig->rules, &(struct pick_use){"web", next}, 1);
  assert_int_equal(picked(rig), 3);
  pick_rule_unref(next);
  pick_rules_publish(rig->rules, NULL, 0);
  assert_int_equal(picked(rig), 1);
  pick_rules_publish(rig->rules, &(struct pick_use){"web", rig->rule}, 1);
  assert_int_equal(picked(rig), 2);
  pickers_bind(rig->pickers, "other", rig->service);
  assert_int_equal(picked(rig), 1);
}

static void one_rule_has_one_isolate_for_all_services(void **state) {
  struct rig *rig = *state;
  struct perigee_service *other;
  use(rig, "n_ = (n_ or 0) + 1 return n_");
  const struct pick_use uses[] = {{"web", rig->rule}, {"other", rig->rule}};
  pick_rules_publish(rig->rules, uses, 2);
  assert_int_equal(perigee_service_open(rig->perigee, "web", &other), 0);
  pickers_bind(rig->pickers, "other", other);
  assert_int_equal(picked(rig), 1);
  struct perigee_endpoint e;
  assert_int_equal(perigee_pick(other, NULL, &e), 0);
  assert_int_equal(e.port, 82);
  perigee_service_close(other);
}

/* Threads that pick while another publishes one table after the other. */
enum { THREADS = 3, ROUNDS = 300 };
struct picking {
  struct rig *rig;
  unsigned number;
  atomic_bool *over;
  uint64_t picks, wrong;
};

static void *pick_on(void *arg) {
  struct picking *me = arg;
  struct perigee_service *s;
  struct perigee_endpoint e;
  uv_loop_t loop;
  uv_loop_init(&loop);
  const struct pickers_with with = {
      .rules = me->rig->rules, .thread = me->number, .loop = &loop, .library = "."};
  struct pickers *pickers = pickers_new(&with);
  perigee_service_open(me->rig->perigee, "web", &s);
  uint64_t bound = 0;
  while (!atomic_load(me->over) || me->picks == 0) {
    if (bound != pickers_version(pickers)) {
      bound = pickers_version(pickers);
      pickers_bind(pickers, "web", s);
    }
    struct perigee_pick_options o = {.size = sizeof o, .flags = PERIGEE_NO_REPORT};
    me->wrong += perigee_pick(s, &o, &e) != 0 || e.port < 81 || e.port > 85;
    me->picks++;
  }
  pickers_end(pickers);
  uv_run(&loop, UV_RUN_DEFAULT);
  me->wrong += uv_loop_close(&loop) != 0;
  perigee_service_close(s);
  pickers_free(pickers);
  return NULL;
}

static void threads_take_over_what_is_published(void **state) {
  struct rig *rig = *state;
  pthread_t threads[THREADS];
  struct picking pickings[THREADS];
  atomic_bool over = false;
  static const char *const bodies[] = {"return 2", "return 3", "return math.random(#view)",
                                       "error('x')", "return 9"};
  for (unsigned i = 0; i < THREADS; i++) {
    pickings[i] = (struct picking){rig, i, &over, 0, 0};
    pthread_create(&threads[i], NULL, pick_on, &pickings[i]);
  }
  for (int i = 0; i < ROUNDS; i++) {
    struct pick_rule *r = make_rule(bodies[i % 5], NULL);
    pick_rules_publish(rig->rules, &(struct pick_use){"web", r}, i % 7 ? 1 : 0);
    r->held = i % 11 == 0;
    char text[100];
    pick_rule_blamed(r, text, sizeof text);
    pick_rule_unref(r);
  }
  atomic_store(&over, true);
  for (unsigned i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(pickings[i].wrong, 0);
  }
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_open, rig_close)

int main(void) {
  const struct CMUnitTest tests[] = {
      RIG_TEST(what_is_returned_is_picked),
      RIG_TEST(nil_has_the_standin_pick),
      RIG_TEST(the_view_is_the_snapshot),
      RIG_TEST(live_load_is_seen),
      RIG_TEST(the_same_key_has_the_same_hash),
      RIG_TEST(what_the_caller_avoids_is_avoided),
      RIG_TEST(a_new_snapshot_is_seen),
      RIG_TEST(what_is_no_endpoint_is_a_fault),
      RIG_TEST(a_view_is_good_for_its_own_pick),
      RIG_TEST(one_that_does_not_load_leaves_the_standin),
      RIG_TEST(one_in_quarantine_is_not_asked),
      RIG_TEST(rules_come_and_go_between_picks),
      RIG_TEST(one_rule_has_one_isolate_for_all_services),
      RIG_TEST(threads_take_over_what_is_published),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
