/* Requests that a plugin answers: whole, in pieces, never; whose clients read on, or go. */
#include "rig.h"

/* Reads until `text` has come. */
static void expect_text(int fd, const char *text) {
  char got[65536];
  size_t length = 0;
  got[0] = '\0';
  while (!strstr(got, text)) {
    ssize_t n = recv(fd, got + length, sizeof got - 1 - length, 0);
    assert_true(n > 0);
    length += (size_t)n;
    got[length] = '\0';
  }
}

static void wait_until(_Atomic unsigned *count, unsigned is) {
  int64_t deadline = clock_now_ns() + PATIENCE_MS * INT64_C(1000000);
  while (atomic_load(count) != is) {
    assert_true(clock_now_ns() < deadline);
    sched_yield();
  }
}

static void a_whole_answer_keeps_the_connection(void **state) {
  struct rig *rig = rig_open(NULL, 2);
  int fd = client_open(rig);
  for (int i = 0; i < 3; i++) {
    client_say(fd, "PATCH /v1/x/whole/a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    struct reply r = client_read(fd, false);
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_header(&r, "X-Route"), "whole");
    assert_string_equal(r.body, "PATCH hello");
    reply_free(&r);
  }
  close(fd);
  rig_close(rig);
}

static void pieces_come_as_chunks_and_then_the_next_answer(void **state) {
  struct rig *rig = rig_open(NULL, 1);
  int fd = client_open(rig);
  client_say(fd, "PUT /v1/x/pieces HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n2"
                 "GET /v1/x/whole HTTP/1.1\r\nHost: x\r\n\r\n");
  expect_text(fd, "\r\n\r\n6\r\npiece\n\r\n6\r\npiece\n\r\n0\r\n\r\nHTTP/1.1 201 Created");
  wait_until(&rig->visit_count, 0);
  assert_int_equal(rig->gone, 0);
  close(fd);
  rig_close(rig);
}

static void a_client_that_goes_is_missed(void **state) {
  struct rig *rig = rig_open(NULL, 2);
  int never = client_open(rig), endless = client_open(rig);
  client_say(never, "GET /v1/x/never HTTP/1.1\r\nHost: x\r\n\r\n");
  client_say(endless, "GET /v1/x/endless HTTP/1.1\r\nHost: x\r\n\r\n");
  expect_text(endless, "piece");
  wait_until(&rig->visit_count, 2);
  close(never);
  wait_until(&rig->gone, 1);
  close(endless);
  wait_until(&rig->gone, 2);
  wait_until(&rig->visit_count, 0);
  rig_close(rig);
}

static void what_is_under_way_at_the_end_ends(void **state) {
  struct rig *rig = rig_open(NULL, 2);
  int never = client_open(rig), endless = client_open(rig);
  client_say(never, "GET /v1/x/never HTTP/1.1\r\nHost: x\r\n\r\n");
  client_say(endless, "GET /v1/x/endless HTTP/1.1\r\nHost: x\r\n\r\n");
  wait_until(&rig->visit_count, 2);
  rig_close(rig);
  close(never);
  close(endless);
}

/* Each hangs up at a moment of its own; of what has an end, at its end at the latest. */
static void come_and_go(void *arg) {
  struct rig *rig = arg;
  char some[700];
  for (int i = 0; i < 60; i++) {
    int fd = client_open(rig);
    client_say(fd, i % 3 == 0   ? "GET /v1/x/never HTTP/1.1\r\nHost: x\r\n\r\n"
                   : i % 3 == 1 ? "GET /v1/x/endless HTTP/1.1\r\nHost: x\r\n\r\n"
                                : "PUT /v1/x/pieces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                  "Content-Length: 2\r\n\r\n50");
    for (int k = 0; i % 3 != 0 && k < i % 7; k++)
      if (recv(fd, some, sizeof some, 0) <= 0)
        break;
    close(fd);
  }
}

static void many_come_and_go(void **state) {
  struct rig *rig = rig_open(NULL, 3);
  uv_thread_t threads[4];
  for (int i = 0; i < 4; i++)
    uv_thread_create(&threads[i], come_and_go, rig);
  for (int i = 0; i < 4; i++)
    uv_thread_join(&threads[i]);
  wait_until(&rig->visit_count, 0);
  int fd = client_open(rig);
  client_say(fd, "GET /v1/x/whole HTTP/1.1\r\nHost: x\r\n\r\n");
  struct reply r = client_read(fd, false);
  assert_int_equal(r.status, 201);
  reply_free(&r);
  close(fd);
  rig_close(rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_whole_answer_keeps_the_connection),
      cmocka_unit_test(pieces_come_as_chunks_and_then_the_next_answer),
      cmocka_unit_test(a_client_that_goes_is_missed),
      cmocka_unit_test(what_is_under_way_at_the_end_ends),
      cmocka_unit_test(many_come_and_go),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
