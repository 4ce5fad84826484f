/* What is published of what sources say: sudden losses, stale sources, two of them. The sources
 * are told of here; the published set is in a catalog of its own. */
#include "watch/feed.h"

#include "base/clock.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int64_t second = INT64_C(1000000000);
static int64_t now_ns = 1000 * INT64_C(1000000000);
static struct sets *sets;
static struct set *into;
static struct feed *feed;
static int probed;
static const char *withdrawn;

static int64_t read_now(void *arg) {
  return now_ns;
}
static int64_t read_wall(void *arg) {
  return now_ns / 1000;
}
static uint64_t read_random(void *arg) {
  return 4;
}
static const struct clock_source test_clock = {read_now, read_wall, read_random, NULL};

static bool withdrew(void *arg, const struct instance *in) {
  return withdrawn && strcmp(in->id, withdrawn) == 0;
}

static void held(void *arg, const struct instance *in) {
  probed++;
}

static const struct feed_events events = {withdrew, held};

static void begin(struct feed_rule rule) {
  rule.hold_ns = GUARD_HOLD_NS;
  sets = sets_new_apart(NULL, NULL);
  into = sets_open(sets, "web");
  feed = feed_new(into, &rule, &events, NULL);
  assert_non_null(feed);
  probed = 0;
  withdrawn = NULL;
}

static int setup(void **state) {
  clock_use(&test_clock);
  log_set_level(LOG_LEVEL_ERROR + 1);
  begin((struct feed_rule){.on_empty = FEED_EMPTY, .min_endpoints = 1});
  return 0;
}

static int teardown(void **state) {
  feed_free(feed);
  set_close(into);
  sets_free(sets);
  clock_use(NULL);
  return 0;
}

static void begin_anew(struct feed_rule rule) {
  teardown(NULL);
  clock_use(&test_clock);
  begin(rule);
}

/* Source `i` has these ids, one letter each, in order; "!" before them: stale; "?": never reached.
 */
static void say(unsigned i, const char *ids) {
  struct set_row rows[32] = {0};
  struct set_published what = {.service = "web", .known = true};
  if (*ids == '!') {
    what.stale = true;
    what.stale_since_ns = now_ns;
    ids++;
  }
  if (*ids == '?') {
    what.known = false;
    ids++;
  }
  for (; *ids; ids++) {
    char id[2] = {*ids, 0};
    rows[what.count].instance =
        instance_new(&(struct instance_draft){.id = id,
                                              .service = "web",
                                              .address = i ? "10.2.0.1" : "10.1.0.1",
                                              .port = 80,
                                              .weight = 1});
    rows[what.count++].status = STATUS_PASSING;
  }
  what.rows = rows;
  feed_told(feed, i, &what);
  for (size_t k = 0; k < what.count; k++)
    instance_unref(rows[k].instance);
}

static void has(const char *ids) {
  char all[64] = "";
  const struct set_row *rows = set_rows(into);
  for (size_t i = 0; i < set_count(into); i++)
    strcat(all, rows[i].instance->id);
  assert_string_equal(all, ids);
}

static struct feed_stats stats(void) {
  struct feed_stats s;
  feed_stats(feed, &s);
  return s;
}

static void small_losses_pass_at_once(void **state) {
  say(0, "abcdefgh");
  say(0, "abcd"); /* exactly half */
  has("abcd");
  say(0, "ab"); /* only two */
  has("ab");
  say(0, "");
  has("");
  assert_int_equal(stats().holds, 0);
}

static void a_sudden_loss_is_held_for_30_s(void **state) {
  say(0, "abcdefgh");
  say(0, "abc");
  has("abcdefgh");
  assert_int_equal(probed, 5);
  assert_int_equal(stats().held, 5);
  now_ns += 29 * second;
  feed_tick(feed);
  has("abcdefgh");
  now_ns += 2 * second;
  feed_tick(feed);
  has("abc");
  assert_int_equal(stats().held, 0);
}

static void the_hold_is_as_long_as_its_rule_says(void **state) {
  struct feed_rule rule = {.on_empty = FEED_EMPTY, .min_endpoints = 1, .hold_ns = 2 * second};
  feed_change(feed, &rule);
  say(0, "abcdefgh");
  say(0, "abc");
  has("abcdefgh");
  assert_int_equal(probed, 5);
  now_ns += 3 * second;
  feed_tick(feed);
  has("abc");
  rule.hold_ns = 0;
  feed_change(feed, &rule);
  say(0, "");
  has("");
  assert_int_equal(stats().holds, 1);
}

static void what_does_not_answer_is_let_go_alone(void **state) {
  say(0, "abcdefgh");
  say(0, "");
  feed_disprove(feed, "b");
  feed_disprove(feed, "c");
  feed_disprove(feed, "x");
  has("adefgh");
}

static void what_comes_back_is_held_no_more(void **state) {
  say(0, "abcdefgh");
  say(0, "ab");
  say(0, "abcd");
  assert_int_equal(stats().held, 4);
  now_ns += 31 * second;
  feed_tick(feed);
  has("abcd");
}

static void a_second_loss_is_held_too(void **state) {
  say(0, "abcdefgh");
  say(0, "abcd"); /* half: believed */
  say(0, "a");
  has("abcd");
  assert_int_equal(stats().held, 3);
}

static void blue_green_passes(void **state) {
  say(0, "abcdef");
  say(0, "uvwxyz");
  has("uvwxyz");
  assert_int_equal(stats().holds, 0);
}

static void what_we_withdrew_is_no_loss(void **state) {
  say(0, "abcd");
  withdrawn = "b";
  say(0, "a");
  has("a"); /* two others are too few */
}

static void a_copy_stays_until_the_source_speaks(void **state) {
  struct instances copy = {0};
  struct instance *in = instance_new(&(struct instance_draft){
      .id = "a", .service = "web", .address = "10.0.0.1", .port = 80, .weight = 1});
  assert_int_equal(instances_add(&copy, in, STATUS_PASSING), 0);
  instance_unref(in);
  assert_false(feed_ready(feed));
  feed_seed(feed, &copy, now_ns - 60 * second);
  instances_free(&copy);
  assert_true(feed_ready(feed));
  assert_true(set_stale_ns(into) == now_ns - 60 * second);
  say(0, "!?");
  has("a");
  assert_true(set_stale_ns(into) == now_ns - 60 * second);
  say(0, "b");
  has("b");
  assert_true(set_stale_ns(into) == 0);
}

static void too_few_are_kept(void **state) {
  begin_anew((struct feed_rule){.on_empty = FEED_KEEP, .min_endpoints = 2});
  say(0, "ab");
  say(0, "a");
  has("ab");
  say(0, "");
  has("ab");
  say(0, "cd");
  has("cd");
  assert_int_equal(stats().kept, 2);
}

static void too_few_are_none(void **state) {
  begin_anew((struct feed_rule){.on_empty = FEED_EMPTY, .min_endpoints = 2});
  say(0, "ab");
  say(0, "a");
  has("");
  say(0, "cd");
  has("cd");
}

/* It is what the registry says that the guard judges, and not what on_empty makes of it. */
static void too_few_are_none_at_once(void **state) {
  begin_anew(
      (struct feed_rule){.on_empty = FEED_EMPTY, .min_endpoints = 3, .hold_ns = 30 * second});
  say(0, "abc");
  has("abc");
  say(0, "ab");
  has("");
  say(0, "abcdefgh");
  say(0, "a");
  has("abcdefgh"); /* a sudden loss, which is held */
  assert_int_equal(stats().holds, 1);
  now_ns += 31 * second;
  feed_tick(feed);
  has("");
}

static void let_age(enum feed_on_empty on_empty) {
  begin_anew(
      (struct feed_rule){.on_empty = on_empty, .min_endpoints = 1, .stale_after_ns = 10 * second});
  say(0, "abcdef");
  say(0, "!abcdef");
  now_ns += 9 * second;
  feed_tick(feed);
  has("abcdef");
  now_ns += 2 * second;
  feed_tick(feed);
}

static void what_is_stale_for_too_long_is_none_at_once(void **state) {
  let_age(FEED_EMPTY);
  has("");
  assert_int_equal(stats().held, 0); /* no registry said so */
  assert_true(set_stale_ns(into) != 0);
  say(0, "abcdef");
  has("abcdef");
  assert_true(set_stale_ns(into) == 0);
}

static void what_is_stale_for_too_long_may_be_kept(void **state) {
  let_age(FEED_KEEP);
  has("abcdef");
  let_age(FEED_SWITCH); /* and nobody to switch to */
  has("abcdef");
}

static void what_is_stale_stays_where_nothing_is_said(void **state) {
  say(0, "ab");
  say(0, "!ab");
  now_ns += 100000 * second;
  feed_tick(feed);
  has("ab");
}

static void a_held_loss_ends_with_what_is_stale_for_too_long(void **state) {
  begin_anew((struct feed_rule){
      .on_empty = FEED_EMPTY, .min_endpoints = 1, .stale_after_ns = 10 * second});
  say(0, "abcdef");
  say(0, "ab");
  has("abcdef");
  say(0, "!ab");
  now_ns += 11 * second;
  feed_tick(feed);
  has("");
}

static void the_fallback_stands_in_and_goes_again(void **state) {
  begin_anew((struct feed_rule){
      .on_empty = FEED_SWITCH, .min_endpoints = 1, .stale_after_ns = 10 * second});
  say(1, "xy");
  has("xy"); /* the first has not loaded */
  say(0, "ab");
  has("ab");
  say(0, "!ab");
  has("ab"); /* not for long enough */
  now_ns += 11 * second;
  feed_tick(feed);
  has("xy");
  assert_true(set_stale_ns(into) == 0);
  say(0, "ab");
  has("ab");
  say(0, "");
  has("xy");
}

/* Any endpoint is better than none, and than what is gone. */
static void of_two_that_have_too_few_the_larger_counts(void **state) {
  begin_anew((struct feed_rule){
      .on_empty = FEED_SWITCH, .min_endpoints = 3, .stale_after_ns = 10 * second});
  say(0, "abc");
  has("abc");
  say(0, "a");
  has("abc"); /* the second may have more */
  say(1, "!?");
  has("a");
  say(1, "xy");
  has("xy");
  say(0, "ab");
  has("ab");
  say(0, "");
  has("xy");
  say(1, "");
  has("");
  say(1, "x");
  say(1, "!x");
  has("x");
  now_ns += 11 * second;
  feed_tick(feed);
  has(""); /* the first says so */
}

static void what_is_stale_for_too_long_is_none(void **state) {
  begin_anew((struct feed_rule){
      .on_empty = FEED_EMPTY, .min_endpoints = 1, .stale_after_ns = 10 * second});
  say(0, "abcd");
  say(0, "!abcd");
  has("abcd");
  now_ns += 11 * second;
  feed_tick(feed);
  has("");
  assert_int_equal(stats().holds, 0);
  say(0, "abcd");
  has("abcd");
}

static void begin_union(void) {
  begin_anew((struct feed_rule){.merge = FEED_UNION, .on_empty = FEED_EMPTY, .min_endpoints = 1});
}

static void a_union_has_both_and_the_firsts_facts(void **state) {
  begin_union();
  say(0, "ab");
  say(1, "bc");
  has("abc");
  assert_string_equal(set_rows(into)[1].instance->address, "10.1.0.1");
  assert_string_equal(set_rows(into)[2].instance->address, "10.2.0.1");
}

/* `n` instances of one source, named by it, at ports from 1 on. */
static void say_places(unsigned i, char name, int n) {
  struct set_row rows[8] = {0};
  for (int k = 0; k < n; k++) {
    char id[3] = {name, (char)('1' + k), 0};
    rows[k].instance = instance_new(&(struct instance_draft){
        .id = id, .service = "web", .address = "10.1.0.1", .port = (uint16_t)(k + 1), .weight = 1});
  }
  feed_told(
      feed, i,
      &(struct set_published){.service = "web", .known = true, .rows = rows, .count = (size_t)n});
  for (int k = 0; k < n; k++)
    instance_unref(rows[k].instance);
}

static void a_union_knows_an_instance_by_its_place_too(void **state) {
  begin_union();
  say_places(0, 'x', 1);
  say_places(1, 'a', 2);
  has("a2x1");
  assert_true(feed_has(feed, 0, set_rows(into)[1].instance));
  assert_true(feed_has(feed, 1, set_rows(into)[1].instance)); /* there it is a1 */
  assert_false(feed_has(feed, 0, set_rows(into)[0].instance));
  say_places(0, 'x', 2);
  has("x1x2");
}

static void a_union_keeps_what_an_unreached_source_may_have(void **state) {
  begin_union();
  say(0, "ab");
  feed_believe(feed); /* as another watch of the same service does */
  say(1, "bx");
  say(0, "a");
  has("abx");
  say(1, "x"); /* what a reached source has had goes with it */
  has("ax");
  begin_union();
  struct instances copy = {0};
  struct instance *in = instance_new(&(struct instance_draft){
      .id = "k", .service = "web", .address = "10.0.0.1", .port = 80, .weight = 1});
  assert_int_equal(instances_add(&copy, in, STATUS_PASSING), 0);
  instance_unref(in);
  feed_seed(feed, &copy, now_ns);
  instances_free(&copy);
  say(0, "a");
  has("ak");
  say(1, "!?");
  has("ak");
  assert_true(set_stale_ns(into) != 0);
  say(1, "b");
  has("ab");
  assert_true(set_stale_ns(into) == 0);
}

static void a_union_does_without_what_is_stale_for_too_long(void **state) {
  begin_anew((struct feed_rule){.merge = FEED_UNION,
                                .on_empty = FEED_EMPTY,
                                .min_endpoints = 1,
                                .stale_after_ns = 10 * second});
  say(0, "ab");
  say(1, "bc");
  say(0, "!ab");
  has("abc");
  now_ns += 11 * second;
  feed_tick(feed);
  has("bc");
  say(1, "!bc");
  now_ns += 11 * second;
  feed_tick(feed);
  has("");
  assert_true(set_stale_ns(into) != 0);
}

static void a_union_may_keep_too_few(void **state) {
  begin_anew((struct feed_rule){.merge = FEED_UNION, .on_empty = FEED_KEEP, .min_endpoints = 2});
  say(0, "a");
  say(1, "b");
  say(0, "");
  has("ab");
  say(1, "cd");
  has("cd");
}

static void a_second_target_waits_for_the_first_where_something_is_published(void **state) {
  begin_anew((struct feed_rule){.on_empty = FEED_SWITCH, .min_endpoints = 1});
  say(0, "ab");
  struct feed_rule rule = {.on_empty = FEED_SWITCH, .min_endpoints = 1};
  feed_free(feed);
  feed = feed_new(into, &rule, &events, NULL); /* as a reload with another target does */
  feed_believe(feed);
  say(1, "xy");
  has("ab");
  say(0, "!?");
  has("xy");
}

static void a_comparison_tells_how_they_differ(void **state) {
  begin_anew((struct feed_rule){.merge = FEED_COMPARE, .on_empty = FEED_EMPTY, .min_endpoints = 1});
  say(0, "abc");
  assert_false(stats().compared);
  say(1, "bcde");
  has("abc");
  assert_true(stats().compared);
  assert_int_equal(stats().differing.only_first, 1);
  assert_int_equal(stats().differing.only_second, 2);
  assert_int_equal(stats().differing.unlike, 2); /* b and c are elsewhere */
  say(0, "bc");                                  /* the first alone has the say */
  has("bc");
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(small_losses_pass_at_once),
      TEST(a_sudden_loss_is_held_for_30_s),
      TEST(the_hold_is_as_long_as_its_rule_says),
      TEST(too_few_are_none_at_once),
      TEST(what_does_not_answer_is_let_go_alone),
      TEST(what_comes_back_is_held_no_more),
      TEST(a_second_loss_is_held_too),
      TEST(blue_green_passes),
      TEST(what_we_withdrew_is_no_loss),
      TEST(a_copy_stays_until_the_source_speaks),
      TEST(too_few_are_kept),
      TEST(too_few_are_none),
      TEST(what_is_stale_for_too_long_is_none_at_once),
      TEST(what_is_stale_for_too_long_may_be_kept),
      TEST(what_is_stale_stays_where_nothing_is_said),
      TEST(a_held_loss_ends_with_what_is_stale_for_too_long),
      TEST(the_fallback_stands_in_and_goes_again),
      TEST(of_two_that_have_too_few_the_larger_counts),
      TEST(what_is_stale_for_too_long_is_none),
      TEST(a_union_has_both_and_the_firsts_facts),
      TEST(a_union_knows_an_instance_by_its_place_too),
      TEST(a_union_keeps_what_an_unreached_source_may_have),
      TEST(a_union_does_without_what_is_stale_for_too_long),
      TEST(a_union_may_keep_too_few),
      TEST(a_second_target_waits_for_the_first_where_something_is_published),
      TEST(a_comparison_tells_how_they_differ),
#undef TEST
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
