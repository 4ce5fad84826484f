/* plugins/README.md: every check in it loads, and answers what the page says. */
#include "base/value.h"
#include "probe_fixture.h"
#include "vm/plugin/reload.h"

/* Copies the block that begins with the comment "-- plugins/KIND/NAME.lua". */
static char *snippet(const char *comment) {
  static char page[40000];
  FILE *file = fopen("plugins/README.md", "r");
  assert_non_null(file);
  size_t length = fread(page, 1, sizeof page - 1, file);
  page[length] = '\0';
  fclose(file);
  char *start = strstr(page, comment), *end = start ? strstr(start, "\n```") : NULL;
  if (!start || !end)
    fail_msg("plugins/README.md has no %s", comment);
  *end = '\0';
  return start;
}

static void every_check_is_named_here(void **state) {
  int blocks = 0;
  FILE *file = fopen("plugins/README.md", "r");
  char line[1000];
  while (fgets(line, sizeof line, file))
    blocks += strncmp(line, "-- plugins/check/", 17) == 0 && !strstr(line, "_spec.lua");
  fclose(file);
  assert_int_equal(blocks,
                   4); /* redis, pages, forms, counts; other kinds: spec/agent; specs: spec/cli */
}

struct use {
  struct plugin *plugin;
  struct attachment *attachment;
};

static struct use use_open(struct fixture *fx, const char *source, struct value *options) {
  struct use u;
  struct findings findings = {0};
  struct fault f;
  if (load(fx, "check", source, NULL, &u.plugin, &f) != 0)
    fail_msg("%s", f.text);
  if (plugin_attach(u.plugin, options, "check", &u.attachment, &findings) != 0)
    fail_msg("%s: %s", findings.items[0].path, findings.items[0].text);
  value_unref(options);
  return u;
}

static void use_close(struct use *u) {
  attachment_free(u->attachment);
  plugin_free(u->plugin);
}

static void use_run(struct fixture *fx, struct use *u, struct probe *probe) {
  probe->answer.over = false;
  assert_int_equal(attachment_call(u->attachment, "run", push_subject, answer_take, probe, 0, NULL),
                   0);
  run_until(fx, &probe->answer.over);
}

/* A server that answers each connection's first line by `answer`; its port in *probe. */
static struct use serve(struct fixture *fx, const char *answer, struct probe *probe) {
  static struct probe serving;
  struct buf source = {0};
  buf_format(&source,
             "local server\n"
             "return { kind = 'check', summary = 's', run = function()\n"
             "  if not server then server = assert(perigee.tcp.listen('127.0.0.1', 0)) return "
             "server:port() end\n"
             "  while true do local socket = server:accept()\n"
             "    if not socket then return end\n"
             "    socket:read('line') socket:write('%s') socket:shutdown() socket:read('all') "
             "socket:close()\n"
             "  end end }",
             answer);
  struct use u = use_open(fx, source.data, NULL);
  buf_free(&source);
  use_run(fx, &u, probe);
  probe->port = (uint16_t)atoi(probe->answer.text);
  assert_true(probe->port > 0);
  assert_int_equal(attachment_call(u.attachment, "run", NULL, answer_take, &serving, 0, NULL), 0);
  return u;
}

static void redis_is_asked(void **state) {
  struct probe probe = {0};
  struct use server = serve(*state, "+PONG\\r\\n", &probe);
  struct use u = use_open(*state, snippet("-- plugins/check/redis.lua"), value_number(probe.port));
  use_run(*state, &u, &probe);
  assert_string_equal(probe.answer.text, "passing|PONG");
  use_close(&u);
  use_close(&server);
  server = serve(*state, "-LOADING\\r\\n", &probe);
  u = use_open(*state, snippet("-- plugins/check/redis.lua"), value_number(probe.port));
  use_run(*state, &u, &probe);
  assert_string_equal(probe.answer.text, "critical|-LOADING");
  use_close(&u);
  use_close(&server);
}

static void pages_are_asked_at_once(void **state) {
  struct probe probe = {0};
  struct use server =
      serve(*state, "HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n\\r\\nok",
            &probe);
  struct value *paths = value_table();
  value_append(paths, value_text("/a", 2));
  value_append(paths, value_text("/b", 2));
  struct value *options = value_table();
  value_set(options, "paths", paths);
  struct use u = use_open(*state, snippet("-- plugins/check/pages.lua"), options);
  use_run(*state, &u, &probe);
  assert_string_equal(probe.answer.text, "passing|2 pages, 1 times in all");
  use_run(*state, &u, &probe);
  assert_string_equal(probe.answer.text, "passing|2 pages, 2 times in all");
  use_close(&u);
  use_close(&server);
}

static void the_forms_are_what_they_say(void **state) {
  struct probe probe = {0};
  struct use u = use_open(*state, snippet("-- plugins/check/forms.lua"), value_text("/x", 2));
  use_run(*state, &u, &probe);
  assert_string_equal(probe.answer.text, "passing|/x 2 16777216");
  use_close(&u);
}

static void take_ready(void *arg, const struct fault *f) {
  assert_string_equal(f->text, "");
  *(bool *)arg = true;
}

static void a_reload_hands_over(void **state) {
  struct probe probe = {0};
  struct findings findings = {0};
  struct fault f = {0};
  bool ready = false;
  const char *source = snippet("-- plugins/check/counts.lua");
  struct use u = use_open(*state, source, NULL), fresh = {0};
  use_run(*state, &u, &probe);
  assert_string_equal(probe.answer.text, "passing|1 times");
  assert_int_equal(load(*state, "check", source, NULL, &fresh.plugin, &f), 0);
  assert_int_equal(plugin_prepare(u.plugin, fresh.plugin, &findings, &f), 0);
  assert_true(plugin_make_ready(u.plugin, 0, take_ready, &ready));
  run_until(*state, &ready);
  assert_int_equal(plugin_hand_over(u.plugin, true, &f), 0);
  plugin_swap(u.plugin);
  use_run(*state, &u, &probe);
  assert_string_equal(probe.answer.text, "passing|2 times");
  use_close(&u);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_check_is_named_here), FIXTURE_TEST(redis_is_asked),
      FIXTURE_TEST(pages_are_asked_at_once),       FIXTURE_TEST(the_forms_are_what_they_say),
      FIXTURE_TEST(a_reload_hands_over),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
