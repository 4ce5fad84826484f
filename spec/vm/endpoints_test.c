/* Plans over endpoints, without an agent: what shares come to, what is shown, what is refused, and
 * what is left of it in the isolate. */
#include "fixture.h"

#include "base/value.h"
#include "vm/plan/bind_endpoints.h"
#include "watch/balancer.h"

#include <math.h>

enum { MOST = 64 };

struct service {
  struct set_row rows[MOST];
  struct plan_row out[MOST];
  bool hidden[MOST];
  struct plan_live live[MOST];
  struct balancer rules;
  struct plan_question q;
};

static struct plan_live live_of(void *arg, const struct set_row *row) {
  const struct service *s = arg;
  return s->live[row - s->rows];
}

static void add(struct service *s, const char *tag, enum status status) {
  char id[8];
  struct set_row *row = &s->rows[s->q.count++];
  snprintf(id, sizeof id, "e%02zu", s->q.count);
  *row = (struct set_row){.status = status,
                          .instance = instance_new(&(struct instance_draft){
                              .id = id,
                              .service = "web",
                              .address = "10.0.0.1",
                              .weight = 1,
                              .tags = (const char *[]){tag, "all"},
                              .tag_count = 2,
                              .meta = (struct catalog_pair[]){{"rack", "r1"}},
                              .meta_count = 1})};
}

static struct service *service_new(void) {
  struct service *s = calloc(1, sizeof *s);
  s->q = (struct plan_question){.service = "web",
                                .rows = s->rows,
                                .rules = &s->rules,
                                .now_ns = INT64_C(1000000000000),
                                .live = live_of,
                                .live_arg = s};
  return s;
}

static void service_free(struct service *s) {
  for (size_t i = 0; i < s->q.count; i++)
    instance_unref(s->rows[i].instance);
  free(s);
}

struct planning {
  struct plugin *plugin;
  struct attachment *attachment;
};

static struct planning planning_within(struct fixture *fx, const struct isolate_limits *limits,
                                       const char *head, const char *body) {
  struct planning p;
  struct buf source = {0};
  struct findings findings = {0};
  struct fault f = {0};
  buf_format(&source,
             "%s return { kind = 'balancer', summary = 'a test', plan = function(endpoints, "
             "options, ctx)\n%s\nend }",
             head, body);
  if (load(fx, "balancer", source.data, limits, &p.plugin, &f) != 0)
    fail_msg("%s", f.text);
  assert_int_equal(plugin_attach(p.plugin, NULL, "test", &p.attachment, &findings), 0);
  buf_free(&source);
  return p;
}

static struct planning planning(struct fixture *fx, const char *head, const char *body) {
  return planning_within(fx, NULL, head, body);
}

static void planning_end(struct planning *p) {
  attachment_free(p->attachment);
  plugin_free(p->plugin);
}

static int run(const struct planning *p, struct service *s, struct fault *f) {
  struct plan_run r = {.question = &s->q, .rows = s->out, .hidden = s->hidden};
  plan_from_registry(&s->q, s->out);
  plan_begin(&r, p->attachment, true);
  assert_false(plan_goes_on(&r));
  *f = r.fault;
  return f->code;
}

static void runs(const struct planning *p, struct service *s) {
  struct fault f = {0};
  if (run(p, s, &f) != 0)
    fail_msg("%s", f.text);
}

/* ---- shares ---- */

static uint64_t seed = 17;
static uint64_t next_random(uint64_t below) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (seed >> 33) % below;
}

/* Whatever there is: in each tier that has both, the tagged ones get their fraction of what can be
 * picked, and within each side all keep their proportions. */
static void check_shares(const struct service *s, const struct plan_row *before, double fraction) {
  for (unsigned tier = 0; tier < 3; tier++) {
    double sum[2] = {0}, all = 0, factor[2] = {0};
    for (size_t i = 0; i < s->q.count; i++) {
      bool counts = s->rows[i].status != STATUS_CRITICAL && !s->live[i].ejected;
      if (before[i].tier != tier || before[i].drop || before[i].weight <= 0 || !counts)
        continue;
      bool tagged = strcmp(s->rows[i].instance->tags[0], "v2") == 0;
      double own = s->out[i].weight / before[i].weight;
      sum[tagged] += s->out[i].weight;
      all += s->out[i].weight;
      assert_true(factor[tagged] == 0 || fabs(own / factor[tagged] - 1) < 1e-9 || own == 0);
      factor[tagged] = own;
    }
    bool both = sum[0] > 0 && sum[1] > 0;
    if (both)
      assert_true(fabs(sum[1] / all - fraction) < 1e-9);
  }
}

static void shares_hold_whatever_there_is(void **state) {
  struct fixture *fx = *state;
  struct planning p = planning(fx, "",
                               "for e in endpoints:each() do\n"
                               "  local n = tonumber(e.id:sub(2))\n"
                               "  e.weight = n % 5 * 0.3 e.tier = n % 7 % 3 e.drop = n % 11 == 0\n"
                               "end\n"
                               "endpoints:share('v2', 0.125)");
  for (int round = 0; round < 200; round++) {
    struct service *s = service_new();
    struct plan_row before[MOST];
    size_t count = 1 + next_random(MOST - 1);
    for (size_t i = 0; i < count; i++) {
      add(s, next_random(3) ? "v1" : "v2", (enum status)next_random(3));
      s->live[i].ejected = next_random(8) == 0;
    }
    runs(&p, s);
    bool any = false;
    for (size_t i = 0; i < count; i++) {
      unsigned n = (unsigned)i + 1;
      before[i] = (struct plan_row){n % 5 * 0.3, (uint16_t)(n % 7 % 3), n % 11 == 0, 0};
      any = any || (!before[i].drop && before[i].weight > 0 && !s->live[i].ejected &&
                    s->rows[i].status != STATUS_CRITICAL);
    }
    if (any) /* else picks fail open, and all count */
      check_shares(s, before, 0.125);
    service_free(s);
  }
  planning_end(&p);
}

static void one_side_alone_has_all(void **state) {
  struct fixture *fx = *state;
  struct planning p =
      planning(fx, "",
               "ctx.state.n = endpoints:share(function(e) return e:has('v2') end, 0.25)\n"
               "if ctx.state.n ~= (#endpoints == 3 and 0 or 1) then error(ctx.state.n) end");
  struct service *s = service_new();
  add(s, "v1", STATUS_PASSING);
  add(s, "v1", STATUS_PASSING);
  add(s, "v2", STATUS_CRITICAL); /* with nothing healthy to take its part, it changes nothing */
  runs(&p, s);
  assert_true(s->out[0].weight == 1 && s->out[1].weight == 1 && s->out[2].weight == 1);
  add(s, "v2", STATUS_WARNING);
  runs(&p, s);
  assert_true(fabs(s->out[3].weight / (s->out[0].weight + s->out[1].weight) - 1.0 / 3) < 1e-12);
  assert_int_equal(s->out[3].by, PLAN_BALANCER);
  service_free(s);
  planning_end(&p);
}

/* ---- what is shown ---- */

static void live_figures_and_ages(void **state) {
  struct fixture *fx = *state;
  struct planning p = planning(fx, "",
                               "local e = endpoints:each()(endpoints)\n"
                               "assert(e.age == 20 and e.in_flight == 3 and e.latency == 0.25)\n"
                               "assert(e.ejected == true and e.status == 'warning')\n"
                               "assert(e.meta.rack == 'r1' and e.tags[2] == 'all' and not e.port)\n"
                               "assert(rawequal(e.tags, e.tags) and rawequal(e.meta, e.meta))\n"
                               "assert(#endpoints == 2)\n"
                               "for other in endpoints:each() do assert(other.id ~= 'e02') end");
  struct service *s = service_new();
  add(s, "v1", STATUS_WARNING);
  add(s, "v1", STATUS_PASSING);
  add(s, "v1", STATUS_PASSING);
  s->rows[0].born_ns = s->q.now_ns - INT64_C(20000000000);
  s->live[0] = (struct plan_live){3, 250000000, true};
  s->hidden[1] = true;
  runs(&p, s);
  service_free(s);
  planning_end(&p);
}

/* What a plugin keeps means the same endpoint for as long as the service has just these, and
 * nothing afterwards. */
static void kept_endpoints(void **state) {
  struct fixture *fx = *state;
  struct planning p = planning(fx, "local kept",
                               "if not kept then for e in endpoints:each() do kept = e end end\n"
                               "ctx.state.n = (ctx.state.n or 0) + 1\n"
                               "kept.weight = ctx.state.n");
  struct service *s = service_new();
  struct fault f = {0};
  add(s, "v1", STATUS_PASSING);
  add(s, "v1", STATUS_PASSING);
  runs(&p, s);
  runs(&p, s);
  assert_true(s->out[0].weight == 1 && s->out[1].weight == 2);
  add(s, "v1", STATUS_PASSING);
  assert_int_equal(run(&p, s, &f), -EFAULT);
  assert_non_null(strstr(f.text, "an endpoint of a plan that is over"));
  for (int i = 0; i < 3; i++)
    assert_true(s->out[i].weight == 1);
  service_free(s);
  planning_end(&p);
}

static void no_garbage_from_run_to_run(void **state) {
  struct fixture *fx = *state;
  struct planning p = planning(
      fx, "",
      "for e in endpoints:each() do\n"
      "  e.weight = e.meta.rack == 'r1' and e.tags[1] == 'v1' and not e:has('x') and 2 or 1\n"
      "end");
  struct service *s = service_new();
  struct isolate_stats before, after;
  for (int i = 0; i < MOST; i++)
    add(s, "v1", STATUS_PASSING);
  runs(&p, s);
  runs(&p, s);
  isolate_stats(plugin_isolate(p.plugin), &before);
  for (int i = 0; i < 100; i++)
    runs(&p, s);
  isolate_stats(plugin_isolate(p.plugin), &after);
  assert_int_equal(after.memory, before.memory);
  service_free(s);
  planning_end(&p);
}

/* ---- what is refused ---- */

static void refusals(void **state) {
  struct fixture *fx = *state;
  static const struct {
    const char *body;
    int code;
    const char *text;
  } cases[] = {
      {"return nil, 'not now'", -ENODATA, "not now"},
      {"return false", -ENODATA, "it gave no reason"},
      {"for e in endpoints:each() do e.weight = 0/0 end", -ERANGE, "it gives e01 the weight"},
      {"for e in endpoints:each() do e.weight = -0.1 end", -ERANGE, "not below 0"},
      {"for e in endpoints:each() do e.weight = 1e308 * 10 end", -ERANGE, "finite"},
      {"for e in endpoints:each() do e.tier = -1 end", -EFAULT, "tier is a whole number"},
      {"for e in endpoints:each() do e.tier = 65536 end", -EFAULT, "tier is a whole number"},
      {"for e in endpoints:each() do e.weight = nil end", -EFAULT, "weight is a number"},
      {"for e in endpoints:each() do e.drop = 'no' end", -EFAULT,
       "drop is true or false, not a string"},
      {"for e in endpoints:each() do e.drop = 0 end", -EFAULT,
       "drop is true or false, not a number"},
      {"endpoints:share('v1', 1.5)", -EFAULT, "from 0 to 1"},
      {"endpoints:share('v1', 0/0)", -EFAULT, "from 0 to 1"},
      {"endpoints:share(nil, 0.5)", -EFAULT, "function expected"},
      {"endpoints:share(error, 0.5)", -EFAULT, ""},
      {"endpoints.each(ctx)()", -EFAULT, "endpoints expected"},
      {"getmetatable(endpoints).__index = nil", -EFAULT, ""},
      {"endpoints:each()(endpoints, ctx)", -EFAULT, "an endpoint is expected"},
      {"perigee.task.spawn(print)", -EFAULT, ""},
      {"perigee.http.get('http://127.0.0.1:1/')", -EFAULT, "cannot wait here"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct planning p = planning(fx, "", cases[i].body);
    struct service *s = service_new();
    struct fault f = {0};
    add(s, "v1", STATUS_PASSING);
    add(s, "v2", STATUS_PASSING);
    int code = run(&p, s, &f);
    if (code != cases[i].code || !strstr(f.text, cases[i].text))
      fail_msg("%s: %d \"%s\"", cases[i].body, code, f.text);
    service_free(s);
    planning_end(&p);
  }
}

static void the_largest_weights_are_weights(void **state) {
  struct fixture *fx = *state;
  struct planning p = planning(fx, "",
                               "for e in endpoints:each() do e.weight = 1e308 end\n"
                               "endpoints:share('v2', 0.5)");
  struct service *s = service_new();
  add(s, "v1", STATUS_PASSING);
  add(s, "v2", STATUS_PASSING);
  runs(&p, s);
  assert_true(s->out[0].weight == 1e308 && s->out[1].weight == 1e308);
  service_free(s);
  planning_end(&p);
}

/* ---- what takes longer ---- */

static const struct isolate_limits patient = {.turn_ns = INT64_C(20000000000)};
static const char *const long_plan = "for e in endpoints:each() do\n"
                                     "  local n = 0 for i = 1, 5e6 do n = n + 1 end\n"
                                     "  e.weight = n\n"
                                     "end";

struct lasting {
  struct plan_run run;
  int told;
  bool over;
};

static void on_over(void *arg) {
  struct lasting *l = arg;
  l->told++;
  l->over = true;
}

/* Of a question that is forgotten as soon as it goes on, as a set's is. */
static void lasting_begin(struct lasting *l, const struct planning *p, struct service *s) {
  *l = (struct lasting){.run = {.question = &s->q, .rows = s->out, .over = on_over, .arg = l}};
  plan_from_registry(&s->q, s->out);
  struct plan_question once = s->q;
  l->run.question = &once;
  plan_begin(&l->run, p->attachment, false);
  assert_true(plan_goes_on(&l->run));
  assert_int_equal(l->told, 0);
  assert_true(isolate_busy(plugin_isolate(p->plugin)));
  memset(&once, 0xff, sizeof once);
  l->run.question = &s->q;
}

static void a_long_plan_gives_way(void **state) {
  struct fixture *fx = *state;
  struct planning p = planning_within(fx, &patient, "", long_plan);
  struct service *s = service_new();
  struct lasting l;
  add(s, "v1", STATUS_PASSING);
  add(s, "v1", STATUS_PASSING);
  lasting_begin(&l, &p, s);
  run_until(fx, &l.over);
  assert_int_equal(l.run.fault.code, 0);
  assert_int_equal(l.told, 1);
  assert_true(s->out[0].weight == 5e6 && s->out[1].weight == 5e6);
  assert_false(isolate_busy(plugin_isolate(p.plugin)));
  service_free(s);
  planning_end(&p);
}

static void a_plan_without_end_is_killed_in_its_slices(void **state) {
  struct fixture *fx = *state;
  const struct isolate_limits tight = {.turn_ns = 20000000};
  struct planning p = planning_within(fx, &tight, "", "while true do pcall(error) end");
  struct service *s = service_new();
  for (int i = 0; i < 3; i++) {
    struct lasting l;
    lasting_begin(&l, &p, s);
    run_until(fx, &l.over);
    assert_int_equal(l.run.fault.code, -ETIME);
  }
  service_free(s);
  planning_end(&p);
}

static void a_long_plan_is_cancelled(void **state) {
  struct fixture *fx = *state;
  struct planning p = planning_within(fx, &patient, "", long_plan);
  struct service *s = service_new();
  struct lasting l;
  add(s, "v1", STATUS_PASSING);
  lasting_begin(&l, &p, s);
  plan_cancel(&l.run);
  plan_cancel(&l.run);
  assert_false(plan_goes_on(&l.run) || isolate_busy(plugin_isolate(p.plugin)));
  lasting_begin(&l, &p, s); /* nothing is left of it that would be in the way */
  attachment_free(p.attachment);
  assert_int_equal(l.run.fault.code, -ECANCELED);
  assert_int_equal(l.told, 1);
  service_free(s);
  plugin_free(p.plugin);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(shares_hold_whatever_there_is),
      FIXTURE_TEST(one_side_alone_has_all),
      FIXTURE_TEST(live_figures_and_ages),
      FIXTURE_TEST(kept_endpoints),
      FIXTURE_TEST(no_garbage_from_run_to_run),
      FIXTURE_TEST(refusals),
      FIXTURE_TEST(the_largest_weights_are_weights),
      FIXTURE_TEST(a_long_plan_gives_way),
      FIXTURE_TEST(a_plan_without_end_is_killed_in_its_slices),
      FIXTURE_TEST(a_long_plan_is_cancelled),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
