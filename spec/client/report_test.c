/* perigee_done and what it counts, in a process without an agent: the handle's own lane, another
 * thread's reports, forks, endpoints to avoid, the budget of retries. */
#include "client/fixture.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct perigee_endpoint pick_with(struct perigee_service *s, uint32_t flags) {
  struct perigee_pick_options options = {.size = sizeof options, .flags = flags};
  struct perigee_endpoint e;
  assert_int_equal(perigee_pick(s, &options, &e), 0);
  return e;
}

/* In flight on an endpoint, over all lanes of the page. */
static int32_t in_flight(const struct perigee_endpoint *e) {
  uint32_t sum = 0;
  for (int lane = 0; p->lanes.page && lane < FEEDBACK_LANES; lane++)
    if (p->lanes.page->lanes[lane].cells[e->slot].generation == e->slot_generation)
      sum += p->lanes.page->lanes[lane].cells[e->slot].in_flight;
  return (int32_t)sum;
}

static uint32_t reports(const struct perigee_endpoint *e, int outcome) {
  uint32_t sum = 0;
  for (int lane = 0; lane < FEEDBACK_LANES; lane++)
    sum += p->lanes.page->lanes[lane].cells[e->slot].outcomes[outcome];
  return sum;
}

static void who_is_counted(void **state) {
  struct perigee_service *plain = service("plain", "round_robin", 1);
  struct perigee_service *load = service("load", "least_request", 1);
  struct perigee_endpoint e = pick_with(plain, 0);
  assert_int_equal(e.ticket, 0);
  assert_null(plain->lane);
  e = pick_with(plain, PERIGEE_TRACK);
  assert_int_equal(in_flight(&e), 1);
  assert_int_equal(perigee_done(plain, &e, PERIGEE_SUCCESS, 1000), 0);
  assert_int_equal(in_flight(&e), 0);

  e = pick_with(load, PERIGEE_NO_REPORT);
  assert_int_equal(e.ticket, 0);
  assert_int_equal(in_flight(&e), 0);
  assert_int_equal(perigee_pick(load, NULL, &e), 0);
  assert_int_equal(in_flight(&e), 1);
  assert_int_equal(flight_of(load).calls, 1);
  assert_int_equal(perigee_done(load, &e, PERIGEE_TIMEOUT, 1000), 0);
  assert_int_equal(in_flight(&e), 0);
  assert_int_equal(flight_of(load).calls, 0);
  perigee_service_close(load);
  perigee_service_close(plain);
}

static void each_outcome_once(void **state) {
  struct perigee_service *s = service("outcomes", "round_robin", 1);
  struct perigee_endpoint e = {0};
  for (int outcome = 0; outcome < FEEDBACK_OUTCOMES; outcome++)
    for (int i = 0; i <= outcome; i++) {
      e = pick_with(s, PERIGEE_TRACK);
      assert_int_equal(perigee_done(s, &e, outcome, 5000), 0);
      /* The ticket is spent: a second report is one more report, but takes no pick back. */
    }
  for (int outcome = 0; outcome < FEEDBACK_OUTCOMES; outcome++)
    assert_int_equal(reports(&e, outcome), outcome + 1);
  struct perigee_endpoint other = pick_with(s, PERIGEE_TRACK);
  assert_int_equal(perigee_done(s, &e, PERIGEE_SUCCESS, 5000), 0);
  assert_int_equal(in_flight(&other), 1);
  assert_int_equal(perigee_done(s, &other, PERIGEE_ABANDONED, 0), 0);
  assert_int_equal(in_flight(&other), 0);
  for (int outcome = 0; outcome < FEEDBACK_OUTCOMES; outcome++)
    assert_int_equal(reports(&e, outcome), outcome + 1 + (outcome == PERIGEE_SUCCESS));
  assert_int_equal(perigee_done(s, &e, PERIGEE_ABANDONED + 1, 0), -EINVAL);
  assert_int_equal(perigee_done(s, &e, -1, 0), -EINVAL);
  e.slot = 0;
  assert_int_equal(perigee_done(s, &e, PERIGEE_SUCCESS, 0), -EINVAL);
  e.slot = FEEDBACK_SLOTS;
  assert_int_equal(perigee_done(s, &e, PERIGEE_SUCCESS, 0), -EINVAL);
  perigee_service_close(s);
}

/* What refuses at once must not look fast; what is slow must look slow at once. */
static void latencies(void **state) {
  struct perigee_service *s = service("latency", "p2c_ewma", 1);
  struct perigee_endpoint e;
  assert_int_equal(perigee_pick(s, NULL, &e), 0);
  const struct feedback_cell *c = &s->lane->cells[e.slot];
  assert_int_equal(perigee_done(s, &e, PERIGEE_SUCCESS, 50000), 0);
  assert_int_equal(c->latency_ns, 50000);
  assert_int_equal(perigee_done(s, &e, PERIGEE_CONNECT_FAILURE, 10), 0);
  assert_int_equal(c->latency_ns, 50000);
  assert_int_equal(perigee_done(s, &e, PERIGEE_TIMEOUT, 90000), 0);
  assert_int_equal(c->latency_ns, 90000);
  assert_int_equal(c->latency_sum_ns, 50000);
  perigee_service_close(s);
}

/* Least request on the process's own counts alone: nothing that is busy while another is idle. */
static void own_counts_serve(void **state) {
  enum { N = 8 };
  struct perigee_service *s = service("own", "least_request", N);
  struct perigee_endpoint held[N], e;
  bool busy[N] = {false};
  for (int i = 0; i < N / 2; i++) {
    assert_int_equal(perigee_pick(s, NULL, &held[i]), 0);
    busy[held[i].port - 1] = true;
  }
  int both = 0;
  for (int i = 0; i < 2000; i++) {
    assert_int_equal(perigee_pick(s, NULL, &e), 0);
    both += busy[e.port - 1];
    assert_int_equal(perigee_done(s, &e, PERIGEE_SUCCESS, 1000), 0);
  }
  assert_true(both < 2000 * 3 / 8); /* random would be a half; 3/14 of the pairs are both busy */
  perigee_service_close(s);
}

static void *report_elsewhere(void *arg) {
  struct perigee_endpoint *e = ((void **)arg)[1];
  assert_int_equal(perigee_done(((void **)arg)[0], e, PERIGEE_SUCCESS, 1000), 0);
  return NULL;
}

static void another_thread_reports(void **state) {
  struct perigee_service *s = service("stray", "least_request", 1);
  struct perigee_endpoint a, b;
  pthread_t thread;
  assert_int_equal(perigee_pick(s, NULL, &a), 0);
  void *arg[] = {s, &a};
  assert_int_equal(pthread_create(&thread, NULL, report_elsewhere, arg), 0);
  pthread_join(thread, NULL);
  assert_int_equal(in_flight(&a), 0);
  assert_int_equal(reports(&a, PERIGEE_SUCCESS), 1);
  /* From now on the handle counts where the other thread does. */
  assert_int_equal(perigee_pick(s, NULL, &b), 0);
  assert_ptr_equal(s->lane, s->shared);
  assert_int_equal(in_flight(&b), 1);
  assert_int_equal(flight_of(s).calls, 1);
  assert_int_equal(perigee_done(s, &b, PERIGEE_SUCCESS, 1000), 0);
  assert_int_equal(in_flight(&b), 0);
  assert_int_equal(flight_of(s).calls, 0);
  perigee_service_close(s);
}

static void on_another_thread(struct perigee_service *s, struct perigee_endpoint *e) {
  pthread_t thread;
  void *arg[] = {s, e};
  assert_int_equal(pthread_create(&thread, NULL, report_elsewhere, arg), 0);
  pthread_join(thread, NULL);
}

/* Who reports before the handle has a lane does not take it for itself: it would be written by two
 * threads. */
static void the_lane_is_the_pickers(void **state) {
  struct perigee_service *s = service("pickers", "round_robin", 1);
  struct perigee_endpoint e = pick_with(s, 0);
  on_another_thread(s, &e);
  assert_null(s->lane);
  assert_int_equal(reports(&e, PERIGEE_SUCCESS), 1);
  assert_int_equal(catalog_load32(&s->shared->cells[e.slot].outcomes[PERIGEE_SUCCESS]), 1);
  perigee_service_close(s);
  s = service("pickers", "round_robin", 1); /* while nobody else reports, its own serves */
  e = pick_with(s, 0);
  assert_int_equal(perigee_done(s, &e, PERIGEE_SUCCESS, 1000), 0);
  assert_ptr_not_equal(s->lane, s->shared);
  assert_int_equal(catalog_load32(&s->lane->cells[e.slot].outcomes[PERIGEE_SUCCESS]), 1);
  perigee_service_close(s);
}

/* What one handle has in flight, others see, while it shares a lane and after it was closed. */
static void strays_and_a_closed_handle(void **state) {
  enum { PICKS = 50 };
  struct perigee_endpoint e[PICKS], last;
  struct perigee_service *s = service("closed-stray", "least_request", 1);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < PICKS; i++)
      assert_int_equal(perigee_pick(s, NULL, &e[i]), 0);
    assert_int_equal(in_flight(&e[0]), PICKS);
    for (int i = 0; i < PICKS; i++)
      on_another_thread(s, &e[i]);
    if (round == 1) { /* it has picked since */
      assert_int_equal(perigee_pick(s, NULL, &last), 0);
      on_another_thread(s, &last);
    }
    assert_int_equal(in_flight(&e[0]), 0);
    perigee_service_close(s);
    s = open_service("closed-stray");
    assert_int_equal(in_flight(&e[0]), 0);
  }
  perigee_service_close(s);
}

/* Its own counts serve on, when they are in the shared lane. */
static void own_counts_are_shared(void **state) {
  enum { PICKS = 200 };
  struct perigee_endpoint e[PICKS], last, other;
  struct perigee_service *s = service("own-stray", "least_request", 2);
  for (int i = 0; i < PICKS; i++)
    assert_int_equal(perigee_pick(s, NULL, &e[i]), 0);
  for (int i = 0; i < PICKS; i++)
    on_another_thread(s, &e[i]);
  assert_int_equal(perigee_pick(s, NULL, &last), 0);
  assert_ptr_equal(s->lane, s->shared);
  for (int i = 0; i < PICKS; i++) { /* the other one is idle all the time */
    assert_int_equal(perigee_pick(s, NULL, &other), 0);
    assert_int_not_equal(other.slot, last.slot);
    assert_int_equal(perigee_done(s, &other, PERIGEE_SUCCESS, 1000), 0);
  }
  perigee_service_close(s);
}

/* Retries that other threads report are no longer in the budget, over an epoch's end too. */
static void retries_end_elsewhere(void **state) {
  struct perigee_service *s = service("elsewhere", "round_robin", 1);
  struct perigee_endpoint e[PERIGEE_RETRY_LEAST];
  struct perigee_pick_options retry = {.size = sizeof retry, .flags = PERIGEE_RETRY};
  for (int i = 0; i < PERIGEE_RETRY_LEAST; i++)
    assert_int_equal(perigee_pick(s, &retry, &e[i]), 0);
  assert_int_equal(perigee_pick(s, &retry, &(struct perigee_endpoint){0}), -EDQUOT);
  on_another_thread(s, &e[0]);
  assert_int_equal(perigee_pick(s, &retry, &e[0]), 0);
  assert_int_equal(perigee_pick(s, &retry, &(struct perigee_endpoint){0}), -EDQUOT);
  for (int i = 0; i < PERIGEE_RETRY_LEAST; i++)
    on_another_thread(s, &e[i]);
  assert_int_equal(in_flight(&e[0]), 0);
  pick_with(s, PERIGEE_TRACK);
  assert_int_equal(flight_of(s).calls, 1);
  assert_int_equal(flight_of(s).retries, 0);
  perigee_service_close(s);
}

/* A page of which only other threads write is handed to the agent too, which is told again when it
 * does not read. */
static void who_only_reports_tells_the_agent(void **state) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  struct perigee_service *s = service("teller", "round_robin", 1);
  struct perigee_endpoint e = pick_with(s, 0);
  struct feedback_hello hello;
  char more;
  snprintf(at.sun_path, sizeof at.sun_path, "%s/" FEEDBACK_SOCKET, run_dir);
  int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  assert_int_equal(bind(listener, (const struct sockaddr *)&at, sizeof at), 0);
  assert_int_equal(listen(listener, 1), 0);
  p->lanes.tried_ns = 0; /* nobody was there a moment ago */
  on_another_thread(s, &e);
  int agent = accept(listener, NULL, NULL);
  assert_int_equal(recv(agent, &hello, sizeof hello, 0), sizeof hello);
  assert_int_equal(hello.magic, FEEDBACK_MAGIC);
  s->told_ns = 0; /* long ago */
  on_another_thread(s, &e);
  assert_int_equal(recv(agent, &more, 1, 0), 1);
  close(agent);
  close(listener);
  unlink(at.sun_path);
  perigee_service_close(s);
}

/* More handles than lanes: the rest share one, and nothing is lost. */
static void more_handles_than_lanes(void **state) {
  struct perigee_service *s[FEEDBACK_LANES + 4];
  struct perigee_endpoint e[FEEDBACK_LANES + 4];
  perigee_service_close(service("many", "least_request", 1));
  for (int i = 0; i < FEEDBACK_LANES + 4; i++) {
    assert_int_equal(perigee_service_open(p, "many", &s[i]), 0);
    assert_int_equal(perigee_pick(s[i], NULL, &e[i]), 0);
    assert_int_equal(in_flight(&e[0]), i + 1);
  }
  for (int i = 0; i < FEEDBACK_LANES + 4; i += 2)
    assert_int_equal(perigee_done(s[i], &e[i], PERIGEE_SUCCESS, 1), 0);
  assert_int_equal(in_flight(&e[0]), FEEDBACK_LANES / 2 + 2);
  for (int i = 1; i < FEEDBACK_LANES + 4; i += 2)
    assert_int_equal(perigee_done(s[i], &e[i], PERIGEE_SUCCESS, 1), 0);
  assert_int_equal(in_flight(&e[0]), 0);
  for (int i = 0; i < FEEDBACK_LANES + 4; i++)
    perigee_service_close(s[i]);
  assert_int_equal(p->lanes.taken, 1); /* the shared one */
}

static void what_a_closed_handle_had_is_over(void **state) {
  struct perigee_service *s = service("closed", "least_request", 2);
  struct perigee_endpoint e = {0};
  for (int i = 0; i < 10; i++)
    assert_int_equal(perigee_pick(s, NULL, &e), 0);
  perigee_service_close(s);
  assert_int_equal(in_flight(&e), 0);
}

/* The slot's next instance begins at nothing, and late reports of the one before do not reach it.
 */
static void another_generation(void **state) {
  struct perigee_service *s = service("generation", "least_request", 1);
  struct perigee_endpoint old, next;
  assert_int_equal(perigee_pick(s, NULL, &old), 0);
  next = old;
  next.slot_generation++;
  assert_int_equal(perigee_done(s, &next, PERIGEE_SERVER_ERROR, 1), 0);
  assert_int_equal(reports(&next, PERIGEE_SERVER_ERROR), 1);
  assert_int_equal(in_flight(&next), 0);
  assert_int_equal(perigee_done(s, &old, PERIGEE_SUCCESS, 1), 0);
  assert_int_equal(reports(&next, PERIGEE_SUCCESS), 0);
  assert_int_equal(in_flight(&next), 0);
  perigee_service_close(s);
}

/* A child counts on a page of its own; what its parent has in flight is the parent's to report. */
static void a_child_counts_for_itself(void **state) {
  struct perigee_service *s = service("fork", "least_request", 1);
  struct perigee_endpoint before, e;
  assert_int_equal(perigee_pick(s, NULL, &before), 0);
  pid_t child = fork();
  if (child == 0) {
    CHILD_MUST(perigee_done(s, &before, PERIGEE_SUCCESS, 1) == 0);
    CHILD_MUST(in_flight(&before) == 0);
    CHILD_MUST(perigee_pick(s, NULL, &e) == 0);
    CHILD_MUST(in_flight(&e) == 1);
    CHILD_MUST(perigee_done(s, &e, PERIGEE_SUCCESS, 1) == 0);
    CHILD_MUST(in_flight(&e) == 0);
    perigee_service_close(s);
    perigee_close(p);
    _exit(0);
  }
  await_child(child);
  assert_int_equal(in_flight(&before), 1);
  assert_int_equal(reports(&before, PERIGEE_SUCCESS), 0);
  assert_int_equal(perigee_done(s, &before, PERIGEE_SUCCESS, 1), 0);
  assert_int_equal(in_flight(&before), 0);
  perigee_service_close(s);
}

/* Whatever the balancer: never what was tried, until nothing else is left. */
static void avoided_endpoints(void **state) {
  enum { N = 5 };
  for (unsigned b = 0; select_at(b); b++) {
    char name[64];
    snprintf(name, sizeof name, "avoid-%u", b);
    struct perigee_service *s = service(name, select_at(b)->name, N);
    for (int round = 0; round < 20; round++) {
      struct perigee_endpoint tried[N + 1];
      unsigned seen = 0;
      char key = (char)round;
      struct perigee_pick_options options = {
          .size = sizeof options, .key = &key, .key_length = 1, .avoid = tried};
      for (int i = 0; i < N; i++) {
        assert_int_equal(perigee_pick(s, &options, &tried[i]), 0);
        options.avoid_count++;
        seen |= 1u << (tried[i].port - 1);
      }
      assert_int_equal(seen, (1u << N) - 1);
      assert_int_equal(perigee_pick(s, &options, &tried[N]), 0);
    }
    perigee_service_close(s);
  }
}

/* So many are avoided that no other way of the key's leads to one that is not. */
static void a_key_goes_elsewhere_alike(void **state) {
  enum { N = 20, AVOIDED = 17 };
  static const char *const balancers[] = {"maglev", "ring", "rendezvous"};
  for (unsigned b = 0; b < 3; b++) {
    struct perigee_endpoint tried[AVOIDED], e, again;
    struct perigee_service *s = service(balancers[b], balancers[b], N);
    for (char key = 0; key < 20; key++) {
      struct perigee_pick_options options = {
          .size = sizeof options, .key = &key, .key_length = 1, .avoid = tried};
      for (int i = 0; i < AVOIDED; i++, options.avoid_count++)
        assert_int_equal(perigee_pick(s, &options, &tried[i]), 0);
      assert_int_equal(perigee_pick(s, &options, &e), 0);
      for (int i = 0; i < 10; i++) {
        assert_int_equal(perigee_pick(s, &options, &again), 0);
        assert_int_equal(again.port, e.port);
      }
    }
    perigee_service_close(s);
  }
}

static void a_hash_is_as_good_as_its_key(void **state) {
  struct perigee_service *s = service("hash", "maglev", 20);
  for (int i = 0; i < 200; i++) {
    char key[16];
    struct perigee_endpoint a, b;
    struct perigee_pick_options by_key = {
        .size = sizeof by_key, .key = key, .key_length = (size_t)snprintf(key, 16, "user-%d", i)};
    struct perigee_pick_options by_hash = {
        .size = sizeof by_hash, .flags = PERIGEE_HASH, .hash = select_hash(key, by_key.key_length)};
    assert_int_equal(perigee_pick(s, &by_key, &a), 0);
    assert_int_equal(perigee_pick(s, &by_hash, &b), 0);
    assert_int_equal(a.slot, b.slot);
  }
  perigee_service_close(s);
}

/* Three in any case, and then a fifth of what is in flight. */
static void the_budget_of_retries(void **state) {
  struct perigee_service *s = service("budget", "round_robin", 4);
  struct perigee_pick_options retry = {.size = sizeof retry, .flags = PERIGEE_RETRY};
  struct perigee_endpoint e;
  for (int i = 0; i < PERIGEE_RETRY_LEAST; i++)
    assert_int_equal(perigee_pick(s, &retry, &e), 0);
  assert_int_equal(perigee_pick(s, &retry, &e), -EDQUOT);
  for (int i = 0; i < 40; i++)
    pick_with(s, PERIGEE_TRACK);
  for (int i = PERIGEE_RETRY_LEAST; i < 9; i++)
    assert_int_equal(perigee_pick(s, &retry, &e), 0);
  assert_int_equal(perigee_pick(s, &retry, &e), -EDQUOT); /* a fifth of 49 */
  assert_int_equal(perigee_done(s, &e, PERIGEE_SUCCESS, 1), 0);
  assert_int_equal(perigee_pick(s, &retry, &e), 0);
  perigee_service_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(who_is_counted),
      cmocka_unit_test(each_outcome_once),
      cmocka_unit_test(latencies),
      cmocka_unit_test(own_counts_serve),
      cmocka_unit_test(another_thread_reports),
      cmocka_unit_test(the_lane_is_the_pickers),
      cmocka_unit_test(strays_and_a_closed_handle),
      cmocka_unit_test(own_counts_are_shared),
      cmocka_unit_test(retries_end_elsewhere),
      cmocka_unit_test(who_only_reports_tells_the_agent),
      cmocka_unit_test(more_handles_than_lanes),
      cmocka_unit_test(what_a_closed_handle_had_is_over),
      cmocka_unit_test(another_generation),
      cmocka_unit_test(a_child_counts_for_itself),
      cmocka_unit_test(avoided_endpoints),
      cmocka_unit_test(a_key_goes_elsewhere_alike),
      cmocka_unit_test(a_hash_is_as_good_as_its_key),
      cmocka_unit_test(the_budget_of_retries),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
