/* The set as a registry plugin sees it, over a real set and catalog in a scratch directory. */
#include "base/clock.h"
#include "base/value.h"
#include "catalog/writer.h"
#include "set_fixture.h"

struct ground {
  char directory[40];
  struct catalog_writer *writer;
  struct sets *sets;
  struct set *set;
};

static void ground_open(struct ground *g) {
  int pid;
  strcpy(g->directory, "/tmp/perigee-set-XXXXXX");
  assert_non_null(mkdtemp(g->directory));
  assert_int_equal(catalog_writer_open(g->directory, &g->writer, &pid), 0);
  g->sets = sets_new(g->writer, NULL, NULL);
  g->set = sets_open(g->sets, "web");
  assert_non_null(g->set);
}

static void ground_close(struct ground *g) {
  char command[80];
  set_close(g->set);
  sets_flush(g->sets);
  sets_free(g->sets);
  catalog_writer_close(g->writer);
  snprintf(command, sizeof command, "rm -r %s", g->directory);
  assert_int_equal(system(command), 0);
}

static void a_plugin_feeds_a_set(void **state) {
  struct ground g;
  ground_open(&g);
  assert_string_equal(
      watch(
          *state, g.set,
          "return set:service(), set:put{ id = 'b', address = '10.0.0.2', port = 80 },\n"
          "set:put{ id = 'a', address = '10.0.0.1', port = 81, ports = { admin = 9 }, zone = 'z',\n"
          "  tags = { 'x' }, meta = { k = 'v' }, weight = 0.5, status = 'critical' }"),
      "web|true|true");
  assert_int_equal(set_count(g.set), 2);
  const struct set_row *row = &set_rows(g.set)[0];
  assert_string_equal(row->instance->id, "a");
  assert_string_equal(row->instance->service, "web");
  assert_string_equal(row->instance->meta[0].value, "v");
  assert_int_equal(row->instance->ports[0].port, 9);
  assert_int_equal(row->status, STATUS_CRITICAL);
  assert_true(row->instance->weight == 0.5);
  assert_string_equal(watch(*state, g.set, "local ok = set:remove('a') return ok, set:remove('a')"),
                      "true|nil|a: not in the set|ENOENT");
  assert_string_equal(
      watch(*state, g.set, "return set:replace{ { id = 'c', address = '10.0.0.3', port = 1 } }"),
      "true");
  assert_int_equal(set_count(g.set), 1);
  assert_string_equal(set_rows(g.set)[0].instance->id, "c");
  ground_close(&g);
}

/* What one bad entry of somebody must not do is hide the others. */
static void a_lenient_replace_leaves_out_what_is_none(void **state) {
  struct ground g;
  ground_open(&g);
  assert_string_equal(watch(*state, g.set,
                            "return set:replace({ { id = 'a', address = 'x', port = 1 }, 7,\n"
                            "  { id = 'b', address = 'y', port = 70000 },\n"
                            "  { id = 'c', address = 'z', port = 2 } }, { lenient = true })"),
                      "true|2|instance 2: an instance is a table");
  assert_int_equal(set_count(g.set), 2);
  ground_close(&g);
}

/* Nor must one that is there twice. */
static void of_two_with_one_id_the_last_counts(void **state) {
  struct ground g;
  ground_open(&g);
  assert_string_equal(watch(*state, g.set,
                            "return set:replace{ { id = 'b', address = 'x' },\n"
                            "  { id = 'a', address = 'x' }, { id = 'b', address = 'y' } }"),
                      "true");
  assert_int_equal(set_count(g.set), 2);
  assert_string_equal(set_rows(g.set)[1].instance->address, "y");
  ground_close(&g);
}

static void a_batch_replaces_all_and_is_empty_then(void **state) {
  struct ground g;
  ground_open(&g);
  assert_string_equal(
      watch(*state, g.set,
            "local b = set:batch()\n"
            "for i = 1, 200 do b:put{ id = 'i' .. i, address = 'x', port = i } end\n"
            "local no, why = b:put{ id = 'j', address = 'x', port = -1 }\n"
            "b:put{ id = 'i7', address = 'last', port = 7 }\n"
            "return set:replace(b), no, why"),
      "true|nil|port: a number from 0 to 65535 is expected");
  assert_int_equal(set_count(g.set), 200);
  const struct set_row *rows = set_rows(g.set);
  for (size_t i = 0; i < 200; i++)
    if (strcmp(rows[i].instance->id, "i7") == 0)
      assert_string_equal(rows[i].instance->address, "last");
  assert_string_equal(watch(*state, g.set,
                            "local b = set:batch() b:put{ id = 'one', address = 'x' }\n"
                            "return set:replace(b), set:replace(b)"),
                      "true|true");
  assert_int_equal(set_count(g.set), 0);
  assert_non_null(
      strstr(watch(*state, g.set,
                   "local b = set:batch() b:put{ id = 'one', address = 'x' } b:close()\n"
                   "return pcall(set.replace, set, b)"),
             "false|batch: closed"));
  assert_non_null(strstr(watch(*state, g.set, "return pcall(set.replace, set, set)"), "false|"));
  ground_close(&g);
}

static void what_is_said_to_be_current_is_not_stale(void **state) {
  struct ground g;
  struct sets_stats stats;
  ground_open(&g);
  assert_string_equal(watch(*state, g.set, "return set:replace{}"), "true");
  set_stale(g.set, true);
  assert_string_equal(watch(*state, g.set, "return set:put{ id = 'a', address = 'x' }"), "true");
  sets_flush(g.sets);
  sets_stats(g.sets, &stats);
  assert_int_equal(stats.stale, 1);
  assert_string_equal(watch(*state, g.set, "return set:current()"), "true");
  sets_flush(g.sets);
  sets_stats(g.sets, &stats);
  assert_int_equal(stats.stale, 0);
  ground_close(&g);
}

static void what_is_said_to_be_stale_is_so_from_then(void **state) {
  struct ground g;
  ground_open(&g);
  assert_string_equal(watch(*state, g.set,
                            "set:replace{ { id = 'a', address = 'x' } }\n"
                            "return set:stale('they say so', 90), set:stale('again', 5)"),
                      "true|true");
  int64_t age_ns = clock_now_ns() - set_stale_ns(g.set);
  assert_true(age_ns >= INT64_C(90000000000)); /* the first word counts */
  assert_int_equal(set_count(g.set), 1);
  assert_string_equal(watch(*state, g.set, "return set:current()"), "true");
  assert_int_equal(set_stale_ns(g.set), 0);
  assert_non_null(strstr(watch(*state, g.set, "return pcall(set.stale, set)"), "false|"));
  ground_close(&g);
}

static void what_is_wrong_is_said_and_changes_nothing(void **state) {
  static const char *const wrong[][2] = {
      {"set:put(7)", "an instance is a table"},
      {"set:put{ id = 'a', address = 'x', port = 70000 }", "port: a number from 0 to 65535"},
      {"set:put{ id = 'a', address = 'x', port = '80' }", "port: a number from 0 to 65535"},
      {"set:put{ id = 'a', adress = 'x', port = 80 }", "did you mean address?"},
      {"set:put{ id = 'a', address = 7, port = 80 }", "address: a text"},
      {"set:put{ id = 'a\\0b', address = 'x', port = 80 }", "id: a text without a NUL"},
      {"set:put{ id = 'a', address = 'x', port = 80, weight = -1 }", "weight"},
      {"set:put{ id = 'a', address = 'x', port = 80, weight = 'much' }", "weight"},
      {"set:put{ id = 'a', address = 'x', port = 80, status = 'fine' }", "status: passing"},
      {"set:put{ id = 'a', address = 'x', port = 80, tags = { 7 } }", "tags: a list of texts"},
      {"set:put{ id = 'a', address = 'x', port = 80, meta = { k = 7 } }", "meta.k: a text"},
      {"set:put{ address = 'x', port = 80 }", "id"},
      {"set:put{ id = 'a', address = 'x', meta = print or pairs }",
       "function cannot be handed over"},
      {"set:put{ id = 'a', meta = { one = { two = { 1, { three = pairs } } } } }",
       "meta.one.two.three: function cannot be handed over"},
      {"set:replace{ { id = 'a', address = 'x', port = 80 }, { id = 'b' } }", "instance 2: "},
      {"set:replace{ a = 1 }", "a list of instances"},
  };
  struct ground g;
  ground_open(&g);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char body[300];
    snprintf(body, sizeof body, "local ok, why, code = %s return ok, code, why", wrong[i][0]);
    const char *text = watch(*state, g.set, body);
    if (strncmp(text, "nil|EINVAL|", 11) != 0 || !strstr(text, wrong[i][1]))
      fail_msg("%s answered \"%s\", not \"%s\"", wrong[i][0], text, wrong[i][1]);
  }
  assert_int_equal(set_count(g.set), 0);
  ground_close(&g);
}

/* A plugin that hides its set away finds it closed once the host has revoked it. */
static void a_revoked_set_is_closed(void **state) {
  struct fixture *fx = *state;
  struct ground g;
  struct plugin *p;
  struct attachment *use;
  struct findings findings = {0};
  struct fault f;
  struct probe probe = {0};
  struct answer after = {0};
  ground_open(&g);
  probe.set = g.set;
  assert_int_equal(load(fx, "registry",
                        "local kept return { kind = 'registry', summary = 's',\n"
                        "watch = function(set) kept = set return set:put{ id = 'a', address = 'x', "
                        "port = 1 } end,\n"
                        "list = function() return pcall(kept.remove, kept, 'a') end }",
                        NULL, &p, &f),
                   0);
  assert_int_equal(plugin_attach(p, NULL, "x", &use, &findings), 0);
  assert_int_equal(attachment_call(use, "watch", push_it, answer_take, &probe, 0, NULL), 0);
  run_until(fx, &probe.answer.over);
  assert_string_equal(probe.answer.text, "true");
  set_binding_revoke(probe.binding);
  ground_close(&g);
  assert_int_equal(attachment_call(use, "list", NULL, answer_take, &after, 0, NULL), 0);
  run_until(fx, &after.over);
  assert_string_equal(after.text, "false|set: closed");
  attachment_free(use);
  plugin_free(p);
}

/* The other order: the isolate ends first, and the host revokes what is already closed. */
static void an_isolate_may_end_before_its_set(void **state) {
  struct fixture *fx = *state;
  struct ground g;
  struct plugin *p;
  struct attachment *use;
  struct findings findings = {0};
  struct fault f;
  struct probe probe = {0};
  ground_open(&g);
  probe.set = g.set;
  assert_int_equal(
      load(fx, "registry",
           "return { kind = 'registry', summary = 's', watch = function(set) return true end }",
           NULL, &p, &f),
      0);
  assert_int_equal(plugin_attach(p, NULL, "x", &use, &findings), 0);
  assert_int_equal(attachment_call(use, "watch", push_it, answer_take, &probe, 0, NULL), 0);
  run_until(fx, &probe.answer.over);
  attachment_free(use);
  plugin_free(p);
  set_binding_revoke(probe.binding);
  ground_close(&g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(a_plugin_feeds_a_set),
      FIXTURE_TEST(a_lenient_replace_leaves_out_what_is_none),
      FIXTURE_TEST(of_two_with_one_id_the_last_counts),
      FIXTURE_TEST(a_batch_replaces_all_and_is_empty_then),
      FIXTURE_TEST(what_is_said_to_be_current_is_not_stale),
      FIXTURE_TEST(what_is_said_to_be_stale_is_so_from_then),
      FIXTURE_TEST(what_is_wrong_is_said_and_changes_nothing),
      FIXTURE_TEST(a_revoked_set_is_closed),
      FIXTURE_TEST(an_isolate_may_end_before_its_set),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
