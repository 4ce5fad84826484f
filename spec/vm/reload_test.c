/* Reload: a plugin goes on with another version, takes along what it had, and can go back. */
#include "base/value.h"
#include "fixture.h"
#include "vm/plugin/reload.h"

#include <stdatomic.h>

struct rig {
  struct fixture *fx;
  struct plugin *plugin;
  struct attachment *use;
};

static struct plugin *load_check(struct fixture *fx, const char *body) {
  struct plugin *p = NULL;
  struct fault f = {0};
  char source[2000];
  snprintf(source, sizeof source, "return { kind = 'check', summary = 's', %s }", body);
  if (load(fx, "check", source, NULL, &p, &f) != 0)
    fail_msg("%s", f.text);
  return p;
}

static struct rig begin(void **state, const char *body) {
  struct rig r = {.fx = *state};
  struct findings findings = {0};
  r.plugin = load_check(r.fx, body);
  assert_int_equal(plugin_attach(r.plugin, NULL, "test", &r.use, &findings), 0);
  return r;
}

static void end(struct rig *r) {
  attachment_free(r->use);
  plugin_free(r->plugin);
}

static const char *run(struct rig *r) {
  static struct answer a;
  a = (struct answer){0};
  int code = attachment_call(r->use, "run", NULL, answer_take, &a, 0, NULL);
  if (code != 0) {
    snprintf(a.text, sizeof a.text, "!%s", errno_name(code));
    return a.text;
  }
  run_until(r->fx, &a.over);
  return a.text;
}

static int swap(struct rig *r, const char *body, struct fault *f) {
  struct findings findings = {0};
  int code = plugin_prepare(r->plugin, load_check(r->fx, body), &findings, f);
  findings_free(&findings);
  if (code == 0)
    code = plugin_hand_over(r->plugin, true, f);
  if (code == 0)
    plugin_swap(r->plugin);
  else
    plugin_abandon(r->plugin);
  return code;
}

#define COUNT(word)                                                                                \
  "run = function(_, ctx) ctx.state.n = (ctx.state.n or 0) + 1 return '" word "', ctx.state.n end"

static void state_goes_along(void **state) {
  struct rig r = begin(state, COUNT("old"));
  struct fault f = {0};
  assert_string_equal(run(&r), "old|1");
  assert_int_equal(swap(&r, COUNT("new"), &f), 0);
  assert_string_equal(run(&r), "new|2");
  assert_true(plugin_is_parked(r.plugin));
  plugin_settle(r.plugin);
  assert_false(plugin_is_parked(r.plugin));
  assert_string_equal(run(&r), "new|3");
  end(&r);
}

static void what_is_no_plain_data_stays_behind(void **state) {
  struct rig r =
      begin(state, "run = function(_, ctx) ctx.state.f = print ctx.state.t = { a = { 1, 2 } } "
                   "return 'x' end");
  struct fault f = {0};
  run(&r);
  assert_int_equal(
      swap(&r, "run = function(_, ctx) return type(ctx.state.f), ctx.state.t.a[2] end", &f), 0);
  assert_string_equal(run(&r), "nil|2");
  end(&r);
}

static void what_is_exported_is_imported(void **state) {
  struct rig r =
      begin(state, "run = function() return 'old' end, export = function() return { n = 7 } end");
  struct fault f = {0};
  assert_int_equal(swap(&r,
                        "import = function(d) if d.n ~= 8 then return nil, 'seven' end end, "
                        "run = function() return 'new' end",
                        &f),
                   -EINVAL);
  assert_non_null(strstr(f.text, "seven"));
  assert_string_equal(run(&r), "old");
  assert_int_equal(swap(&r, "import = function() error('never') end, run = function() end", &f),
                   -EFAULT);
  assert_non_null(strstr(f.text, "never"));
  assert_string_equal(run(&r), "old");
  assert_int_equal(swap(&r, "import = function(d) m = d.n end, run = function() return m end", &f),
                   0);
  assert_string_equal(run(&r), "7");
  end(&r);
}

static void an_option_that_does_not_pass_leaves_the_old_one(void **state) {
  struct rig r = begin(state, COUNT("old"));
  struct fault f = {0};
  assert_int_equal(swap(&r, "options = { must = 'string' }, " COUNT("new"), &f), -EINVAL);
  assert_non_null(strstr(f.text, "must"));
  assert_string_equal(run(&r), "old|1");
  /* Not strict: it is not called until its owner makes it anew. */
  struct findings findings = {0};
  struct plugin *fresh = load_check(r.fx, "options = { must = 'string' }, " COUNT("new"));
  assert_int_equal(plugin_prepare(r.plugin, fresh, &findings, &f), 0);
  assert_int_equal(findings.count, 1);
  findings_free(&findings);
  assert_int_equal(plugin_hand_over(r.plugin, false, &f), 0);
  plugin_swap(r.plugin);
  assert_string_equal(run(&r), "!EINVAL");
  end(&r);
}

static void a_call_ends_where_it_began(void **state) {
  struct rig r = begin(state, "run = function() perigee.sleep('20ms') return 'old' end");
  struct answer slow = {0};
  struct fault f = {0};
  assert_int_equal(attachment_call(r.use, "run", NULL, answer_take, &slow, 0, NULL), 0);
  assert_int_equal(swap(&r, COUNT("newer"), &f), 0);
  assert_int_equal(swap(&r, COUNT("newest"), &f), 0);
  plugin_settle(r.plugin);
  assert_string_equal(run(&r), "newest|1");
  run_until(r.fx, &slow.over);
  assert_string_equal(slow.text, "old");
  end(&r);
}

static void the_way_back_is_the_last_that_proved_itself(void **state) {
  struct rig r = begin(state, COUNT("proved"));
  struct fault f = {0};
  run(&r);
  assert_int_equal(swap(&r, COUNT("bad"), &f), 0);
  assert_int_equal(swap(&r, COUNT("worse"), &f), 0);
  assert_string_equal(run(&r), "worse|2");
  assert_int_equal(plugin_go_back(r.plugin, &f), 0);
  assert_string_equal(run(&r), "proved|2");
  assert_false(plugin_is_parked(r.plugin));
  end(&r);
}

static void no_way_back_for_what_the_old_schema_refuses(void **state) {
  struct rig r = begin(state, COUNT("old"));
  struct findings findings = {0};
  struct fault f = {0};
  struct attachment *second = NULL;
  struct value *options = value_table();
  value_set(options, "more", value_number(1));
  assert_int_equal(swap(&r, "options = { more = { 'number', 0 } }, " COUNT("new"), &f), 0);
  assert_int_equal(plugin_attach(r.plugin, options, "second", &second, &findings), 0);
  assert_int_equal(plugin_go_back(r.plugin, &f), -EINVAL);
  assert_string_equal(run(&r), "new|1");
  attachment_free(second);
  assert_int_equal(plugin_go_back(r.plugin, &f), 0);
  assert_string_equal(run(&r), "old|1");
  value_unref(options);
  end(&r);
}

struct waiting {
  bool over;
  struct fault fault;
};

static void take_ready(void *arg, const struct fault *f) {
  struct waiting *w = arg;
  w->over = true;
  w->fault = *f;
}

/* What `ready` ended with, "" for well. */
static const char *become_ready(struct rig *r, const char *ready, int64_t deadline_ns) {
  static struct waiting w;
  struct findings findings = {0};
  char body[500];
  w = (struct waiting){0};
  snprintf(body, sizeof body, "run = function() return 'new' end, ready = function() %s end",
           ready);
  assert_int_equal(plugin_prepare(r->plugin, load_check(r->fx, body), &findings, &w.fault), 0);
  assert_true(plugin_make_ready(r->plugin, deadline_ns, take_ready, &w));
  run_until(r->fx, &w.over);
  return w.fault.text;
}

static void a_version_that_is_not_ready_is_not_used(void **state) {
  static const int64_t long_ns = 60 * INT64_C(1000000000);
  struct rig r = begin(state, COUNT("old"));
  struct fault f = {0};
  assert_non_null(strstr(become_ready(&r, "return nil, 'no peer'", long_ns), "no peer"));
  plugin_abandon(r.plugin);
  assert_non_null(strstr(become_ready(&r, "error('a mistake')", long_ns), "a mistake"));
  plugin_abandon(r.plugin);
  assert_non_null(strstr(become_ready(&r, "perigee.sleep('1h')", 1000000), "in time"));
  plugin_abandon(r.plugin);
  assert_string_equal(run(&r), "old|1");
  assert_string_equal(become_ready(&r, "perigee.sleep('1ms')", long_ns), "");
  assert_int_equal(plugin_hand_over(r.plugin, true, &f), 0);
  plugin_swap(r.plugin);
  assert_string_equal(run(&r), "new");
  end(&r);
}

static void becoming_ready_may_be_given_up(void **state) {
  struct rig r = begin(state, COUNT("old"));
  struct findings findings = {0};
  struct waiting w = {0};
  const char *body = "run = function() end, ready = function() perigee.sleep('1h') end";
  assert_int_equal(plugin_prepare(r.plugin, load_check(r.fx, body), &findings, &w.fault), 0);
  assert_true(plugin_make_ready(r.plugin, 1, take_ready, &w));
  assert_int_equal(plugin_prepare(r.plugin, load_check(r.fx, body), &findings, &w.fault), -EBUSY);
  plugin_abandon(r.plugin);
  assert_string_equal(run(&r), "old|1");
  assert_false(w.over);
  /* And when the last who is asked goes away, there is an answer. */
  assert_int_equal(plugin_prepare(r.plugin, load_check(r.fx, body), &findings, &w.fault), 0);
  assert_true(plugin_make_ready(r.plugin, 0, take_ready, &w));
  attachment_free(r.use);
  assert_true(w.over);
  plugin_free(r.plugin);
}

struct follower {
  struct rig *rig;
  int left, arrived;
  struct call *pending;
  struct answer closing, pend;
};

static void on_leaving(void *arg) {
  struct follower *w = arg;
  w->left++;
  if (w->pending)
    call_cancel(w->pending);
  w->pending = NULL;
  assert_int_equal(attachment_call(w->rig->use, "run", NULL, answer_take, &w->closing, 0, NULL), 0);
}

static void on_arrived(void *arg) {
  struct follower *w = arg;
  w->arrived++;
}

static void owners_are_told_on_both_sides(void **state) {
  static const struct attachment_events events = {on_leaving, on_arrived};
  struct rig r = begin(state, "run = function() perigee.sleep('1ms') return 'old' end");
  struct follower w = {.rig = &r};
  struct fault f = {0};
  attachment_follow(r.use, &events, &w);
  assert_int_equal(attachment_call(r.use, "run", NULL, answer_take, &w.pend, 0, &w.pending), 0);
  assert_int_equal(swap(&r, COUNT("new"), &f), 0);
  assert_int_equal(w.left, 1);
  assert_int_equal(w.arrived, 1);
  run_until(r.fx, &w.closing.over);
  assert_string_equal(w.closing.text, "old");
  assert_false(w.pend.over);
  attachment_follow(r.use, NULL, NULL);
  end(&r);
}

static void a_thousand_reloads_leave_nothing(void **state) {
  struct rig r = begin(state, COUNT("old"));
  struct fault f = {0};
  struct vm_stats before, after;
  run(&r);
  for (int i = 0; i < 1000; i++) {
    if (i == 10)
      vm_stats(r.fx->vm, &before);
    if (i % 2 == 0)
      assert_int_equal(swap(&r, COUNT("even"), &f), 0);
    else
      assert_int_equal(swap(&r, "options = { must = 'string' }, " COUNT("odd"), &f), -EINVAL);
    if (i % 10 == 0)
      plugin_settle(r.plugin);
    uv_run(&r.fx->loop, UV_RUN_NOWAIT);
  }
  vm_stats(r.fx->vm, &after);
  assert_int_equal(after.isolates, before.isolates);
  assert_int_equal(after.handles, before.handles);
  assert_true(after.memory < before.memory + 20000);
  assert_string_equal(run(&r), "even|2");
  end(&r);
}

static atomic_bool scribbling;

/* In place and in pieces, as the worst of editors does. */
static void scribble(void *arg) {
  const char *path = arg;
  for (int i = 0; scribbling; i = (i + 1) % 10) {
    FILE *file = fopen(path, "w");
    fprintf(file, "local a = %d\n", i);
    fflush(file);
    for (int k = 0; k < 200; k++)
      fprintf(file, "-- filling %d\n", i);
    fflush(file);
    fprintf(file, "return { kind = 'check', summary = tostring(a) .. %d, run = function() end }\n",
            i);
    fclose(file);
  }
}

static void a_file_that_changes_while_it_is_read_is_never_mixed(void **state) {
  struct fixture *fx = *state;
  uv_thread_t writer;
  int whole = 0;
  scribbling = true;
  assert_int_equal(uv_thread_create(&writer, scribble, fx->path), 0);
  for (int i = 0; i < 1000 || whole == 0; i++) {
    struct plugin *p = NULL;
    struct fault f = {0};
    if (plugin_load(fx->vm, "check", "changes", fx->path, NULL, &p, &f) != 0)
      continue;
    const char *summary = plugin_summary(p);
    if (strlen(summary) != 2 || summary[0] != summary[1])
      fail_msg("a mixture: %s", summary);
    whole++;
    plugin_free(p);
  }
  scribbling = false;
  uv_thread_join(&writer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(state_goes_along),
      FIXTURE_TEST(what_is_no_plain_data_stays_behind),
      FIXTURE_TEST(what_is_exported_is_imported),
      FIXTURE_TEST(an_option_that_does_not_pass_leaves_the_old_one),
      FIXTURE_TEST(a_call_ends_where_it_began),
      FIXTURE_TEST(the_way_back_is_the_last_that_proved_itself),
      FIXTURE_TEST(no_way_back_for_what_the_old_schema_refuses),
      FIXTURE_TEST(a_version_that_is_not_ready_is_not_used),
      FIXTURE_TEST(becoming_ready_may_be_given_up),
      FIXTURE_TEST(owners_are_told_on_both_sides),
      FIXTURE_TEST(a_thousand_reloads_leave_nothing),
      FIXTURE_TEST(a_file_that_changes_while_it_is_read_is_never_mixed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
