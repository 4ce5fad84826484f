/* What processes report, over the socket, to a live catalog: an agent's loop with the parts that
 * feedback needs, and processes of their own that pick and report. */
#include "catalog/fixture.h"

#include "agent/feedback.h"
#include "agent/live.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/value.h"
#include "catalog/live.h"
#include "client/handle.h"
#include "watch/plan.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { ENDPOINTS = 10 };

static struct agent {
  uv_loop_t loop;
  uv_prepare_t turn;
  uv_timer_t second;
  struct catalog_writer *writer;
  struct sets *sets;
  struct live *live;
  struct feedback *feedback;
} a;

/* Shared by all processes: what the children are told, and what they say. */
static struct board {
  _Atomic int step[8];
  _Atomic int said[8];
  _Atomic uint32_t slots[8];
} * board;

static void on_published(void *arg, const struct set_published *what) {
  live_published(a.live, what);
}

static void on_turn(uv_prepare_t *prepare) {
  sets_flush(a.sets);
}

static void on_second(uv_timer_t *timer) {
  catalog_tick(a.writer);
  feedback_tick(a.feedback);
}

static void balance(struct set *s, const char *algorithm, bool judges) {
  struct fault f;
  struct value *stages = value_table();
  if (judges) {
    struct value *outlier = value_table();
    value_append(outlier, value_text("outlier", 7));
    value_append(outlier, value_number(0.5));
    value_append(stages, outlier);
  }
  value_append(stages, value_text(algorithm, strlen(algorithm)));
  assert_int_equal(set_balancer(s, stages, &f), 0);
  value_unref(stages);
}

static void add_service(const char *name, const char *algorithm, bool judges) {
  struct set *s = sets_open(a.sets, name);
  assert_non_null(s);
  balance(s, algorithm, judges);
  for (int i = 0; i < ENDPOINTS; i++) {
    char id[16];
    snprintf(id, sizeof id, "%s-%d", name, i);
    struct instance_draft draft = {
        .id = id, .service = name, .address = "10.0.0.1", .port = (uint16_t)(i + 1), .weight = 1};
    struct instance *in = instance_new(&draft);
    assert_int_equal(set_put(s, in, STATUS_PASSING), 0);
    instance_unref(in);
  }
  sets_flush(a.sets);
}

static int start(void **state) {
  struct fault f;
  memset(&a, 0, sizeof a);
  memset(board, 0, sizeof *board);
  uv_loop_init(&a.loop);
  if (catalog_writer_open(run_dir, &a.writer, NULL) < 0)
    return -1;
  a.sets = sets_new(a.writer, on_published, NULL);
  a.live = live_new(&a.loop, a.writer, a.sets);
  if (feedback_new(&a.loop, run_dir, a.live, &a.feedback, &f) < 0) {
    fprintf(stderr, "%s\n", f.text);
    return -1;
  }
  uv_prepare_init(&a.loop, &a.turn);
  uv_prepare_start(&a.turn, on_turn);
  uv_timer_init(&a.loop, &a.second);
  uv_timer_start(&a.second, on_second, 1000, 1000);
  return 0;
}

static int end_agent(void) {
  feedback_free(a.feedback);
  live_free(a.live);
  uv_close((uv_handle_t *)&a.turn, NULL);
  uv_close((uv_handle_t *)&a.second, NULL);
  uv_run(&a.loop, UV_RUN_DEFAULT);
  int r = uv_loop_close(&a.loop);
  sets_free(a.sets);
  catalog_writer_close(a.writer);
  return r;
}

static int stop(void **state) {
  int r = end_agent();
  unlink(in_run_dir(FEEDBACK_SOCKET));
  empty_run_dir();
  return r;
}

#define RUN_UNTIL(condition)                                                                       \
  do {                                                                                             \
    double end = seconds() + patience();                                                           \
    while (!(condition)) {                                                                         \
      uv_run(&a.loop, UV_RUN_ONCE);                                                                \
      if (seconds() > end)                                                                         \
        fail_msg("never: %s", #condition);                                                         \
    }                                                                                              \
  } while (0)

static uint32_t sum_of(uint32_t slot) {
  const struct catalog_slot *live = catalog_live_slot(a.writer, slot);
  return live ? catalog_load32(&live->in_flight) : 0;
}

static struct live_stats stats(void) {
  struct live_stats s;
  live_stats(a.live, &s);
  return s;
}

static uint64_t processes(void) {
  struct feedback_stats s;
  feedback_stats(a.feedback, &s);
  return s.processes;
}

/* ---- in a child ---- */

static void await_step(int child, int step) {
  double end = seconds() + patience();
  while (board->step[child] < step) {
    CHILD_MUST(seconds() < end);
    poll(NULL, 0, 1);
  }
}

static struct perigee_service *child_service(const char *name) {
  struct perigee *p;
  struct perigee_service *s;
  CHILD_MUST(perigee_open(&p, run_dir) == 0);
  CHILD_MUST(perigee_service_open(p, name, &s) == 0);
  return s;
}

/* Calls a service until `n` of its endpoints have been held, and holds them. */
static void hold(struct perigee_service *s, int n, struct perigee_endpoint *held) {
  for (int i = 0; i < n; i++)
    CHILD_MUST(perigee_pick(s, NULL, &held[i]) == 0);
}

static void report_to_one(struct perigee_service *s, uint16_t port, int outcome, int times) {
  struct perigee_endpoint e;
  for (int i = 0; i < times;) {
    CHILD_MUST(perigee_pick(s, NULL, &e) == 0);
    bool it = e.port == port;
    CHILD_MUST(perigee_done(s, &e, it ? outcome : PERIGEE_SUCCESS, 1000) == 0);
    i += it;
  }
}

static pid_t child(void (*body)(void)) {
  pid_t pid = fork();
  if (pid == 0) {
    close_range(3, ~0u, 0); /* the agent's: its lock must not outlive it here */
    body();
    _exit(0);
  }
  assert_true(pid > 0);
  return pid;
}

/* ---- the tests ---- */

static void holds_five_for_a_while(void) {
  struct perigee_endpoint held[5];
  struct perigee_service *s = child_service("web");
  hold(s, 5, held);
  for (int i = 0; i < 5; i++)
    board->slots[i] = held[i].slot;
  board->said[0] = 1;
  await_step(0, 1);
  for (int i = 0; i < 5; i++)
    CHILD_MUST(perigee_done(s, &held[i], PERIGEE_SUCCESS, 1000) == 0);
  await_step(0, 2);
}

static void picks_what_is_free(void) {
  struct perigee_endpoint e;
  struct perigee_service *s = child_service("web");
  int busy = 0;
  for (int i = 0; i < 2000; i++) {
    CHILD_MUST(perigee_pick(s, NULL, &e) == 0);
    for (int k = 0; k < 5; k++)
      busy += board->slots[k] == e.slot;
    CHILD_MUST(perigee_done(s, &e, PERIGEE_SUCCESS, 1000) == 0);
  }
  board->said[1] = busy + 1;
}

/* One process holds five endpoints busy; another, that holds nothing, sees it. */
static void balance_on_the_others_counts(void **state) {
  add_service("web", "least_request", true);
  pid_t holder = child(holds_five_for_a_while);
  RUN_UNTIL(stats().in_flight == 5);
  for (int i = 0; i < 5; i++)
    assert_true(sum_of(board->slots[i]) > 0);
  pid_t other = child(picks_what_is_free);
  RUN_UNTIL(board->said[1]);
  assert_true(board->said[1] < 2000 * 3 / 8); /* alone it would be a half */
  await_child(other);
  board->step[0] = 1;
  RUN_UNTIL(stats().in_flight == 0);
  for (int i = 0; i < 5; i++)
    assert_int_equal(sum_of(board->slots[i]), 0);
  assert_true(stats().reports[PERIGEE_SUCCESS] >= 5);
  board->step[0] = 2;
  await_child(holder);
  RUN_UNTIL(processes() == 0);
}

static void dies_with_seven(void) {
  struct perigee_endpoint held[7];
  struct perigee_service *s = child_service("web");
  hold(s, 7, held);
  pid_t heir = fork();
  if (heir == 0) {
    struct perigee_endpoint e;
    CHILD_MUST(perigee_pick(s, NULL, &e) == 0); /* on a page of its own */
    board->said[1] = getpid();
    await_step(1, 1);
    CHILD_MUST(perigee_done(s, &e, PERIGEE_SUCCESS, 1000) == 0);
    board->said[1] = 0;
    await_step(1, 2);
    _exit(0);
  }
  board->said[0] = 1;
  await_step(0, 1);
}

/* kill -9, with a child that inherited the connection and lives on. */
static void death_takes_its_calls_along(void **state) {
  add_service("web", "least_request", true);
  pid_t dying = child(dies_with_seven);
  RUN_UNTIL(stats().in_flight == 8 && processes() == 2);
  assert_int_equal(kill(dying, SIGKILL), 0);
  RUN_UNTIL(stats().in_flight == 1);
  assert_int_equal(processes(), 1);
  board->step[1] = 1;
  RUN_UNTIL(stats().in_flight == 0);
  board->step[1] = 2;
  RUN_UNTIL(processes() == 0);
  int status;
  assert_int_equal(waitpid(dying, &status, 0), dying);
}

static void fails_three_connects(void) {
  report_to_one(child_service("web"), 3, PERIGEE_CONNECT_FAILURE, 3);
  await_step(0, 1);
}

static void fails_three_answers(void) {
  report_to_one(child_service("web"), 3, PERIGEE_SERVER_ERROR, 3);
  await_step(0, 1);
}

static void fails_often(void) {
  report_to_one(child_service("web"), 3, PERIGEE_TIMEOUT, 6);
  await_step(0, 1);
}

static void picks_around_the_third(void) {
  struct perigee_service *s = child_service("web");
  struct perigee_endpoint e;
  for (int i = 0; i < 10 * ENDPOINTS; i++) {
    CHILD_MUST(perigee_pick(s, NULL, &e) == 0);
    CHILD_MUST(e.port != 3);
  }
  board->said[2] = 1;
}

/* Two processes see a failure each three times: together that is enough, and it is out for all. */
static void an_outlier_is_out_for_all(void **state) {
  add_service("web", "round_robin", true);
  pid_t first = child(fails_three_connects);
  RUN_UNTIL(stats().reports[PERIGEE_CONNECT_FAILURE] == 3);
  assert_int_equal(stats().ejected, 0);
  pid_t second = child(fails_three_answers);
  RUN_UNTIL(stats().ejected == 1);
  assert_int_equal(stats().ejections[1], 1);
  sets_flush(a.sets);
  pid_t third = child(picks_around_the_third);
  RUN_UNTIL(board->said[2]);
  await_child(third);
  board->step[0] = 1;
  await_child(first);
  await_child(second);
}

/* What one agent has ejected is ejected under the next. */
static void an_ejection_outlives_the_agent(void **state) {
  add_service("web", "round_robin", true);
  pid_t caller = child(fails_often);
  RUN_UNTIL(stats().ejected == 1);
  board->step[0] = 1;
  await_child(caller);
  assert_int_equal(end_agent(), 0);
  assert_int_equal(start(NULL), 0);
  add_service("web", "round_robin", true);
  assert_int_equal(stats().ejected, 1);
  pid_t picker = child(picks_around_the_third);
  RUN_UNTIL(board->said[2]);
  await_child(picker);
}

/* How many slots say of themselves that they are ejected. */
static uint32_t marked(void) {
  uint32_t n = 0;
  for (uint32_t slot = 1; slot <= catalog_live_slots(a.writer); slot++) {
    const struct catalog_slot *live = catalog_live_slot(a.writer, slot);
    n += live && catalog_load64(&live->ejected_until_ns) != 0;
  }
  return n;
}

static void eject_the_third(void) {
  add_service("web", "round_robin", true);
  pid_t caller = child(fails_often);
  RUN_UNTIL(stats().ejected == 1);
  board->step[0] = 1;
  await_child(caller);
  assert_int_equal(marked(), 1);
}

/* Who judges no more has nobody ejected. */
static void an_ejection_goes_with_its_rules(void **state) {
  eject_the_third();
  balance(sets_find(a.sets, "web"), "round_robin", false);
  sets_flush(a.sets);
  assert_int_equal(stats().ejected, 0);
  assert_int_equal(marked(), 0);
}

static void the_next_agent_does_not_judge(void **state) {
  eject_the_third();
  assert_int_equal(end_agent(), 0);
  assert_int_equal(start(NULL), 0);
  add_service("web", "round_robin", false);
  assert_int_equal(stats().ejected, 0);
  assert_int_equal(marked(), 0);
}

static bool wants_all(void *arg, const char *service) {
  return true;
}

/* Nobody but the third: the others weigh nothing, or are dropped. */
static int only_the_third(void *arg, const struct plan_question *q, struct plan_row *out,
                          struct plan_answer *answer) {
  answer->taken = true;
  for (size_t i = 0; i < q->count; i++) {
    bool it = q->rows[i].instance->port == 3;
    out[i] = (struct plan_row){.weight = it || i % 2 ? 1 : 0, .drop = !it && i % 2};
  }
  return 1;
}

/* As long as no other may be picked it is the last one, whatever others are registered. */
static void the_last_that_a_plan_leaves(void **state) {
  static const struct planner planner = {.wants = wants_all, .plan = only_the_third};
  sets_plan_by(a.sets, &planner);
  add_service("web", "round_robin", true);
  pid_t caller = child(fails_often);
  RUN_UNTIL(stats().reports[PERIGEE_TIMEOUT] == 6);
  assert_int_equal(stats().ejected, 0);
  board->step[0] = 1;
  await_child(caller);
}

/* Whatever else comes over the socket is refused, and nobody else is disturbed. */
static void strangers(void **state) {
  struct sockaddr_un sa = {.sun_family = AF_UNIX};
  snprintf(sa.sun_path, sizeof sa.sun_path, "%.100s", in_run_dir(FEEDBACK_SOCKET));
  for (int kind = 0; kind < 3; kind++) {
    struct feedback_stats s;
    feedback_stats(a.feedback, &s);
    uint64_t before = s.refused;
    char junk[64] = "junk";
    struct feedback_hello hello = {FEEDBACK_MAGIC, FEEDBACK_LAYOUT, 0};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    if (kind == 0)
      assert_true(send(fd, junk, sizeof junk, 0) > 0);
    if (kind == 1) /* a page is announced, and none comes */
      assert_true(send(fd, &hello, sizeof hello, 0) > 0);
    if (kind == 2) /* too early to be woken */
      assert_true(send(fd, "", 1, 0) > 0);
    RUN_UNTIL((feedback_stats(a.feedback, &s), s.refused == before + 1));
    struct pollfd gone = {.fd = fd, .events = POLLIN};
    RUN_UNTIL(poll(&gone, 1, 0) == 1);
    assert_int_equal(recv(fd, junk, 1, 0), 0);
    close(fd);
  }
}

static void lies(void) {
  struct perigee_service *s = child_service("web");
  struct perigee_endpoint e;
  struct select_state random = {.random = 7};
  struct perigee_pick_options track = {.size = sizeof track, .flags = PERIGEE_TRACK};
  CHILD_MUST(perigee_pick(s, &track, &e) == 0);
  struct feedback_page *page = s->perigee->lanes.page;
  for (int round = 0; round < 400; round++) {
    for (int lane = 0; lane < FEEDBACK_LANES; lane++) {
      struct feedback_lane *l = &page->lanes[lane];
      uint64_t *words = (uint64_t *)l->cells;
      for (size_t i = 0; i < (ENDPOINTS + 1) * sizeof *l->cells / 8; i++)
        catalog_store64(&words[i], select_random_next(&random));
      for (int i = 0; i <= ENDPOINTS; i++) {
        catalog_store32(&l->cells[i].outcomes[FEEDBACK_SUCCESS], 0);
        catalog_store32(&l->cells[i].generation, e.slot_generation);
      }
      catalog_store32(&l->changes[0], (uint32_t)select_random_next(&random));
      catalog_store64(&l->activity, select_random_next(&random));
    }
    board->said[0] = round + 1;
    poll(NULL, 0, 1);
  }
  await_step(0, 1);
}

/* A page of random bytes under the agent's eyes: it lives, ejects no more than it may, and the
 * endpoint that is left is picked. */
static void a_hostile_page(void **state) {
  add_service("web", "round_robin", true);
  pid_t liar = child(lies);
  RUN_UNTIL(board->said[0] == 400);
  RUN_UNTIL(stats().ejected > 0);
  assert_in_range(stats().ejected, 1, ENDPOINTS / 2);
  sets_flush(a.sets);
  struct perigee *p;
  struct perigee_service *s;
  struct perigee_endpoint e;
  assert_int_equal(perigee_open(&p, run_dir), 0);
  assert_int_equal(perigee_service_open(p, "web", &s), 0);
  for (int i = 0; i < 100; i++)
    assert_int_equal(perigee_pick(s, NULL, &e), 0);
  perigee_service_close(s);
  perigee_close(p);
  board->step[0] = 1;
  await_child(liar);
  RUN_UNTIL(processes() == 0 && stats().in_flight == 0);
}

static void outlives_the_agent(void) {
  struct perigee_endpoint held[3];
  struct perigee_endpoint e;
  struct perigee_service *s = child_service("web");
  hold(s, 3, held);
  board->said[0] = 1;
  await_step(0, 1);
  while (board->step[0] < 2) {
    CHILD_MUST(perigee_pick(s, NULL, &e) == 0);
    CHILD_MUST(perigee_done(s, &e, PERIGEE_SUCCESS, 1000) == 0);
  }
  for (int i = 0; i < 3; i++)
    CHILD_MUST(perigee_done(s, &held[i], PERIGEE_SUCCESS, 1000) == 0);
  board->said[0] = 2;
  await_step(0, 3);
}

/* The agent is replaced: a process's page goes to the next one, with what it has in flight. */
static void the_next_agent(void **state) {
  add_service("web", "least_request", true);
  pid_t caller = child(outlives_the_agent);
  RUN_UNTIL(stats().in_flight == 3);
  assert_int_equal(end_agent(), 0);
  int said = board->said[0], step = board->step[0];
  assert_int_equal(start(NULL), 0);
  board->said[0] = said;
  board->step[0] = step;
  add_service("web", "least_request", true);
  board->step[0] = 1;
  RUN_UNTIL(processes() == 1 && stats().in_flight >= 3);
  board->step[0] = 2;
  RUN_UNTIL(board->said[0] == 2 && stats().in_flight == 0);
  board->step[0] = 3;
  await_child(caller);
}

static char wished[300];

static void on_wish(void *arg, const char *service) {
  snprintf(wished, sizeof wished, "%s", service);
}

static void send_raw(const void *bytes, size_t length) {
  int fd = lanes_dial(in_run_dir(CATALOG_FILE));
  assert_true(fd >= 0);
  assert_true(send(fd, bytes, length, MSG_NOSIGNAL) >= 0);
  close(fd);
}

static void a_service_that_is_not_there_is_wished_for(void **state) {
  struct perigee *p;
  struct perigee_service *s;
  struct perigee_endpoint e;
  struct feedback_stats f;
  struct feedback_wish empty = {.magic = FEEDBACK_WISH};
  feedback_on_wish(a.feedback, on_wish, NULL);
  add_service("web", "round_robin", true);
  assert_int_equal(perigee_open(&p, run_dir), 0);
  assert_int_equal(perigee_service_open(p, "shop", &s), 0);
  RUN_UNTIL(strcmp(wished, "shop") == 0);
  wished[0] = '\0';
  RUN_UNTIL(perigee_pick(s, NULL, &e) == -ENOENT && wished[0]); /* again, not with every pick */
  perigee_service_close(s);
  wished[0] = '\0';
  assert_int_equal(perigee_service_open(p, "web", &s), 0);
  send_raw(&empty, offsetof(struct feedback_wish, name)); /* without a name */
  RUN_UNTIL((feedback_stats(a.feedback, &f), f.refused > 0));
  assert_string_equal(wished, ""); /* neither that, nor what is there */
  memset(empty.name, 'x', sizeof empty.name);
  send_raw(&empty, sizeof empty);
  RUN_UNTIL(strlen(wished) == CATALOG_NAME_MAX);
  perigee_service_close(s);
  perigee_close(p);
}

static int before_all(void **state) {
  log_set_level(LOG_LEVEL_ERROR);
  board = shared_memory(sizeof *board);
  return make_run_dir(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(balance_on_the_others_counts, start, stop),
      cmocka_unit_test_setup_teardown(death_takes_its_calls_along, start, stop),
      cmocka_unit_test_setup_teardown(an_outlier_is_out_for_all, start, stop),
      cmocka_unit_test_setup_teardown(an_ejection_outlives_the_agent, start, stop),
      cmocka_unit_test_setup_teardown(an_ejection_goes_with_its_rules, start, stop),
      cmocka_unit_test_setup_teardown(the_next_agent_does_not_judge, start, stop),
      cmocka_unit_test_setup_teardown(the_last_that_a_plan_leaves, start, stop),
      cmocka_unit_test_setup_teardown(strangers, start, stop),
      cmocka_unit_test_setup_teardown(a_hostile_page, start, stop),
      cmocka_unit_test_setup_teardown(a_service_that_is_not_there_is_wished_for, start, stop),
      cmocka_unit_test_setup_teardown(the_next_agent, start, stop),
  };
  return cmocka_run_group_tests(tests, before_all, remove_run_dir);
}
