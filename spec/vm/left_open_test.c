/* What a call leaves open: closed when the call has returned, but for what the plugin has kept. */
#include "fixture.h"

struct caller {
  struct fixture *fx;
  struct plugin *plugin;
  struct attachment *use;
};

static void caller_open(struct caller *c, struct fixture *fx, const char *run) {
  struct findings findings = {0};
  struct fault f = {0};
  char *source;
  assert_true(asprintf(&source, "return { kind = 'check', summary = 'a test', run = %s }", run) >
              0);
  *c = (struct caller){.fx = fx};
  if (load(fx, "check", source, NULL, &c->plugin, &f) != 0)
    fail_msg("%s", f.text);
  free(source);
  assert_int_equal(plugin_attach(c->plugin, NULL, "test", &c->use, &findings), 0);
}

static void caller_close(struct caller *c) {
  attachment_free(c->use);
  plugin_free(c->plugin);
}

static void call(struct caller *c, const char *expected) {
  struct answer a = {0};
  assert_int_equal(attachment_call(c->use, "run", NULL, answer_take, &a, 0, NULL), 0);
  run_until(c->fx, &a.over);
  assert_string_equal(a.text, expected);
}

struct count {
  uv_prepare_t looks;
  struct vm *vm;
  size_t expected;
  bool reached;
};

static void count_look(uv_prepare_t *looks) {
  struct count *c = looks->data;
  struct vm_stats stats;
  vm_stats(c->vm, &stats);
  c->reached = stats.handles == c->expected;
}

/* No garbage is made meanwhile, so that the collector has no cause of its own. */
static void handles_become(struct caller *caller, size_t expected) {
  struct count c = {.vm = caller->fx->vm, .expected = expected};
  uv_prepare_init(&caller->fx->loop, &c.looks);
  c.looks.data = &c;
  uv_prepare_start(&c.looks, count_look);
  run_until(caller->fx, &c.reached);
  uv_close((uv_handle_t *)&c.looks, NULL);
  uv_run(&caller->fx->loop, UV_RUN_NOWAIT);
}

static void what_is_not_kept_is_closed(void **state) {
  struct caller c;
  caller_open(&c, *state,
              "function() perigee.tcp.listen('127.0.0.1', 0)\n"
              "  perigee.tcp.listen('127.0.0.1', 0) return 'left' end");
  call(&c, "left");
  handles_become(&c, 0);
  call(&c, "left"); /* again, and sooner than it looks again */
  handles_become(&c, 0);
  caller_close(&c);
}

static void what_was_waited_for_is_closed(void **state) {
  struct caller c;
  caller_open(&c, *state,
              "function()\n"
              "  local server = perigee.tcp.listen('127.0.0.1', 0)\n"
              "  local s = perigee.tcp.connect('127.0.0.1', server:port())\n"
              "  server:accept():write('x') return s:read(1) end");
  call(&c, "x");
  handles_become(&c, 0);
  caller_close(&c);
}

static void what_a_child_opened_is_the_calls(void **state) {
  struct caller c;
  caller_open(&c, *state,
              "function()\n"
              "  local t = perigee.task.spawn(perigee.tcp.listen, '127.0.0.1', 0)\n"
              "  return t:join():port() > 0 end");
  call(&c, "true");
  handles_become(&c, 0);
  caller_close(&c);
}

static void what_a_call_that_failed_left_is_closed(void **state) {
  struct caller c;
  struct answer a = {0};
  caller_open(&c, *state, "function() perigee.tcp.listen('127.0.0.1', 0) perigee.sleep(600) end");
  assert_int_equal(attachment_call(c.use, "run", NULL, answer_take, &a, 5000000, NULL), 0);
  run_until(c.fx, &a.over);
  assert_int_equal(a.status, -ETIMEDOUT);
  handles_become(&c, 0);
  caller_close(&c);
}

static void what_is_kept_stays(void **state) {
  struct caller c;
  caller_open(&c, *state,
              "function(_, ctx)\n"
              "  perigee.tcp.listen('127.0.0.1', 0)\n"
              "  local kept = ctx.state.kept or perigee.tcp.listen('127.0.0.1', 0)\n"
              "  ctx.state.kept = kept return kept:port() > 0 end");
  call(&c, "true");
  handles_become(&c, 1);
  call(&c, "true");
  handles_become(&c, 1);
  caller_close(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(what_is_not_kept_is_closed),
      FIXTURE_TEST(what_was_waited_for_is_closed),
      FIXTURE_TEST(what_a_child_opened_is_the_calls),
      FIXTURE_TEST(what_a_call_that_failed_left_is_closed),
      FIXTURE_TEST(what_is_kept_stays),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
