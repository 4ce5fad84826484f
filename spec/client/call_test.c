/* Calling with retries, against back ends that fail by a script: how often, whom, within what. */
#include "catalog/live.h"
#include "client/fixture.h"

/* Outcomes to give, in order; the last goes on. */
struct script {
  int outcomes[8];
  int calls;
  uint16_t ports[16];
};

static int attempt(void *arg, const struct perigee_endpoint *e, uint64_t deadline_ns, char *message,
                   size_t size) {
  struct script *s = arg;
  int i = s->calls < 8 ? s->calls : 7;
  assert_true(s->calls < 16);
  s->ports[s->calls++] = e->port;
  snprintf(message, size, "number %d", s->calls);
  return s->outcomes[i];
}

static const struct perigee_call_options quick = {
    .size = sizeof quick, .flags = PERIGEE_IDEMPOTENT, .backoff_ms = 1, .backoff_most_ms = 2};

static bool all_differ(const struct script *s) {
  for (int i = 0; i < s->calls; i++)
    for (int k = 0; k < i; k++)
      if (s->ports[i] == s->ports[k])
        return false;
  return true;
}

static void the_first_that_succeeds(void **state) {
  struct perigee_service *s = service("first", NULL, 5);
  struct perigee_tries t;
  struct script once = {.outcomes = {PERIGEE_SUCCESS}};
  assert_int_equal(perigee_call(s, NULL, attempt, &once, &t), 0);
  assert_int_equal(once.calls, 1);
  assert_int_equal(t.winner, 0);
  struct script third = {.outcomes = {PERIGEE_SERVER_ERROR, PERIGEE_TIMEOUT, PERIGEE_SUCCESS}};
  assert_int_equal(perigee_call(s, &quick, attempt, &third, &t), 0);
  assert_int_equal(third.calls, 3);
  assert_true(all_differ(&third));
  assert_int_equal(t.winner, 2);
  assert_int_equal(t.endpoints[2].port, third.ports[2]);
  assert_int_equal(flight_of(s).calls, 0); /* all are reported */
  assert_int_equal(flight_of(s).retries, 0);
  perigee_service_close(s);
}

static void no_more_than_it_may(void **state) {
  struct perigee_service *s = service("most", NULL, 6);
  struct perigee_tries t;
  struct perigee_call_options o = quick;
  struct script fails = {.outcomes = {1, 1, 1, 1, 1, 1, 1, 1}};
  assert_int_equal(perigee_call(s, &o, attempt, &fails, &t), -EREMOTEIO);
  assert_int_equal(fails.calls, 3);
  fails.calls = 0;
  o.tries = 6;
  assert_int_equal(perigee_call(s, &o, attempt, &fails, &t), -EREMOTEIO);
  assert_int_equal(fails.calls, 6);
  assert_true(all_differ(&fails));
  fails.calls = 0;
  o.tries = 100;
  assert_int_equal(perigee_call(s, &o, attempt, &fails, &t), -EREMOTEIO);
  assert_int_equal(fails.calls, PERIGEE_TRIES_MAX);
  perigee_service_close(s);
}

/* The same endpoint again only when there is no other. */
static void two_endpoints_four_tries(void **state) {
  struct perigee_service *s = service("two", NULL, 2);
  struct perigee_call_options o = quick;
  struct script fails = {.outcomes = {3, 3, 3, 3, 3, 3, 3, 3}};
  o.tries = 4;
  assert_int_equal(perigee_call(s, &o, attempt, &fails, NULL), -EREMOTEIO);
  assert_int_equal(fails.calls, 4);
  assert_int_not_equal(fails.ports[0], fails.ports[1]);
  perigee_service_close(s);
}

/* One endpoint in the first tier, two in the next, one in the last; and what is never tried: one
 * that weighs nothing, one that is ejected, one that is critical. */
static struct perigee_service *service_of_tiers(const char *name) {
  struct catalog_endpoint e[] = {{.tier = 0, .weight = 1},
                                 {.tier = 300, .weight = 1},
                                 {.tier = 1, .weight = 1},
                                 {.tier = 1, .weight = 1},
                                 {.tier = 1, .weight = 0},
                                 {.tier = 1, .weight = 1, .ejected = true},
                                 {.tier = 0, .weight = 1, .status = PERIGEE_CRITICAL}};
  static const char *const ids[] = {"a", "b", "c", "d", "e", "f", "g"};
  enum { COUNT = sizeof e / sizeof e[0] };
  for (uint16_t i = 0; i < COUNT; i++) {
    e[i].id = ids[i];
    e[i].address = "10.0.0.1";
    e[i].port = (uint16_t)(i + 1);
    assert_int_equal(catalog_slot_take(w, &e[i].slot, &e[i].slot_generation), 0);
    if (e[i].ejected)
      catalog_store64(&catalog_live_slot(w, e[i].slot)->ejected_until_ns, UINT64_MAX);
  }
  publish(name, NULL, e, COUNT);
  return open_service(name);
}

static void other_tiers_are_others(void **state) {
  struct perigee_service *s = service_of_tiers("tiers");
  struct perigee_call_options o = quick;
  o.tries = 6;
  unsigned seconds = 0;
  for (int i = 0; i < 40; i++) {
    struct script fails = {.outcomes = {3, 3, 3, 3, 3, 3, 3, 3}};
    assert_int_equal(perigee_call(s, &o, attempt, &fails, NULL), -EREMOTEIO);
    assert_int_equal(fails.calls, 6);
    assert_int_equal(fails.ports[0], 1);
    assert_int_equal(fails.ports[1] + fails.ports[2], 3 + 4);
    assert_int_equal(fails.ports[3], 2);
    assert_int_equal(fails.ports[4], 1);
    assert_int_equal(fails.ports[5], 1);
    seconds |= 1u << fails.ports[1];
  }
  assert_int_equal(seconds, 1u << 3 | 1u << 4); /* not always the same first */
  perigee_service_close(s);
}

/* What may have been done is not done again, unless that is harmless. */
static void what_is_not_idempotent(void **state) {
  struct perigee_service *s = service("once", NULL, 5);
  struct perigee_call_options o = quick;
  struct perigee_tries t;
  o.flags = 0;
  for (int outcome = PERIGEE_SERVER_ERROR; outcome <= PERIGEE_TIMEOUT; outcome++) {
    struct script fails = {.outcomes = {outcome, PERIGEE_SUCCESS}};
    assert_int_equal(perigee_call(s, &o, attempt, &fails, &t), -EREMOTEIO);
    assert_int_equal(fails.calls, 1);
  }
  struct script refused = {
      .outcomes = {PERIGEE_CONNECT_FAILURE, PERIGEE_CONNECT_FAILURE, PERIGEE_SUCCESS}};
  assert_int_equal(perigee_call(s, &o, attempt, &refused, &t), 0);
  assert_int_equal(refused.calls, 3);
  struct script mixed = {
      .outcomes = {PERIGEE_CONNECT_FAILURE, PERIGEE_SERVER_ERROR, PERIGEE_SUCCESS}};
  assert_int_equal(perigee_call(s, &o, attempt, &mixed, &t), -EREMOTEIO);
  assert_int_equal(mixed.calls, 2);
  perigee_service_close(s);
}

static void errors_in_order(void **state) {
  struct perigee_service *s = service("errors", NULL, 3);
  struct perigee_tries t;
  struct script fails = {
      .outcomes = {PERIGEE_CONNECT_FAILURE, PERIGEE_TIMEOUT, PERIGEE_SERVER_ERROR}};
  char text[256], expected[256], tiny[8];
  assert_int_equal(perigee_call(s, &quick, attempt, &fails, &t), -EREMOTEIO);
  perigee_tries_text(&t, text, sizeof text);
  snprintf(expected, sizeof expected,
           "10.0.0.1:%d: connect failure: number 1; 10.0.0.1:%d: timeout: number 2; "
           "10.0.0.1:%d: server error: number 3",
           fails.ports[0], fails.ports[1], fails.ports[2]);
  assert_string_equal(text, expected);
  perigee_tries_text(&t, tiny, sizeof tiny);
  assert_string_equal(tiny, "10.0.0.");
  perigee_service_close(s);
}

static void one_deadline_for_all(void **state) {
  struct perigee_service *s = service("deadline", NULL, 5);
  struct perigee_tries t;
  struct perigee_call_options o = quick;
  o.timeout_ms = 1;
  o.backoff_ms = o.backoff_most_ms = UINT32_MAX; /* the pause alone is too long, but once in 2^32 */
  perigee_tries_begin(&t, s, &o);
  while (perigee_tries_next(&t) == 0)
    assert_int_equal(perigee_tries_done(&t, t.count - 1, PERIGEE_TIMEOUT, 1, NULL), 0);
  assert_int_equal(perigee_tries_next(&t), -ETIMEDOUT);
  perigee_service_close(s);
}

/* Those who have retried as much as they may do not add to what overloads the back ends. */
static void within_the_budget(void **state) {
  struct perigee_service *s = service("budget", NULL, 6);
  struct perigee_pick_options retry = {.size = sizeof retry, .flags = PERIGEE_RETRY};
  struct perigee_endpoint held[PERIGEE_RETRY_LEAST];
  struct perigee_tries t;
  struct script fails = {.outcomes = {1, 1, 1, 1, 1, 1, 1, 1}};
  for (int i = 0; i < PERIGEE_RETRY_LEAST; i++)
    assert_int_equal(perigee_pick(s, &retry, &held[i]), 0);
  assert_int_equal(perigee_call(s, &quick, attempt, &fails, &t), -EDQUOT);
  assert_int_equal(fails.calls, 1);
  for (int i = 0; i < PERIGEE_RETRY_LEAST; i++)
    assert_int_equal(perigee_done(s, &held[i], PERIGEE_SUCCESS, 1), 0);
  assert_int_equal(perigee_call(s, &quick, attempt, &fails, &t), -EREMOTEIO);
  perigee_service_close(s);
}

static void nobody_there(void **state) {
  struct perigee_service *s;
  struct script none = {.outcomes = {0}};
  assert_int_equal(perigee_service_open(p, "nobody", &s), 0);
  assert_int_equal(perigee_call(s, &quick, attempt, &none, NULL), -ENOENT);
  assert_int_equal(none.calls, 0);
  perigee_service_close(s);
}

/* Step by step: another try beside the one that is slow; the first to succeed counts. */
static void hedging(void **state) {
  struct perigee_service *s = service("hedge", NULL, 5);
  struct perigee_tries t;
  struct perigee_call_options o = quick;
  perigee_tries_begin(&t, s, &o);
  assert_int_equal(perigee_tries_next(&t), 0);
  assert_int_equal(perigee_tries_next(&t), 1); /* no hedging: until the deadline */
  assert_true(t.wait_ns > 1000000000);
  assert_int_equal(perigee_tries_done(&t, 0, PERIGEE_SUCCESS, 1, NULL), 0);

  o.hedge_ms = 1;
  perigee_tries_begin(&t, s, &o);
  assert_int_equal(perigee_tries_next(&t), 0);
  int r;
  while ((r = perigee_tries_next(&t)) == 1)
    assert_true(t.wait_ns <= 1000000);
  assert_int_equal(r, 0);
  assert_int_equal(t.open, 2);
  assert_int_not_equal(t.endpoints[0].port, t.endpoints[1].port);
  assert_int_equal(perigee_tries_done(&t, 1, PERIGEE_SUCCESS, 1, NULL), 0);
  assert_int_equal(perigee_tries_next(&t), -EALREADY);
  assert_int_equal(perigee_tries_done(&t, 0, PERIGEE_ABANDONED, 1, NULL), 0);
  assert_int_equal(perigee_tries_done(&t, 0, PERIGEE_ABANDONED, 1, NULL), -EINVAL);
  assert_int_equal(perigee_tries_done(&t, 2, PERIGEE_SUCCESS, 1, NULL), -EINVAL);
  assert_int_equal(t.winner, 1);
  assert_int_equal(flight_of(s).calls, 0);

  o.flags = 0; /* twice at once is twice */
  perigee_tries_begin(&t, s, &o);
  assert_int_equal(perigee_tries_next(&t), 0);
  assert_int_equal(perigee_tries_next(&t), 1);
  assert_true(t.wait_ns > 1000000000);
  assert_int_equal(perigee_tries_done(&t, 0, PERIGEE_SUCCESS, 1, NULL), 0);
  perigee_service_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_first_that_succeeds),
      cmocka_unit_test(no_more_than_it_may),
      cmocka_unit_test(two_endpoints_four_tries),
      cmocka_unit_test(other_tiers_are_others),
      cmocka_unit_test(what_is_not_idempotent),
      cmocka_unit_test(errors_in_order),
      cmocka_unit_test(one_deadline_for_all),
      cmocka_unit_test(within_the_budget),
      cmocka_unit_test(nobody_there),
      cmocka_unit_test(hedging),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
