/* What a watch's `balancer` may say, in the configuration's own words, and what it is told. */
#include "watch/balancer.h"

#include "base/fault.h"
#include "base/value.h"
#include "select/select.h"
#include "watch/instance.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include <cmocka.h>

/* There are the plugins canary, which sets weights, first, which sets tiers, here, which sets other
 * ones on each host, mine, which picks, and a broken one. */
static int plugin_of(void *arg, const char *name, struct balancer_plugin *out, struct fault *f) {
  *out = (struct balancer_plugin){
      .changes = strcmp(name, "first") == 0 ? PLAN_TIER : PLAN_WEIGHT,
      .picks = strcmp(name, "mine") == 0,
      .moves_keys = strcmp(name, "here") == 0 ? "each host would differ" : NULL,
  };
  if (strcmp(name, "broken") == 0)
    return fault_set(f, -EFAULT, "broken.lua:3: no");
  bool known = strcmp(name, "canary") == 0 || strcmp(name, "first") == 0 || out->moves_keys;
  return out->picks || known ? 0 : fault_set(f, -ENOENT, "there is no balancer %s", name);
}

static const struct balancer_host host = {"host-17", "eu-1a", plugin_of, NULL};

static struct value *read_value(lua_State *L, int at) {
  size_t length;
  if (lua_type(L, at) == LUA_TNUMBER)
    return value_number(lua_tonumber(L, at));
  if (lua_type(L, at) == LUA_TBOOLEAN)
    return value_boolean(lua_toboolean(L, at));
  if (lua_type(L, at) == LUA_TSTRING) {
    const char *text = lua_tolstring(L, at, &length);
    return value_text(text, length);
  }
  assert_int_equal(lua_type(L, at), LUA_TTABLE);
  struct value *table = value_table();
  for (int i = 1; lua_rawgeti(L, at, i), !lua_isnil(L, -1); i++) {
    value_append(table, read_value(L, lua_gettop(L)));
    lua_pop(L, 1);
  }
  for (; lua_next(L, at); lua_pop(L, 1))
    if (lua_type(L, -2) == LUA_TSTRING)
      value_set(table, lua_tostring(L, -2), read_value(L, lua_gettop(L)));
  return table;
}

static int parse_at(const char *text, const struct balancer_host *where, struct balancer *b,
                    struct fault *f) {
  char code[512];
  lua_State *L = luaL_newstate();
  snprintf(code, sizeof code, "return %s", text);
  assert_int_equal(luaL_dostring(L, code), 0);
  struct value *v = read_value(L, lua_gettop(L));
  int r = balancer_parse(v, where, b, f);
  value_unref(v); /* what is parsed lives without it */
  lua_close(L);
  return r;
}

static struct balancer parsed(const char *text) {
  struct balancer b;
  struct fault f = {0};
  if (parse_at(text, &host, &b, &f) != 0)
    fail_msg("%s: %s", text, f.text);
  return b;
}

static void refused(const char *text, const char *why) {
  struct balancer b;
  struct fault f = {0};
  assert_int_equal(parse_at(text, &host, &b, &f), -EINVAL);
  if (!strstr(f.text, why))
    fail_msg("%s: expected \"%s\", was told \"%s\"", text, why, f.text);
  assert_null(b.options);
}

static void every_algorithm_by_its_name(void **state) {
  for (unsigned i = 0; select_at(i); i++) {
    char text[64];
    snprintf(text, sizeof text, "'%s'", select_at(i)->name);
    struct balancer b = parsed(text);
    assert_string_equal(b.algorithm, select_at(i)->name);
    balancer_end(&b);
    snprintf(text, sizeof text, "{ { '%s' } }", select_at(i)->name);
    b = parsed(text);
    assert_string_equal(b.algorithm, select_at(i)->name);
    balancer_end(&b);
  }
  struct balancer b = parsed("'p2c'");
  assert_string_equal(b.algorithm, "p2c_ewma");
  balancer_end(&b);
  assert_int_equal(balancer_parse(NULL, &host, &b, NULL), 0);
  assert_null(b.algorithm);
}

static void stages_in_one_line(void **state) {
  struct balancer b = parsed("{ { 'zone' }, { 'slow_start', window = '30s' }, 'p2c' }");
  assert_string_equal(b.algorithm, "p2c_ewma");
  assert_true(b.rules.zone && b.rules.zone_min == 6);
  assert_string_equal(b.rules.own_zone, "eu-1a");
  assert_true(b.rules.slow_start_ns == 30000000000 && b.rules.aggression == 1);
  assert_int_equal(b.rules.decay_ms, 10000);
  balancer_end(&b);

  b = parsed("{ { 'select', 'v2', meta = { track = 'canary' } }, { 'panic', 0.3 },"
             "  { 'priority', overprovision = 2 }, { 'subset', 20 },"
             "  { 'zone', min = 2, clients = { ['eu-1a'] = 3, ['eu-1b'] = 1 } },"
             "  { 'slow_start', '1m', aggression = 2, floor = 0.2 },"
             "  { 'least_request', choices = 4, bias = 0 } }");
  assert_string_equal(b.select.tag, "v2");
  assert_true(b.rules.panic == 0.3 && b.rules.overprovision == 2 && b.rules.priority);
  assert_string_equal(b.rules.priority_key, "priority");
  assert_true(b.rules.subset == 20 && b.rules.subset_seed == select_hash("host-17", 7));
  assert_int_equal(b.rules.zone_share_count, 2);
  assert_true(fabs(b.rules.zone_shares[0].share + b.rules.zone_shares[1].share - 1) < 1e-12);
  assert_true(b.rules.unbiased && b.rules.choices == 4);
  balancer_end(&b);

  b = parsed("{ 'panic', 'maglev' }");
  assert_true(b.rules.panic == 0.5);
  balancer_end(&b);
  b = parsed("{ 'maglev', 65537 }");
  assert_int_equal(b.rules.table_size, 65537);
  balancer_end(&b);
  b = parsed("{ 'maglev_bounded', bound = 1.5 }");
  assert_true(b.rules.bound == 1.5);
  balancer_end(&b);
  b = parsed("{ { 'ring', points = 160 } }");
  assert_int_equal(b.rules.points, 160);
  balancer_end(&b);
}

static void what_cannot_work_is_refused(void **state) {
  refused("'wieghted'", "did you mean weighted?");
  refused("{}", "a balancer is a name");
  refused("12", "a balancer is a name");
  refused("{ { 'zone' } }", "an algorithm comes last");
  refused("{ 'p2c', 'zone' }", "it comes last");
  refused("{ 'p2c', 'random' }", "it comes last");
  refused("{ 'slow_start', 'zone', 'p2c' }", "out of place");
  refused("{ 'zone', 'zone', 'p2c' }", "out of place");
  refused("{ 'slow_start', 'maglev' }", "would move keys");
  refused("{ 'zone', 'ring' }", "from each zone");
  refused("{ { 'subset', 4 }, 'rendezvous' }", "from each host");
  refused("{ { 'subset', 3 }, 'zone', 'p2c' }", "subset leaves 3 endpoints");
  refused("{ 'zone', 'pick_first' }", "it takes one endpoint");
  refused("{ 'slow_start', 'pick_first' }", "it takes one endpoint");
  refused("{ { 'subset' }, 'random' }", "size");
  refused("{ { 'subset', 0 }, 'random' }", "size");
  refused("{ { 'panic', 1.5 }, 'random' }", "below");
  refused("{ { 'zone', minimum = 3 }, 'random' }", "minimum");
  refused("{ { 'zone', clients = { a = -1, b = 2 } }, 'random' }", "negative");
  refused("{ { 'select' }, 'random' }", "to select by");
  refused("{ 'maglev', 65536 }", "prime");
  refused("{ 'maglev', 7 }", "1009 at least");
  refused("{ { 'maglev_bounded', size = 997 } }", "1009 at least");
  refused("{ 'random', 3 }", "names");
  refused("{ 'p2c', decay = '0s' }", "from 0.001 to 86400 s");
  refused("{ 'p2c', force = '4294968s' }", "from 0.001 to 86400 s");
  struct balancer b;
  struct fault f = {0};
  assert_int_equal(
      parse_at("{ 'zone', 'p2c' }", &(struct balancer_host){.node = "n", .zone = ""}, &b, &f),
      -EINVAL);
  assert_non_null(strstr(f.text, "where this agent is"));
}

static void plugins_among_the_stages(void **state) {
  struct balancer b = parsed("{ { 'select', 'v2' }, { 'priority' }, 'first', "
                             "{ 'canary', tag = 'v2', share = 0.05, shadow = true }, "
                             "{ 'canary', 'v3' }, 'zone', 'p2c' }");
  assert_int_equal(b.plan_count, 3);
  assert_string_equal(b.plans[0].name, "first");
  assert_int_equal(value_fields(b.plans[0].options), 0);
  assert_false(b.plans[0].shadow);
  assert_string_equal(b.plans[1].name, "canary");
  assert_int_equal(value_fields(b.plans[1].options), 2); /* shadow is the host's */
  assert_true(value_as_number(value_get(b.plans[1].options, "share"), 0) == 0.05);
  assert_true(b.plans[1].shadow);
  assert_string_equal(value_as_text(b.plans[2].options, ""), "v3"); /* its main option */
  assert_true(b.rules.priority && b.rules.zone);
  balancer_end(&b);

  b = parsed("{ 'here', 'p2c' }");
  balancer_end(&b);
  b = parsed("{ { 'canary', 'v2', share = 1 }, 'p2c' }"); /* both: the schema has the last word */
  assert_string_equal(value_as_text(value_at(b.plans[0].options, 0), ""), "v2");
  assert_int_equal(value_fields(b.plans[0].options), 1);
  balancer_end(&b);
  b = parsed("{ 'first', 'round_robin' }"); /* tiers are for all algorithms */
  balancer_end(&b);
  refused("{ 'canary', 'round_robin' }", "cannot honour the weights");
  refused("{ 'canary', 'random' }", "cannot honour the weights");
  refused("{ 'canary', 'pick_first' }", "cannot honour the weights");
  refused("{ 'here', 'maglev' }", "maglev: behind here each host would differ");
  refused("{ 'canary', 'here', { 'mine', standin = 'ring' } }", "ring: behind here each host");
  refused("'canary'", "an algorithm comes last");
  refused("{ 'p2c', 'canary' }", "it comes last");
  refused("{ 'zone', 'canary', 'p2c' }", "out of place");
  refused("{ 'canary', 'priority', 'p2c' }", "out of place");
  refused("{ { 'canary', 'v2', 'v3' }, 'p2c' }", "its options have names");
  refused("{ { 'canary', shadow = 'yes' }, 'p2c' }", "true or false");
  refused("{ 'canari', 'p2c' }", "there is no balancer canari");
  struct fault f = {0};
  assert_int_equal(parse_at("{ 'broken', 'p2c' }", &host, &b, &f), -EFAULT);
  assert_string_equal(f.text, "broken.lua:3: no");
}

static void a_plugin_in_an_algorithms_place(void **state) {
  struct balancer b = parsed("'mine'");
  assert_string_equal(b.chooser.name, "mine");
  assert_int_equal(value_fields(b.chooser.options), 0);
  assert_null(b.algorithm); /* the default */
  balancer_end(&b);
  b = parsed("{ 'mine', standin = 'random', n = 3 }");
  assert_string_equal(b.algorithm, "random");
  assert_int_equal(value_fields(b.chooser.options), 1); /* standin is the host's */
  assert_true(value_as_number(value_get(b.chooser.options, "n"), 0) == 3);
  balancer_end(&b);
  b = parsed("{ 'canary', { 'subset', 3 }, { 'mine', 'v2', standin = { 'least_request', 5 } } }");
  assert_int_equal(b.plan_count, 1);
  assert_string_equal(value_as_text(b.chooser.options, ""), "v2"); /* its main option */
  assert_int_equal(b.rules.choices, 5);
  balancer_end(&b);
  b = parsed("'random'");
  assert_null(b.chooser.name);
  balancer_end(&b);
  refused("{ 'mine', 'p2c' }", "mine picks: it comes last");
  refused("{ 'mine', standin = 'canary' }", "mine: its standin is an algorithm");
  refused("{ 'mine', standin = 'zone' }", "mine: its standin is an algorithm");
  refused("{ 'mine', standin = 3 }", "mine: its standin is an algorithm");
  refused("{ 'mine', standin = { 'least_request', 99 } }", "choices");
  refused("{ { 'mine', 'v2', 'v3', n = 3 } }", "its options have names");
  refused("{ 'canary', { 'mine', standin = 'random' } }", "cannot honour the weights");
  refused("{ 'zone', { 'mine', standin = 'maglev' } }", "maglev: with zone");
}

static void selections(void **state) {
  struct instance *in =
      instance_new(&(struct instance_draft){.id = "a",
                                            .service = "web",
                                            .address = "h",
                                            .zone = "eu-1a",
                                            .tags = (const char *[]){"v1", "v2"},
                                            .tag_count = 2,
                                            .meta = (struct catalog_pair[]){{"track", "canary"}},
                                            .meta_count = 1});
  static const struct {
    const char *text;
    bool has;
  } rows[] = {
      {"{ 'select', 'v2' }", true},
      {"{ 'select', tag = 'v3' }", false},
      {"{ 'select', zone = 'eu-1a' }", true},
      {"{ 'select', zone = 'eu-1b' }", false},
      {"{ 'select', meta = { track = 'canary' } }", true},
      {"{ 'select', meta = { track = 'stable' } }", false},
      {"{ 'select', 'v1', meta = { track = 'canary', more = '1' } }", false},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    char text[128];
    snprintf(text, sizeof text, "{ %s, 'random' }", rows[i].text);
    struct balancer b = parsed(text);
    assert_int_equal(selection_has(&b.select, in), rows[i].has);
    balancer_end(&b);
  }
  assert_true(selection_has(&(struct selection){0}, in));
  instance_unref(in);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_algorithm_by_its_name),     cmocka_unit_test(stages_in_one_line),
      cmocka_unit_test(what_cannot_work_is_refused),     cmocka_unit_test(plugins_among_the_stages),
      cmocka_unit_test(a_plugin_in_an_algorithms_place), cmocka_unit_test(selections),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
