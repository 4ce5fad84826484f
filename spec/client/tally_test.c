/* Many handles of one process on one service, on many threads: what they have in flight they know
 * of each other, and the budget of retries is theirs together. spec: threads */
#include "catalog/live.h"
#include "catalog/writer_state.h"
#include "client/fixture.h"

#include <pthread.h>

static struct perigee_pick_options asking(uint32_t flags) {
  return (struct perigee_pick_options){.size = sizeof(struct perigee_pick_options), .flags = flags};
}

static struct perigee_endpoint must_pick(struct perigee_service *s, uint32_t flags) {
  struct perigee_pick_options options = asking(flags);
  struct perigee_endpoint e;
  CHILD_MUST(perigee_pick(s, &options, &e) == 0);
  return e;
}

static int retry(struct perigee_service *s, struct perigee_endpoint *e) {
  struct perigee_pick_options options = asking(PERIGEE_RETRY);
  return perigee_pick(s, &options, e);
}

/* The agent is not there: its heart has not beaten for an hour. */
static void be_alone(void) {
  uint64_t now = (uint64_t)client_now_ns(), hour = 3600000000000;
  catalog_store64(&arena_header(&w->arena)->heartbeat_ns, now - hour);
}

/* What one handle has in flight, the others go out of the way of, without an agent. */
static void one_knows_of_the_other(void **state) {
  be_alone();
  static const char *const balancers[] = {"least_request", "p2c"};
  for (unsigned b = 0; b < 2; b++) {
    struct perigee_service *one = service(balancers[b], balancers[b], 2);
    struct perigee_service *other = open_service(balancers[b]);
    struct perigee_endpoint busy = must_pick(one, 0), idle = busy, e = must_pick(other, 0);
    assert_int_equal(perigee_done(other, &e, PERIGEE_SUCCESS, 1000000), 0);
    struct perigee_pick_options options = asking(0);
    options.avoid = &idle;
    options.avoid_count = 1;
    assert_int_equal(perigee_pick(one, &options, &e), 0);
    idle = e;
    for (int i = 0; i < 300; i++)
      assert_int_equal(perigee_pick(one, &options, &e), 0);
    for (int i = 0; i < 1000; i++) {
      e = must_pick(other, 0);
      assert_int_equal(e.slot, idle.slot);
      assert_int_equal(perigee_done(other, &e, PERIGEE_SUCCESS, 1000000), 0);
    }
    assert_int_equal(flight_of(other).calls, 302);
    perigee_service_close(one); /* and with it what it had in flight */
    assert_int_equal(flight_of(other).calls, 0);
    perigee_service_close(other);
  }
}

/* Maglev's bound is of what all handles have in flight. */
static void one_bound_for_all(void **state) {
  be_alone();
  struct perigee_service *one = service("bound", "maglev_bounded", 4),
                         *other = open_service("bound");
  struct perigee_pick_options by_key = asking(0);
  struct perigee_endpoint e, first;
  by_key.key = "k";
  by_key.key_length = 1;
  assert_int_equal(perigee_pick(one, &by_key, &first), 0);
  unsigned more = 0; /* 1.25 of a quarter of two is one, and that is in flight */
  assert_int_equal(perigee_pick(other, &by_key, &e), 0);
  assert_int_not_equal(e.slot, first.slot);
  for (int i = 0; i < 100; i++) {
    assert_int_equal(perigee_pick(other, &by_key, &e), 0);
    more += e.slot == first.slot;
  }
  assert_in_range(more, 28, 32); /* of 102 its cap is 32, one of which `one` has */
  perigee_service_close(one);
  perigee_service_close(other);
}

static void one_budget_for_all(void **state) {
  enum { HANDLES = 10 };
  struct perigee_service *s[HANDLES] = {service("budget", "round_robin", 4)};
  struct perigee_endpoint e[HANDLES][2];
  int allowed = 0;
  be_alone();
  for (int i = 1; i < HANDLES; i++)
    s[i] = open_service("budget");
  for (int i = 0; i < HANDLES; i++)
    allowed += retry(s[i], &e[i][0]) == 0;
  assert_int_equal(allowed, PERIGEE_RETRY_LEAST);
  for (int i = 0; i < HANDLES; i++)
    for (int k = 0; k < 10; k++)
      must_pick(s[i], PERIGEE_TRACK);
  for (int i = 0; i < 10 * HANDLES; i++)
    allowed += retry(s[i % HANDLES], &e[i % HANDLES][1]) == 0;
  assert_int_equal(allowed, 24); /* a fifth of a hundred and themselves */
  assert_int_equal(flight_of(s[0]).calls, 124);
  for (int i = 0; i < HANDLES; i++)
    perigee_service_close(s[i]);
}

/* The whole budget is used up elsewhere, or somebody says so: a process has its own part. */
static void ones_own_part(void **state) {
  struct perigee_service *s = service("part", "round_robin", 4);
  struct perigee_endpoint e;
  catalog_tick(w);
  for (int i = 0; i < 4; i++)
    must_pick(s, PERIGEE_TRACK);
  catalog_live_service(w, "part", 1000, 1000);
  assert_int_equal(retry(s, &e), -EDQUOT);
  must_pick(s, PERIGEE_TRACK);
  assert_int_equal(retry(s, &e), 0); /* the sixth call, of which one may be */
  assert_int_equal(retry(s, &e), -EDQUOT);
  for (int i = 0; i < 94; i++)
    must_pick(s, PERIGEE_TRACK);
  for (int i = 1; i < 24; i++)
    assert_int_equal(retry(s, &e), 0);
  assert_int_equal(retry(s, &e), -EDQUOT); /* a fifth of 124 */
  catalog_live_service(w, "part", 1000, 199);
  assert_int_equal(retry(s, &e), 0); /* and the host's */
  catalog_live_service(w, "part", 1000, 200);
  assert_int_equal(retry(s, &e), -EDQUOT);
  catalog_live_service(w, "part", 0, 0);
  perigee_service_close(s);
}

static void *pick_ten(void *arg) {
  for (int i = 0; i < 10; i++)
    must_pick(arg, PERIGEE_TRACK);
  return NULL;
}

/* The thread that had the handle has ended: another one reports a call of it, and closes it. */
static void closed_by_another_thread(void **state) {
  struct perigee_service *s = service("left", "round_robin", 1), *t = open_service("left");
  struct perigee_endpoint e;
  for (int reported = 0; reported < 2; reported++) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, pick_ten, s), 0);
    pthread_join(thread, NULL);
    assert_int_equal(flight_of(t).calls, 10);
    e = must_pick(t, PERIGEE_TRACK);
    assert_int_equal(perigee_done(reported ? s : t, &e, PERIGEE_SUCCESS, 1000), 0);
    assert_int_equal(flight_of(t).calls, 10);
    perigee_service_close(s);
    /* What it shared with those who reported for it is not told from theirs. */
    assert_int_equal(flight_of(t).calls, reported ? 10 : 0);
    s = open_service("left");
  }
  perigee_service_close(s);
  perigee_service_close(t);
}

/* Of a thousand threads each opens a handle, calls, retries, has another thread report now and
 * then, and closes it. */
enum { THREADS = 1000, AT_ONCE = 50, CALLS = 20 };

struct errand {
  struct perigee_service *s;
  struct perigee_endpoint e;
};

static void *report(void *arg) {
  struct errand *errand = arg;
  CHILD_MUST(perigee_done(errand->s, &errand->e, PERIGEE_SUCCESS, 1000) == 0);
  return NULL;
}

static void send_out(struct perigee_service *s, const struct perigee_endpoint *e) {
  struct errand errand = {s, *e};
  pthread_t thread;
  CHILD_MUST(pthread_create(&thread, NULL, report, &errand) == 0);
  CHILD_MUST(pthread_join(thread, NULL) == 0);
}

static void *call_all(void *arg) {
  uintptr_t number = (uintptr_t)arg;
  struct perigee_service *s;
  CHILD_MUST(perigee_service_open(p, number % 3 ? "crowd" : "other crowd", &s) == 0);
  for (int i = 0; i < CALLS; i++) {
    struct perigee_endpoint e = must_pick(s, 0), again;
    bool retried = retry(s, &again) == 0;
    if (number % 4 == 0 && i % 8 == 7)
      send_out(s, &e);
    else
      CHILD_MUST(perigee_done(s, &e, PERIGEE_SUCCESS, 1000) == 0);
    if (retried)
      CHILD_MUST(perigee_done(s, &again, PERIGEE_TIMEOUT, 1000) == 0);
  }
  if (number % 5 == 0)
    must_pick(s, 0); /* never to be reported */
  perigee_service_close(s);
  return NULL;
}

static int32_t left_on_the_page(void) {
  int32_t sum = 0;
  for (int lane = 0; lane < FEEDBACK_LANES; lane++)
    for (uint32_t slot = 1; slot < 256; slot++)
      sum += (int32_t)p->lanes.page->lanes[lane].cells[slot].in_flight;
  return sum;
}

/* Those that a closed handle shared a lane with keep what it had; all else is over. */
static void a_thousand_threads(void **state) {
  struct perigee_service *s = service("crowd", "least_request", 8);
  struct perigee_service *t = service("other crowd", "p2c", 8);
  int32_t before = left_on_the_page();
  for (uintptr_t n = 0; n < THREADS; n += AT_ONCE) {
    pthread_t threads[AT_ONCE];
    for (uintptr_t i = 0; i < AT_ONCE; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, call_all, (void *)(n + i)), 0);
    for (int i = 0; i < AT_ONCE; i++)
      pthread_join(threads[i], NULL);
  }
  int32_t left = left_on_the_page() - before;
  assert_in_range(left, 0, THREADS / 5);
  assert_int_equal(flight_of(s).calls + flight_of(t).calls, left);
  assert_int_equal(flight_of(s).retries + flight_of(t).retries, 0);
  assert_int_equal(catalog_load32(&s->tally->counts.lanes) & ~1u, 0);
  perigee_service_close(s);
  perigee_service_close(t);
  assert_null(p->tallies);
  assert_int_equal(p->lanes.taken, 1);
}

/* Forks in the middle of that: the child begins with nothing in flight. */
static void a_fork_among_threads(void **state) {
#if CATALOG_TSAN || defined(__SANITIZE_ADDRESS__)
  print_message("# a fork among threads: TSan calls the parent's leaked, ASan may leave its "
                "allocator locked\n");
  skip();
#endif
  pthread_t threads[AT_ONCE];
  struct perigee_service *s = service("crowd", "least_request", 8);
  struct perigee_service *t = service("other crowd", "p2c", 8);
  struct perigee_endpoint e = must_pick(s, 0);
  for (uintptr_t i = 0; i < AT_ONCE; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, call_all, (void *)(i * 7 + 1)), 0);
  for (int i = 0; i < 10; i++) {
    pid_t child = fork_child();
    if (child == 0) {
      CHILD_MUST(perigee_done(t, &e, PERIGEE_ABANDONED, 0) == 0);
      struct perigee_endpoint own = must_pick(s, 0);
      CHILD_MUST(flight_of(s).calls == 1);
      CHILD_MUST(perigee_done(s, &own, PERIGEE_SUCCESS, 1000) == 0);
      CHILD_MUST(flight_of(s).calls == 0);
      call_all(NULL);
      perigee_service_close(s);
      perigee_service_close(t);
      _exit(0);
    }
    await_child(child);
  }
  for (int i = 0; i < AT_ONCE; i++)
    pthread_join(threads[i], NULL);
  perigee_service_close(s);
  perigee_service_close(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_knows_of_the_other),   cmocka_unit_test(one_bound_for_all),
      cmocka_unit_test(one_budget_for_all),       cmocka_unit_test(ones_own_part),
      cmocka_unit_test(closed_by_another_thread), cmocka_unit_test(a_thousand_threads),
      cmocka_unit_test(a_fork_among_threads),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
