/* Plugins: found, loaded, checked, attached; what is wrong is said with file and line. */
#include "base/value.h"
#include "fixture.h"

#include <sys/stat.h>

#include "watch/instance.h"

/* Loads `source`, which must be refused with `text` at `line`. */
static void assert_refused(struct fixture *fx, const char *kind, const char *source, int line,
                           const char *text) {
  struct plugin *p;
  struct fault f = {0};
  char place[100];
  int code = load(fx, kind, source, NULL, &p, &f);
  snprintf(place, sizeof place, "%s:%d: ", fx->path, line);
  if (code != -EINVAL || strncmp(f.text, place, strlen(place)) != 0 || !strstr(f.text, text))
    fail_msg("wanted \"%s%s\", got %d \"%s\"", place, text, code, f.text);
}

static void mistakes_are_named_with_their_line(void **state) {
  struct fixture *fx = *state;
  assert_refused(fx, "check", "return 7", 1, "returns a table, this one a number");
  assert_refused(fx, "check", "return {}", 1, "kind is missing");
  assert_refused(fx, "check", "return {\n  kind = 'chekc',\n}", 2, "did you mean \"check\"?");
  assert_refused(fx, "check", "return {\n  kind = 'hook' }", 2,
                 "a hook plugin, where a check is wanted");
  assert_refused(fx, "check", "return { kind = 'check',\n run = function() end }", 1,
                 "summary is missing");
  assert_refused(fx, "check",
                 "return { kind = 'check', summary = 's',\n\n  runn = function() end }", 3,
                 "did you mean \"run\"?");
  assert_refused(fx, "check", "return { kind = 'check', summary = 's',\n run = 7 }", 2,
                 "run must be a function");
  assert_refused(fx, "check", "return { kind = 'check', summary = 's' }", 1,
                 "needs run, or else passive");
  assert_refused(fx, "check",
                 "return { kind = 'check', summary = 's', passive = true,\nrun = function() end }",
                 1, "needs run, or else passive");
  assert_refused(fx, "check",
                 "return { kind = 'check', summary = 's', run = function() end,\n  options = { n = "
                 "'numbr' } }",
                 2, "number");
  assert_refused(fx, "check",
                 "return { kind = 'check', summary = 's', run = function() end,\n  options = { n = "
                 "print or pairs } }",
                 2, "function");
  assert_refused(fx, "hook",
                 "return { kind = 'hook', summary = 's', on = {\n\n  statsu = function() end } }",
                 3, "did you mean \"status\"?");
  assert_refused(fx, "balancer", "return { kind = 'balancer', summary = 's' }", 1, "plan and pick");
  assert_refused(
      fx, "registry",
      "return { kind = 'registry', summary = 's', watch = function() end, every = '2 parsecs' }", 1,
      "every");
  for (size_t i = 0; i < 5; i++) {
    static const char *const never[] = {"0/0", "0", "-1", "math.huge", "'1ns'"};
    char source[200];
    snprintf(source, sizeof source,
             "return { kind = 'policy', summary = 's', decide = function() end, every = %s }",
             never[i]);
    assert_refused(fx, "policy", source, 1, "from 10ms to a year");
  }
  assert_refused(fx, "check", "return { 1, kind = 'check', summary = 's', run = function() end }",
                 1, "numbered");
}

static void options_are_data_and_each_is_named_with_its_line(void **state) {
  static const struct {
    int line; /* the option's is 4; a cycle is where it is closed, a key has no place of its own */
    const char *option, *text;
  } wrong[] = {
      {4, "a = tostring", "option \"a\": a function: expected data"},
      {4, "a = print", "option \"a\": nil: leave it out"}, /* a global that plugins do not have */
      {4, "a = { b = print }", "option \"b\": nil"},
      {4, "a = { 'number', 1, min = print }", "option \"min\": nil"},
      {4, "a = coroutine.create(function() end)", "option \"a\": a thread"},
      {4, "a = perigee.json.null", "option \"a\": a userdata"},
      {4, "a = { 'any', 0/0 }", "option \"a[2]\": not a number"},
      {4, "a = { 'number', 1, max = 0/0 }", "option \"a.max\": not a number"},
      {1, "a = cycle", "option \"a.t\": the table is inside itself"},
      {4, "a = {}", "option \"a\": expected a type"},
      {4, "a = { 'numbr' }", "did you mean \"number\"?"},
      {3, "[print or pairs] = 'string'", "a key that is neither"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char source[400];
    snprintf(source, sizeof source,
             "local cycle = {} cycle.t = cycle\n"
             "return { kind = 'check', summary = 's', run = function() end,\n"
             "  options = { ok = 'string',\n"
             "    %s },\n}",
             wrong[i].option);
    assert_refused(*state, "check", source, wrong[i].line, wrong[i].text);
  }
  /* What only looks like a field of the options is none. */
  struct plugin *p;
  struct fault f = {0};
  if (load(*state, "check",
           "local options = { lost = nil }\n"
           "return { kind = 'check', summary = 's', options = { ok = 'string' },\n"
           "  run = function(_, options) options.more = nil local x = { y = nil } end }",
           NULL, &p, &f) != 0)
    fail_msg("%s", f.text);
  plugin_free(p);
}

static void each_kind_has_its_functions(void **state) {
  static const struct {
    const char *kind, *rest, *function;
  } good[] = {
      {"registry", "watch = function() end, every = '2s'", "watch"},
      {"policy", "decide = function() end", "decide"},
      {"balancer", "plan = function() end", "plan"},
      {"hook", "on = { status = function() end }", "on.status"},
      {"route", "GET = function() end", "GET"},
  };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    struct plugin *p;
    struct fault f;
    char source[200];
    snprintf(source, sizeof source, "return { kind = '%s', summary = 'sum', %s }", good[i].kind,
             good[i].rest);
    if (load(*state, good[i].kind, source, NULL, &p, &f) != 0)
      fail_msg("%s", f.text);
    assert_true(plugin_provides(p, good[i].function));
    assert_false(plugin_provides(p, "run"));
    assert_false(plugin_provides(p, "on.nothing"));
    assert_string_equal(plugin_summary(p), "sum");
    assert_int_equal(strlen(plugin_hash(p)), 64);
    assert_true(plugin_every(p) == (i == 0 ? 2 : 0));
    plugin_free(p);
  }
}

static void a_plugin_is_found_or_the_nearest_is_named(void **state) {
  const char *const here[] = {"/nonexistent", ".", NULL};
  struct fault f;
  char *path = NULL;
  assert_int_equal(plugin_find(here, "check", "http", &path, &f), 0);
  assert_string_equal(path, "./plugins/check/http.lua");
  free(path);
  assert_int_equal(plugin_find(here, "check", "htpt", &path, &f), -ENOENT);
  assert_non_null(strstr(f.text, "did you mean \"http\"?"));
  assert_non_null(strstr(f.text, "/nonexistent/plugins/check"));
  assert_int_equal(plugin_find(here, "check", "../check/http", &path, &f), -EINVAL);
}

static void hiding_what_ships_must_be_meant(void **state) {
  struct fixture *fx = *state;
  struct plugin *p;
  struct fault f;
  write_file(fx->path, "return { kind = 'check', summary = 's', run = function() end }");
  assert_int_equal(plugin_load(fx->vm, "check", "http", fx->path, NULL, &p, &f), -EINVAL);
  assert_non_null(strstr(f.text, "override = true"));
  write_file(fx->path,
             "return { kind = 'check', summary = 's', override = true, run = function() end }");
  assert_int_equal(plugin_load(fx->vm, "check", "http", fx->path, NULL, &p, &f), 0);
  plugin_free(p);
}

static void options_are_checked_before_anything_runs(void **state) {
  struct plugin *p;
  struct attachment *use;
  struct findings findings = {0};
  struct fault f;
  assert_int_equal(load(*state, "check",
                        "return { kind = 'check', summary = 's', run = function(o) return o.url, "
                        "o.tries, o.wait end,\n"
                        "options = { url = 'string', tries = { 'number', 3, min = 1 }, wait = { "
                        "'duration', '2s' } } }",
                        NULL, &p, &f),
                   0);
  struct value *bad = value_table();
  value_set(bad, "tires", value_number(0));
  value_set(bad, "tries", value_number(0));
  assert_int_equal(plugin_attach(p, bad, "services.web.check", &use, &findings), -EINVAL);
  assert_int_equal(findings.count, 3); /* url is missing, tires is unknown, tries is too small */
  assert_non_null(strstr(findings.items[0].path, "services.web.check"));
  findings_free(&findings);
  value_unref(bad);

  struct value *plain = value_text("/healthz", 8);
  struct answer a = {0};
  assert_int_equal(plugin_attach(p, plain, "services.web.check", &use, &findings), 0);
  assert_int_equal(attachment_call(use, "run", NULL, answer_take, &a, 0, NULL), 0);
  run_until(*state, &a.over);
  assert_string_equal(a.text, "/healthz|3|2");
  attachment_free(use);
  value_unref(plain);
  plugin_free(p);
}

static int push_two(lua_State *L, void *unused) {
  static const struct catalog_port ports[] = {{"admin", 9000}};
  static const char *const tags[] = {"v1", "v2"};
  static const struct catalog_pair meta[] = {{"k", "v"}};
  struct instance in = {.id = "web-1",
                        .service = "web",
                        .address = "::1",
                        .zone = "eu-1a",
                        .port = 8080,
                        .weight = 2,
                        .ports = ports,
                        .port_count = 1,
                        .tags = tags,
                        .tag_count = 2,
                        .meta = meta,
                        .meta_count = 1};
  push_instance(L, &in);
  in.address = "10.0.0.1";
  in.port = 0;
  push_instance(L, &in);
  return 2;
}

static void a_function_gets_instance_options_and_ctx(void **state) {
  struct plugin *p;
  struct attachment *use;
  struct findings findings = {0};
  struct fault f;
  struct answer a = {0}, b = {0};
  assert_int_equal(
      load(*state, "check",
           "return { kind = 'check', summary = 's', run = function(one, two, options, ctx)\n"
           "ctx.state.n = (ctx.state.n or 0) + 1\n"
           "return ctx.state.n, ctx.service, one.id .. one.service .. one.zone .. one.weight,\n"
           "one.ports.admin, one.meta.k, one.tags[2], one:has('v1'), one:has('v9'),\n"
           "one:url('/x'), one:url('y', { scheme = 'https', port = 'admin' }), two:url(), "
           "two.port,\n"
           "one:url('http://else/where'), type(ctx.host), type(ctx.log.info) end }",
           NULL, &p, &f),
      0);
  assert_int_equal(plugin_attach(p, NULL, "x", &use, &findings), 0);
  assert_int_equal(attachment_service(use, "web"), 0);
  assert_int_equal(attachment_call(use, "run", push_two, answer_take, &a, 0, NULL), 0);
  run_until(*state, &a.over);
  assert_string_equal(
      a.text, "1|web|web-1webeu-1a2|9000|v|v2|true|false|http://[::1]:8080/x|https://[::1]:9000/y|"
              "http://10.0.0.1/|nil|http://else/where|table|function");
  assert_int_equal(attachment_call(use, "run", push_two, answer_take, &b, 0, NULL), 0);
  run_until(*state, &b.over);
  assert_true(strncmp(b.text, "2|", 2) == 0);
  attachment_free(use);
  plugin_free(p);
}

struct reading {
  bool over;
  int code;
  struct value *value;
  struct fault fault;
};

static void read_first(void *arg, const struct call_result *r) {
  struct reading *reading = arg;
  reading->over = true;
  reading->code = read_value(r->L, 1, &reading->value, &reading->fault);
}

static struct reading read_from(struct fixture *fx, const char *expression) {
  struct plugin *p;
  struct attachment *use;
  struct findings findings = {0};
  struct fault f;
  struct reading reading = {0};
  char source[1000];
  snprintf(source, sizeof source,
           "return { kind = 'check', summary = 's', run = function() return %s end }", expression);
  if (load(fx, "check", source, NULL, &p, &f) != 0)
    fail_msg("%s", f.text);
  assert_int_equal(plugin_attach(p, NULL, "x", &use, &findings), 0);
  assert_int_equal(attachment_call(use, "run", NULL, read_first, &reading, 0, NULL), 0);
  run_until(fx, &reading.over);
  attachment_free(use);
  plugin_free(p);
  return reading;
}

static void plain_data_crosses_and_nothing_else(void **state) {
  struct reading r =
      read_from(*state, "{ a = { 1, 'two', false, perigee.json.null, {} }, b = 'nul\\0in' }");
  struct buf json = {0};
  assert_int_equal(r.code, 0);
  assert_int_equal(value_length(value_get(r.value, "a")), 5);
  assert_int_equal(value_text_length(value_get(r.value, "b")), 6);
  value_to_json(value_get(r.value, "a"), &json);
  assert_non_null(strstr(json.data, "[1,\"two\",false,null"));
  buf_free(&json);
  value_unref(r.value);
  assert_int_equal(read_from(*state, "{ f = function() end }").code, -EINVAL);
  assert_int_equal(read_from(*state, "{ [1.5] = 1 }").code, -EINVAL);
  r = read_from(*state, "{ inner = (function() local t = {} t.t = t return t end)() }");
  assert_int_equal(r.code, -EINVAL);
  assert_ptr_equal(strstr(r.fault.text, "inner.t.t."), r.fault.text);
  assert_null(strstr(r.fault.text, "null"));
}

/* Each check is a use of its plugin, and all are in one isolate with the default limits. */
static void ten_thousand_uses_fit(void **state) {
  struct fixture *fx = *state;
  enum { USES = 10000 };
  static struct attachment *uses[USES];
  struct plugin *p;
  struct findings findings = {0};
  struct isolate_stats stats;
  struct fault f;
  struct value *url = value_text("/healthz", 8);
  assert_int_equal(plugin_load(fx->vm, "check", "http", "plugins/check/http.lua", NULL, &p, &f), 0);
  for (int i = 0; i < USES; i++) {
    assert_int_equal(plugin_attach(p, url, "x", &uses[i], &findings), 0);
    assert_int_equal(attachment_service(uses[i], "web"), 0);
  }
  isolate_stats(plugin_isolate(p), &stats);
  assert_in_range(stats.memory, 0, 6 << 20);
  for (int i = 0; i < USES; i++)
    attachment_free(uses[i]);
  plugin_free(p);
  value_unref(url);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(mistakes_are_named_with_their_line),
      FIXTURE_TEST(options_are_data_and_each_is_named_with_its_line),
      FIXTURE_TEST(each_kind_has_its_functions),
      FIXTURE_TEST(a_plugin_is_found_or_the_nearest_is_named),
      FIXTURE_TEST(hiding_what_ships_must_be_meant),
      FIXTURE_TEST(options_are_checked_before_anything_runs),
      FIXTURE_TEST(a_function_gets_instance_options_and_ctx),
      FIXTURE_TEST(ten_thousand_uses_fit),
      FIXTURE_TEST(plain_data_crosses_and_nothing_else),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
