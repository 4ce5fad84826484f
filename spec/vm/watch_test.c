/* perigee.watch: what other registries have, as the test tells it. */
#include "vm/fixture.h"

#include "watch/set.h"

enum { TARGETS = 4 };

/* Who is told of a target, in the order in which they were asked for. */
static struct told {
  char target[40];
  void (*told)(void *to, const struct set_published *what);
  void *to;
} all[TARGETS];
static int asked, left;

static int take_watch(void *arg, const char *target, const struct isolate *by,
                      void (*told)(void *to, const struct set_published *what), void *to,
                      void **watch, struct fault *f) {
  if (strncmp(target, "no:", 3) == 0)
    return fault_set(f, -EACCES, "%s: nobody configured it", target);
  assert_non_null(by);
  assert_true(asked < TARGETS);
  snprintf(all[asked].target, sizeof all[asked].target, "%s", target);
  all[asked].told = told;
  all[asked].to = to;
  *watch = &all[asked++];
  return 0;
}

static void take_unwatch(void *watch) {
  struct told *t = watch;
  assert_non_null(t->told);
  t->told = NULL;
  left++;
}

static const struct vm_registry registries = {.watch = take_watch, .unwatch = take_unwatch};

/* These ids, one letter each; "!" before them: stale; "?": never reached. */
static void say(int target, const char *ids) {
  struct set_row rows[8] = {0};
  struct set_published what = {.service = "web", .known = true, .rows = rows};
  what.stale = *ids == '!';
  ids += what.stale;
  what.known = *ids != '?';
  for (; what.known && *ids; ids++) {
    char id[2] = {*ids, 0};
    rows[what.count++].instance = instance_new(&(struct instance_draft){
        .id = id, .service = "web", .address = "10.0.0.1", .port = 80, .weight = 1});
  }
  assert_non_null(all[target].told);
  all[target].told(all[target].to, &what);
  for (size_t i = 0; i < what.count; i++)
    instance_unref(rows[i].instance);
}

struct asking {
  struct plugin *plugin;
  struct attachment *use;
  struct call *call;
  struct answer answer;
};

/* A call whose function has this body, until it has asked for so many targets and waits. */
static void begin(struct fixture *fx, struct asking *a, int targets, const char *body) {
  struct vm_config config = {
      .loop = &fx->loop, .io = fx->io, .library = ".", .registry = &registries};
  char source[2000];
  struct findings findings = {0};
  struct fault f;
  vm_free(fx->vm);
  assert_int_equal(vm_new(&config, &fx->vm, &f), 0);
  asked = left = 0;
  snprintf(source, sizeof source,
           "local function text(list) local t = list.stale and '!' or '' "
           "for _, e in ipairs(list) do t = t .. e.id .. (e.status == 'passing' and '' or '-') end "
           "return list.known and t or t .. '?' end\n"
           "return { kind = 'check', summary = 's', run = function() %s end }",
           body);
  *a = (struct asking){0};
  if (load(fx, "check", source, NULL, &a->plugin, &f) != 0)
    fail_msg("%s", f.text);
  assert_int_equal(plugin_attach(a->plugin, NULL, "x", &a->use, &findings), 0);
  assert_int_equal(
      attachment_call(a->use, "run", NULL, answer_take, &a->answer, 20000000000, &a->call), 0);
  while (asked < targets && !a->answer.over)
    uv_run(&fx->loop, UV_RUN_ONCE);
  for (int turn = 0; turn < 5; turn++)
    uv_run(&fx->loop, UV_RUN_NOWAIT);
}

static void end(struct asking *a) {
  attachment_free(a->use);
  plugin_free(a->plugin);
}

static void a_loop_turns_with_the_news_of_any(void **state) {
  struct fixture *fx = *state;
  struct asking a;
  begin(fx, &a, 2,
        "local seen = {} "
        "for a, b in perigee.watch('x:///web', 'y:///web') do "
        "  seen[#seen + 1] = text(a) .. '|' .. text(b) "
        "  if #b == 3 then return table.concat(seen, ' ') end "
        "  if #seen == 1 then perigee.watch('mark:///') perigee.sleep('20ms') end "
        "end");
  assert_int_equal(asked, 2);
  assert_string_equal(all[1].target, "y:///web");
  say(0, "ab");
  uv_run(&fx->loop, UV_RUN_NOWAIT); /* the other one has not spoken */
  say(0, "abc");
  say(1, "!?");
  while (asked == 2) /* it marks that it has seen this */
    uv_run(&fx->loop, UV_RUN_ONCE);
  say(1, "d"); /* while it is not waited for: it is told the last of all that came */
  say(1, "def");
  run_until(fx, &a.answer.over);
  assert_string_equal(a.answer.text, "abc|!? abc|def");
  end(&a);
  assert_int_equal(left, 3); /* by the collector, or the isolate's end */
}

static void it_ends_where_it_is_closed(void **state) {
  struct fixture *fx = *state;
  struct asking a;
  begin(fx, &a, 1,
        "local turns, next, watch = 0, perigee.watch('x:///web') "
        "local other = perigee.task.spawn(function() perigee.sleep('20ms') watch:close() end) "
        "for list in next, watch do turns = turns + 1 end "
        "return turns, pcall(next, watch)");
  run_until(fx, &a.answer.over);
  assert_string_equal(a.answer.text, "0|false|watch: closed");
  assert_int_equal(left, 1);
  end(&a);
}

static void it_ends_with_the_task_that_waits(void **state) {
  struct fixture *fx = *state;
  struct asking a;
  begin(fx, &a, 2, "for _ in perigee.watch('x:///web', 'y:///web') do end");
  call_cancel(a.call);
  assert_int_equal(left, 2);
  end(&a);
  begin(fx, &a, 1, "for _ in perigee.watch('x:///web') do end");
  say(0, "a"); /* it is about to be woken */
  end(&a);
  assert_int_equal(left, 1);
}

static void what_cannot_be_watched_is_an_error(void **state) {
  struct fixture *fx = *state;
  struct asking a;
  begin(fx, &a, 1, "return pcall(perigee.watch, 'x:///web', 'no:///web')");
  run_until(fx, &a.answer.over);
  assert_string_equal(a.answer.text, "false|no:///web: nobody configured it");
  assert_int_equal(left, 1);
  end(&a);
  begin(fx, &a, 0, "return pcall(perigee.watch)");
  run_until(fx, &a.answer.over);
  assert_non_null(strstr(a.answer.text, "1 to 16 targets are expected"));
  end(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(a_loop_turns_with_the_news_of_any),
      FIXTURE_TEST(it_ends_where_it_is_closed),
      FIXTURE_TEST(it_ends_with_the_task_that_waits),
      FIXTURE_TEST(what_cannot_be_watched_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
