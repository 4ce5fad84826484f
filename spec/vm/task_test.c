/* Tasks: what waits, what ends what, and what passes through coroutines that a plugin makes. */
#include "fixture.h"

static void a_wait_gives_way_and_comes_back(void **state) {
  assert_string_equal(ask(*state, "local a = perigee.sleep(0.001) return 'after', a"), "after|nil");
  assert_string_equal(ask(*state, "perigee.sleep('1ms') return 'after'"), "after");
}

static void a_task_may_be_a_call_of_the_host_alone(void **state) {
  assert_string_equal(
      ask(*state, "local t = perigee.task.spawn(perigee.sleep, 0.001) return t:join(), t:status()"),
      "nil|done");
}

static void arguments_have_a_most(void **state) {
  assert_string_equal(ask(*state,
                          "local t = {} for i = 1, 30 do t[i] = i end\n"
                          "local all = perigee.task.spawn(function(...) return select('#', ...) "
                          "end, unpack(t)):join()\n"
                          "return all, (pcall(perigee.task.spawn, function() end, 31, unpack(t)))"),
                      "30|false");
}

static void sleeping_for_nothing_lets_others_run(void **state) {
  assert_string_equal(ask(*state,
                          "local t = perigee.task.spawn(function() perigee.sleep(0) end)\n"
                          "while t:status() == 'running' do perigee.sleep(0) end return 'done'"),
                      "done");
}

static void a_child_is_joined_with_its_results(void **state) {
  assert_string_equal(ask(*state,
                          "local t = perigee.task.spawn(function(a, b) perigee.sleep(0.001) "
                          "return a + b, nil, 'end' end, 2, 3) return t:join()"),
                      "5|nil|end");
  assert_string_equal(ask(*state, "local t = perigee.task.spawn(function() return 1 end) "
                                  "t:join() return t:join(), t:status()"),
                      "1|done");
}

static void a_child_that_raises_fails_its_join(void **state) {
  const char *text = ask(*state, "local t = perigee.task.spawn(function()\nerror('no luck')\nend) "
                                 "local a, b, c = t:join() return a, b, c, t:status()");
  assert_non_null(strstr(text, ":3: no luck"));
  assert_non_null(strstr(text, "nil|"));
  assert_non_null(strstr(text, "|EFAULT|failed"));
}

static void a_deadline_ends_what_is_late(void **state) {
  assert_string_equal(ask(*state, "return perigee.task.deadline('5ms', perigee.sleep, 600)"),
                      "nil|its deadline of 0.005 s has passed|ETIMEDOUT");
  assert_string_equal(
      ask(*state, "return perigee.task.deadline(600, function(...) return ... end, 7)"), "7");
}

static void the_first_of_several_wins_and_ends_the_rest(void **state) {
  assert_string_equal(
      ask(*state, "local lost = perigee.task.spawn(perigee.sleep, 600)\n"
                  "local which, value = perigee.task.first(lost, function() perigee.sleep(600) end,"
                  "  function() perigee.sleep(0.001) return 'won' end)\n"
                  "local before = lost:status() lost:cancel()\n"
                  "return which, value, before, lost:status(), select(3, lost:join())"),
      "3|won|running|failed|ECANCELED");
}

static void a_task_ends_with_its_parent(void **state) {
  assert_string_equal(
      ask(*state,
          "local inner\n"
          "local outer = perigee.task.spawn(function()\n"
          "  inner = perigee.task.spawn(perigee.sleep, 600) perigee.sleep(600) end)\n"
          "perigee.sleep(0.001) outer:cancel() return inner:status(), (select(2, inner:join()))"),
      "failed|the task that started it has ended");
}

static void a_long_chain_of_joins_needs_no_deep_stack(void **state) {
  assert_string_equal(
      ask(*state,
          "local last = perigee.task.spawn(function() perigee.sleep(0.001) return 'x' end)\n"
          "for i = 1, 9000 do local before = last\n"
          "  last = perigee.task.spawn(function() return before:join() end) end\n"
          "return last:join()"),
      "x");
}

static void tasks_have_a_most(void **state) {
  const char *text = ask_within(*state, "while true do perigee.task.spawn(perigee.sleep, 600) end",
                                &(struct isolate_limits){.max_tasks = 50});
  assert_non_null(strstr(text, "too many tasks"));
}

static void a_wait_passes_through_own_coroutines(void **state) {
  assert_string_equal(
      ask(*state,
          "local co = coroutine.wrap(function(a)\n"
          "  perigee.sleep(0.001) local b = coroutine.yield(a + 1)\n"
          "  perigee.sleep(0.001)\n"
          "  local inner = coroutine.wrap(function() perigee.sleep(0.001) return 'deep' end)\n"
          "  return inner(), b end)\n"
          "local first = co(1) local deep, b = co('back') return first, deep, b"),
      "2|deep|back");
  assert_string_equal(ask(*state,
                          "for i in coroutine.wrap(function() for i = 1, 3 do perigee.sleep(0) "
                          "coroutine.yield(i) end end) do ctx_ = i end return ctx_"),
                      "3");
  const char *text = ask(*state, "local ok, why = coroutine.resume(coroutine.create(function() "
                                 "perigee.sleep(0) error('inside', 0) end)) return ok, why");
  assert_string_equal(text, "false|inside");
}

static void a_waiting_coroutine_is_only_the_hosts_to_resume(void **state) {
  assert_string_equal(
      ask(*state, "local co = coroutine.create(function() return perigee.sleep(600) end)\n"
                  "local t = perigee.task.spawn(function() return coroutine.resume(co) end)\n"
                  "perigee.sleep(0.001)\n"
                  "local s, ok, why = coroutine.status(co), coroutine.resume(co, 'forged')\n"
                  "t:cancel() return s, ok, why"),
      "normal|false|cannot resume a coroutine that waits for the host");
}

static void a_task_is_in_nobodys_hands(void **state) {
  assert_string_equal(ask(*state, "local own, inner = coroutine.running(), nil\n"
                                  "coroutine.wrap(function() inner = coroutine.running() end)()\n"
                                  "return tostring(own), type(inner)"),
                      "nil|thread");
}

#define WITHIN_C "return ('%s'):format(setmetatable({}, { __tostring = function() "

static void what_cannot_wait_says_so(void **state) {
  assert_non_null(strstr(ask(*state, WITHIN_C "perigee.sleep(0) end }))"),
                         "cannot wait inside a function in C"));
  assert_non_null(strstr(ask(*state, "coroutine.yield(1)"), "the task itself"));
  /* The coroutine's wait began, but its maker could not pass it on; the task can wait again. */
  assert_string_equal(ask(*state,
                          "local ok = pcall(function() " WITHIN_C
                          "  coroutine.wrap(function() perigee.sleep(600) end)() end })) end)\n"
                          "perigee.sleep(0.001) return ok, 'on'"),
                      "false|on");
}

static void a_task_may_cancel_itself_and_its_parent(void **state) {
  assert_string_equal(ask(*state,
                          "local t t = perigee.task.spawn(function() t:cancel() perigee.sleep(0) "
                          "return 'never' end) return t:join()"),
                      "nil|cancelled|ECANCELED");
  assert_string_equal(ask(*state, "local p p = perigee.task.spawn(function()\n"
                                  "  perigee.task.spawn(function() p:cancel() end):join() end)\n"
                                  "return p:join()"),
                      "nil|cancelled|ECANCELED");
}

static void a_call_ends_at_its_deadline_or_by_cancel(void **state) {
  struct fixture *fx = *state;
  struct plugin *p;
  struct attachment *use;
  struct findings findings = {0};
  struct fault f;
  struct call *c;
  struct answer late = {0}, never = {0}, ended = {0};
  assert_int_equal(
      load(fx, "check",
           "return { kind = 'check', summary = 's', run = function() perigee.sleep(600) end }",
           NULL, &p, &f),
      0);
  assert_int_equal(plugin_attach(p, NULL, "x", &use, &findings), 0);
  assert_int_equal(attachment_call(use, "walk", NULL, answer_take, &never, 0, NULL), -ENOSYS);
  assert_int_equal(attachment_call(use, "run", NULL, answer_take, &late, 2000000, NULL), 0);
  assert_int_equal(attachment_call(use, "run", NULL, answer_take, &never, 0, &c), 0);
  run_until(fx, &late.over);
  assert_int_equal(late.status, -ETIMEDOUT);
  call_cancel(c);
  assert_int_equal(attachment_call(use, "run", NULL, answer_take, &ended, 0, &c), 0);
  attachment_free(use);
  assert_true(ended.over);
  assert_int_equal(ended.status, -ECANCELED);
  assert_false(never.over);
  plugin_free(p);
}

struct ending {
  struct answer answer;
  struct attachment *use;
  struct plugin *plugin;
};

static void end_all(void *arg, const struct call_result *r) {
  struct ending *e = arg;
  answer_take(&e->answer, r);
  attachment_free(e->use);
  plugin_free(e->plugin);
}

static void a_plugin_may_be_freed_in_its_own_callback(void **state) {
  struct fixture *fx = *state;
  struct findings findings = {0};
  struct fault f;
  struct ending e = {0};
  assert_int_equal(
      load(fx, "check",
           "return { kind = 'check', summary = 's', run = function()\n"
           "perigee.task.spawn(perigee.sleep, 600) perigee.sleep(0.001) return 'x' end }",
           NULL, &e.plugin, &f),
      0);
  assert_int_equal(plugin_attach(e.plugin, NULL, "x", &e.use, &findings), 0);
  assert_int_equal(attachment_call(e.use, "run", NULL, end_all, &e, 0, NULL), 0);
  run_until(fx, &e.answer.over);
  assert_string_equal(e.answer.text, "x");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(a_wait_gives_way_and_comes_back),
      FIXTURE_TEST(a_task_may_be_a_call_of_the_host_alone),
      FIXTURE_TEST(arguments_have_a_most),
      FIXTURE_TEST(sleeping_for_nothing_lets_others_run),
      FIXTURE_TEST(a_child_is_joined_with_its_results),
      FIXTURE_TEST(a_child_that_raises_fails_its_join),
      FIXTURE_TEST(a_deadline_ends_what_is_late),
      FIXTURE_TEST(the_first_of_several_wins_and_ends_the_rest),
      FIXTURE_TEST(a_task_ends_with_its_parent),
      FIXTURE_TEST(a_long_chain_of_joins_needs_no_deep_stack),
      FIXTURE_TEST(tasks_have_a_most),
      FIXTURE_TEST(a_wait_passes_through_own_coroutines),
      FIXTURE_TEST(a_waiting_coroutine_is_only_the_hosts_to_resume),
      FIXTURE_TEST(a_task_is_in_nobodys_hands),
      FIXTURE_TEST(what_cannot_wait_says_so),
      FIXTURE_TEST(a_task_may_cancel_itself_and_its_parent),
      FIXTURE_TEST(a_call_ends_at_its_deadline_or_by_cancel),
      FIXTURE_TEST(a_plugin_may_be_freed_in_its_own_callback),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
