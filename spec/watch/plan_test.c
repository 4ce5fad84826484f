/* What sets do with a planner, what is kept of what it said, and what picks make of it. */
#include "watch/fake.h"

#include "watch/balancer.h"
#include "watch/plan.h"

#include <math.h>

/* A planner that does as the test says. */
static struct {
  int answer; /* what plan() returns */
  int asked, runs;
  bool differs, leaves; /* ... the question for later */
  double weight;        /* of the first; the others keep theirs */
  uint16_t tier;
  bool drop;
  int64_t until_ns;
} does;

static int plan(void *arg, const struct plan_question *q, struct plan_row *out,
                struct plan_answer *answer) {
  does.asked++;
  does.runs += q->run;
  *answer = (struct plan_answer){does.differs, !does.leaves, does.until_ns};
  if (does.answer != 1)
    return does.answer;
  plan_from_registry(q, out);
  if (q->count)
    out[0] = (struct plan_row){does.weight, does.tier, does.drop, PLAN_BALANCER};
  return 1;
}

static bool wants(void *arg, const char *service) {
  return strcmp(service, "web") == 0;
}

static const struct planner planner = {wants, plan, NULL};

static int setup_planned(void **state) {
  int r = setup(state);
  struct fixture *fx = *state;
  memset(&does, 0, sizeof does);
  does.answer = 1;
  does.weight = 5;
  sets_plan_by(fx->all, &planner);
  return r;
}

static void published_as_planned(void **state) {
  struct fixture *fx = *state;
  does.tier = 3;
  replace(fx->web, "a b c");
  assert_int_equal(sets_flush(fx->all), 1);
  assert_int_equal(does.runs, 1);
  assert_true(fake.rows[0].weight == 5 && fake.rows[0].tier == 3);
  assert_true(fake.rows[1].weight == 1 && fake.rows[1].tier == 0);
  does.drop = true;
  put(fx->web, "d", 1, STATUS_PASSING);
  sets_flush(fx->all);
  assert_string_equal(fake.ids, "b c d ");
  assert_int_equal(fx->told.rows, 4); /* who looks sees who was dropped */
}

static void nobody_asks_about_others(void **state) {
  struct fixture *fx = *state;
  struct set *other = sets_open(fx->all, "other");
  put(other, "a", 1, STATUS_PASSING);
  assert_int_equal(sets_flush(fx->all), 1);
  assert_int_equal(does.asked, 0);
  assert_true(fake.rows[0].weight == 1);
}

static void the_same_plan_publishes_nothing(void **state) {
  struct fixture *fx = *state;
  replace(fx->web, "a b c");
  sets_flush(fx->all);
  uint64_t version = fake.version;
  set_replan(fx->web);
  assert_int_equal(sets_flush(fx->all), 0);
  assert_int_equal(does.runs, 2);
  assert_int_equal(fake.publishes, 1);
  assert_int_equal(fx->told.count, 1);
  does.differs = true; /* that is news, and moves the version */
  set_replan(fx->web);
  assert_int_equal(sets_flush(fx->all), 1);
  assert_int_equal(fake.version, version + 1);
}

static void what_no_plan_sees_runs_none(void **state) {
  struct fixture *fx = *state;
  replace(fx->web, "a b c");
  sets_flush(fx->all);
  set_stale(fx->web, true);
  sets_flush(fx->all);
  assert_int_equal(does.asked, 2);
  assert_int_equal(does.runs, 1);
  set_touch(fx->web); /* an ejection is seen */
  set_status(fx->web, "a", STATUS_CRITICAL);
  sets_flush(fx->all);
  assert_int_equal(does.runs, 2);
}

/* A change that could not be published is not forgotten because its plan is an old one by then. */
static void a_full_catalog_forgets_no_plan(void **state) {
  struct fixture *fx = *state;
  replace(fx->web, "a b c");
  sets_flush(fx->all);
  does.differs = true;
  does.weight = 9;
  fake.fail = -ENOSPC;
  set_replan(fx->web);
  assert_int_equal(sets_flush(fx->all), 0);
  fake.fail = 0;
  does.differs = false;
  now_ns += 2000000000;
  assert_int_equal(sets_flush(fx->all), 1);
  assert_true(fake.rows[0].weight == 9);
}

static void not_yet(void **state) {
  struct fixture *fx = *state;
  does.answer = -EAGAIN;
  does.until_ns = now_ns + 5000000;
  replace(fx->web, "a b c");
  assert_int_equal(sets_flush(fx->all), 0);
  assert_int_equal(sets_due_ns(fx->all), does.until_ns);
  struct sets_stats stats;
  sets_stats(fx->all, &stats);
  assert_int_equal(stats.failed, 0);
  now_ns = does.until_ns;
  does.answer = 1;
  assert_int_equal(sets_flush(fx->all), 1);
  assert_true(fake.rows[0].weight == 5);
}

/* What comes while a plan goes on is planned after it, as soon as its pace allows. */
static void a_plan_that_goes_on(void **state) {
  struct fixture *fx = *state;
  does.answer = -EAGAIN;
  does.until_ns = now_ns + 5000000;
  replace(fx->web, "a b c");
  assert_int_equal(sets_flush(fx->all), 0);
  does.leaves = true;
  does.answer = 1;
  set_hurry(fx->web);
  assert_int_equal(sets_flush(fx->all), 1);
  assert_int_equal(does.runs, 2);
  assert_int_equal(sets_due_ns(fx->all), 0); /* nothing has come */
  does.leaves = false;
  does.answer = -EAGAIN;
  put(fx->web, "d", 1, STATUS_PASSING);
  now_ns += 5000000;
  sets_flush(fx->all);
  put(fx->web, "e", 1, STATUS_PASSING);
  does.leaves = true;
  does.answer = 1;
  set_hurry(fx->web);
  assert_int_equal(sets_flush(fx->all), 1);
  assert_string_equal(fake.ids, "a b c d e ");
  assert_int_equal(does.runs, 4);
  does.leaves = false;
  now_ns = sets_due_ns(fx->all);
  sets_flush(fx->all);
  assert_int_equal(does.runs, 5);
  assert_int_equal(sets_due_ns(fx->all), 0);
}

/* ---- what is kept of it ---- */

static void make_question(struct fixture *fx, const char *ids, struct plan_question *q) {
  replace(fx->web, ids);
  set_question(fx->web, q);
}

static void an_outcome_goes_by_id(void **state) {
  struct fixture *fx = *state;
  struct plan_question q;
  struct outcome said = {0}, other = {0};
  struct plan_row rows[8];
  make_question(fx, "b d f", &q);
  for (size_t i = 0; i < q.count; i++)
    rows[i] = (struct plan_row){10.0 + (double)i, (uint16_t)i, i == 2, PLAN_BALANCER};
  assert_int_equal(outcome_set(&said, &q, rows), 0);
  assert_true(outcome_is(&said, &q, rows));
  rows[1].weight = 3;
  assert_false(outcome_is(&said, &q, rows));
  assert_true(outcome_find(&said, "f")->drop);
  assert_null(outcome_find(&said, "e"));

  make_question(fx, "a b c f g", &q);
  plan_from_registry(&q, rows);
  assert_int_equal(outcome_apply(&said, &q, rows), 2);
  assert_true(rows[0].weight == 1 && rows[1].weight == 10 && rows[2].weight == 1);
  assert_true(rows[3].weight == 12 && rows[3].drop && rows[4].weight == 1 && !rows[4].drop);
  assert_int_equal(outcome_set(&other, &q, rows), 0);
  assert_true(outcome_agrees(&said, &other)); /* of b and f */
  rows[1].tier = 7;
  assert_int_equal(outcome_set(&other, &q, rows), 0);
  assert_false(outcome_agrees(&said, &other));
  outcome_free(&said);
  assert_false(outcome_agrees(&said, &other)); /* none in common */
  outcome_free(&other);
}

/* ---- what picks make of it ---- */

static struct balancer rules_of(bool priority) {
  return (struct balancer){.algorithm = "weighted",
                           .rules = {.priority = priority, .priority_key = "priority"}};
}

static void shares_are_those_of_picks(void **state) {
  struct fixture *fx = *state;
  struct plan_question q;
  struct plan_row rows[4];
  double shares[4], before[4];
  struct balancer rules = rules_of(false);
  make_question(fx, "a b c d", &q);
  q.rules = &rules;
  plan_from_registry(&q, rows);
  assert_int_equal(plan_shares(&q, rows, before), 0);
  for (int i = 0; i < 4; i++)
    assert_true(fabs(before[i] - 0.25) < 1e-12);

  rows[0].weight = 5; /* of 7 */
  rows[1].drop = true;
  assert_int_equal(plan_shares(&q, rows, shares), 0);
  assert_true(fabs(shares[0] - 5.0 / 7) < 1e-12 && shares[1] == 0);
  assert_true(fabs(shares[2] - 1.0 / 7) < 1e-12);
  assert_true(fabs(plan_moved(before, shares, 4) - (5.0 / 7 - 0.25)) < 1e-12);

  rows[0].tier = 1; /* c and d are before it */
  assert_int_equal(plan_shares(&q, rows, shares), 0);
  assert_true(shares[0] == 0 && fabs(shares[3] - 0.5) < 1e-12);

  for (int i = 0; i < 4; i++) /* the largest there is do not overflow */
    rows[i] = (struct plan_row){1e308, 0, false, PLAN_BALANCER};
  assert_int_equal(plan_shares(&q, rows, shares), 0);
  assert_true(fabs(shares[3] - 0.25) < 1e-12);
  for (int i = 0; i < 4; i++)
    rows[i].drop = true;
  assert_int_equal(plan_shares(&q, rows, shares), 0);
  assert_true(shares[0] + shares[1] + shares[2] + shares[3] == 0);
}

static void a_plan_begins_with_the_levels_of_priority(void **state) {
  struct fixture *fx = *state;
  struct plan_question q;
  struct plan_row row;
  struct balancer with = rules_of(true), without = rules_of(false);
  struct instance *in =
      instance_new(&(struct instance_draft){.id = "a",
                                            .service = "web",
                                            .address = "10.0.0.1",
                                            .weight = 2,
                                            .meta = (struct catalog_pair[]){{"priority", "4"}},
                                            .meta_count = 1});
  assert_int_equal(set_put(fx->web, in, STATUS_PASSING), 0);
  set_question(fx->web, &q);
  q.rules = &with;
  plan_from_registry(&q, &row);
  assert_true(row.tier == 4 && row.weight == 2);
  q.rules = &without;
  plan_from_registry(&q, &row);
  assert_int_equal(row.tier, 0);
  instance_unref(in);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(published_as_planned, setup_planned, teardown),
      cmocka_unit_test_setup_teardown(nobody_asks_about_others, setup_planned, teardown),
      cmocka_unit_test_setup_teardown(the_same_plan_publishes_nothing, setup_planned, teardown),
      cmocka_unit_test_setup_teardown(what_no_plan_sees_runs_none, setup_planned, teardown),
      cmocka_unit_test_setup_teardown(a_full_catalog_forgets_no_plan, setup_planned, teardown),
      cmocka_unit_test_setup_teardown(not_yet, setup_planned, teardown),
      cmocka_unit_test_setup_teardown(a_plan_that_goes_on, setup_planned, teardown),
      cmocka_unit_test_setup_teardown(an_outcome_goes_by_id, setup, teardown),
      cmocka_unit_test_setup_teardown(shares_are_those_of_picks, setup, teardown),
      cmocka_unit_test_setup_teardown(a_plan_begins_with_the_levels_of_priority, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
