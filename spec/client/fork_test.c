/* A process that forks with handles that are in use: parent and child go on with all of them, in
 * whatever order, and neither touches what is the other's. spec: threads */
#include "client/fixture.h"

#include <pthread.h>

static struct perigee_service *first, *second;

/* Two handles with a lane each, and a call in flight. */
static int with_two(void **state) {
  struct perigee_endpoint e;
  if (set_up(state) < 0)
    return -1;
  first = service("first", "p2c", 4);
  second = service("second", "least_request", 4);
  return perigee_pick(first, NULL, &e) < 0 || perigee_pick(second, NULL, &e) < 0 ? -1 : 0;
}

static int close_two(void **state) {
  perigee_service_close(first);
  perigee_service_close(second);
  return tear_down(state);
}

/* What notices the fork without joining a lane. */
static void notice_by_a_pick(void) {
  struct perigee_pick_options options = {.size = sizeof options, .flags = PERIGEE_NO_REPORT};
  struct perigee_endpoint e;
  CHILD_MUST(perigee_pick(first, &options, &e) == 0);
}
static void notice_by_a_look(void) {
  CHILD_MUST(perigee_version(first) != 0);
}
static void notice_by_opening(void) {
  struct perigee_service *third;
  CHILD_MUST(perigee_service_open(p, "first", &third) == 0);
  perigee_service_close(third);
}

static void go_on(struct perigee_service *s) {
  for (int i = 0; i < 10; i++) {
    struct perigee_endpoint e;
    CHILD_MUST(perigee_pick(s, NULL, &e) == 0);
    CHILD_MUST(e.ticket != 0);
    CHILD_MUST(flight_of(s).calls == 1); /* what the parent had in flight is the parent's */
    CHILD_MUST(perigee_done(s, &e, PERIGEE_SUCCESS, 1000) == 0);
  }
}

/* What the child maps first comes to lie where the parent's page was: nobody may touch it. */
static void in_a_child(void (*notice)(void)) {
  pid_t pid = fork_child();
  if (pid == 0) {
    notice();
    size_t room = sizeof(struct feedback_page);
    unsigned char *own = mmap(NULL, room, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHILD_MUST(own != MAP_FAILED);
    CHILD_MUST(mprotect(own, room, PROT_NONE) == 0);
    go_on(second);
    go_on(first);
    _exit(0);
  }
  await_child(pid);
  assert_int_equal(flight_of(second).calls, 1);
}

static void each_handle_notices(void **state) {
  in_a_child(notice_by_a_pick);
  in_a_child(notice_by_a_look);
  in_a_child(notice_by_opening);
}

/* A child of a child of one that has noticed nothing yet. */
static void generations(void **state) {
  pid_t pid = fork_child();
  if (pid == 0) {
    pid_t grandchild = fork();
    if (grandchild == 0) {
      notice_by_a_look();
      go_on(second);
      _exit(0);
    }
    int status;
    CHILD_MUST(waitpid(grandchild, &status, 0) == grandchild && status == 0);
    go_on(second);
    notice_by_a_look();
    grandchild = fork();
    if (grandchild == 0) {
      notice_by_a_look();
      go_on(second);
      _exit(0);
    }
    CHILD_MUST(waitpid(grandchild, &status, 0) == grandchild && status == 0);
    go_on(first);
    _exit(0);
  }
  await_child(pid);
}

/* The first thing a child does with a handle is a retry: the calls in flight are the parent's. */
static void a_retry_in_a_child(void **state) {
  struct perigee_pick_options options = {.size = sizeof options, .flags = PERIGEE_RETRY};
  struct perigee_endpoint e[PERIGEE_RETRY_LEAST];
  for (int i = 0; i < PERIGEE_RETRY_LEAST; i++)
    assert_int_equal(perigee_pick(first, &options, &e[i]), 0);
  assert_int_equal(perigee_pick(first, &options, &e[0]), -EDQUOT);
  pid_t pid = fork_child();
  if (pid == 0) {
    CHILD_MUST(perigee_pick(first, &options, &e[0]) == 0);
    _exit(0);
  }
  await_child(pid);
}

static void *reports(void *arg) {
  struct perigee_endpoint *e = arg;
  CHILD_MUST(perigee_done(second, e, PERIGEE_SUCCESS, 1000) == 0);
  return NULL;
}

/* In the child another thread is the first to report: before the handle has noticed, and after. */
static void another_thread_of_a_child(void **state) {
  struct perigee_endpoint e;
  assert_int_equal(perigee_pick(second, NULL, &e), 0);
  pid_t pid = fork_child();
  if (pid == 0) {
    pthread_t thread;
    notice_by_a_look();
    CHILD_MUST(pthread_create(&thread, NULL, reports, &e) == 0);
    CHILD_MUST(pthread_join(thread, NULL) == 0);
    CHILD_MUST(perigee_pick(second, NULL, &e) == 0);
    CHILD_MUST(pthread_create(&thread, NULL, reports, &e) == 0);
    CHILD_MUST(pthread_join(thread, NULL) == 0);
    CHILD_MUST(perigee_pick(second, NULL, &e) == 0);
    CHILD_MUST(flight_of(second).calls == 1);
    _exit(0);
  }
  await_child(pid);
  assert_int_equal(perigee_done(second, &e, PERIGEE_SUCCESS, 1000), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(each_handle_notices, with_two, close_two),
      cmocka_unit_test_setup_teardown(generations, with_two, close_two),
      cmocka_unit_test_setup_teardown(a_retry_in_a_child, with_two, close_two),
      cmocka_unit_test_setup_teardown(another_thread_of_a_child, with_two, close_two),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
