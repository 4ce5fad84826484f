/* What a server on a port gets to hear: too large, too slow, too many, not HTTP at all. Each is
 * answered in words where HTTP allows it, and the next client is served as before. */
#include "serve/rig.h"

enum { HEAD_BYTES = 4096, BODY_BYTES = 65536, CLIENTS = 20, ALL = 30 };

/* Deadlines that nobody misses by chance. */
static const struct server_limits limits = {.connections = ALL,
                                            .connections_per_client = CLIENTS,
                                            .header_ms = PATIENCE_MS,
                                            .body_ms = PATIENCE_MS,
                                            .idle_ms = 3 * PATIENCE_MS,
                                            .write_ms = PATIENCE_MS,
                                            .head_bytes = HEAD_BYTES,
                                            .body_bytes = BODY_BYTES,
                                            .output_bytes = 65536};

static int open_rig(void **state) {
  *state = rig_open(&limits, 1);
  return 0;
}

/* And such that a slow client misses soon; only what happens is checked, not when. */
static int open_hasty_rig(void **state) {
  struct server_limits hasty = limits;
  hasty.header_ms = hasty.body_ms = 200;
  hasty.write_ms = 300;
  *state = rig_open(&hasty, 1);
  return 0;
}

static int close_rig(void **state) {
  rig_close(*state);
  return 0;
}

static void assert_alive(const struct rig *rig) {
  assert_answer(rig, "GET", "/healthz", NULL, 200, "ok\n");
}

/* But for who asks; until there is room for that one, the answer is 429 or 503. */
static void wait_for_all_to_be_gone(const struct rig *rig) {
  int64_t until = clock_now_ns() + (int64_t)PATIENCE_MS * 1000000;
  for (bool gone = false; !gone;) {
    struct reply r = rig_ask(rig, "GET", "/metrics", NULL);
    gone = r.status == 200 && strstr(r.body, "\nperigee_http_connections 1\n");
    reply_free(&r);
    assert_true(clock_now_ns() < until);
  }
}

/* Sends the bytes; the answer has the status, and the connection ends. */
static void assert_refused(const struct rig *rig, const char *bytes, size_t length, int status) {
  int fd = client_open(rig);
  client_send(fd, bytes, length);
  struct reply r = client_read(fd, false);
  if (r.status != status)
    fail_msg("%d instead of %d for %.60s", r.status, status, bytes);
  assert_true(r.length > 0);
  assert_string_equal(reply_header(&r, "Connection"), "close");
  assert_true(client_closed(fd));
  reply_free(&r);
  close(fd);
  assert_alive(rig);
}

static void refuse_text(const struct rig *rig, const char *text, int status) {
  assert_refused(rig, text, strlen(text), status);
}

static void a_request_line_of_a_mebibyte(void **state) {
  size_t n = 1 << 20;
  char *line = malloc(n);
  memset(line, 'a', n);
  memcpy(line, "GET /", 5);
  assert_refused(*state, line, n, 414);
  free(line);
}

static void headers_without_end(void **state) {
  size_t n = 100000;
  char *text = calloc(1, n + 100);
  strcpy(text, "GET / HTTP/1.1\r\nHost: a\r\n");
  while (strlen(text) < n - 50)
    strcat(text + strlen(text), "X-More: 0123456789012345678901234567\r\n");
  assert_refused(*state, text, strlen(text), 431);
  strcpy(text, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
  size_t at = strlen(text);
  memset(text + at, 'b', n - at);
  assert_refused(*state, text, n, 431);
  memset(text + at, ' ', n - at); /* blanks before a value, which the parser tells nobody of */
  assert_refused(*state, text, n, 431);
  free(text);
}

static void not_http(void **state) {
  refuse_text(*state, "\x16\x03\x01\x02\x01\x01\x01\xfc\x03\x03 a TLS hello", 400);
  refuse_text(*state, "HELO there\r\n\r\n", 400);
  refuse_text(*state, "GET / HTTP/1.1\r\nHost: a\r\nBroken header\r\n\r\n", 400);
  refuse_text(*state, "GET / HTTP/9.9\r\n\r\n", 400);
  refuse_text(*state, "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
  refuse_text(*state, "GET / HTTP/1.1\r\n\r\n", 400); /* no Host */
  refuse_text(*state, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
  refuse_text(*state, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405);
  refuse_text(*state, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n",
              417);
}

static void smuggling_is_refused(void **state) {
  refuse_text(*state,
              "PUT /v1/agent/service/register HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
              "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
              400);
  refuse_text(*state, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
              400);
  refuse_text(*state, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400);
}

static void nul_bytes_and_bad_escapes(void **state) {
  static const char line[] = "GET /v1/pick/a\0b HTTP/1.1\r\nHost: a\r\n\r\n";
  assert_refused(*state, line, sizeof line - 1, 400);
  static const char header[] = "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n";
  assert_refused(*state, header, sizeof header - 1, 400);
  static const char *const targets[] = {"/v1/pick/a%00b", "/v1/pick/%zz",      "/v1/pick/a%2",
                                        "/v1/pick/%",     "/v1/pick/a?key=%f", "/v1/pick/%0a"};
  for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
    assert_int_equal(rig_status_of(*state, "GET", targets[i], NULL), 400);
}

static void bodies_too_large(void **state) {
  struct rig *rig = *state;
  refuse_text(rig,
              "PUT /v1/agent/service/register HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n"
              "\r\n",
              413);
  /* In chunks, where the length is not said before. */
  int fd = client_open(rig);
  client_say(fd, "PUT /v1/agent/service/register HTTP/1.1\r\nHost: a\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n");
  char chunk[4096 + 8] = "1000\r\n";
  memset(chunk + 6, ' ', 4096);
  memcpy(chunk + 6 + 4096, "\r\n", 2);
  for (int i = 0; i < 40 && client_send(fd, chunk, sizeof chunk); i++)
    ;
  struct reply r = client_read(fd, false);
  assert_int_equal(r.status, 413);
  reply_free(&r);
  close(fd);
  assert_alive(rig);
}

static void slow_loris(void **state) {
  struct rig *rig = *state;
  static const char *const begun[] = {
      "GET /healthz HT", "GET /healthz HTTP/1.1\r\nHost: a\r\nX: ",
      "PUT /v1/agent/service/register HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{\"Na"};
  for (int i = 0; i < 3; i++) {
    int fd = client_open(rig);
    client_say(fd, begun[i]);
    struct reply r = client_read(fd, false);
    assert_int_equal(r.status, 408);
    assert_true(client_closed(fd));
    reply_free(&r);
    close(fd);
  }
  assert_alive(rig);
}

/* Trickling does not buy time: the deadline is the whole head's. */
static void slow_loris_that_trickles(void **state) {
  struct rig *rig = *state;
  int fd = client_open(rig);
  client_say(fd, "GET /healthz HTTP/1.1\r\n");
  struct pollfd p = {.fd = fd, .events = POLLIN};
  for (int i = 0; i < 1000 && poll(&p, 1, 20) == 0; i++)
    client_say(fd, "X: y\r\n");
  struct reply r = client_read(fd, false);
  assert_int_equal(r.status, 408);
  reply_free(&r);
  close(fd);
}

/* Asks for much and reads nothing: it is not read from for ever, and in the end is closed. */
static void a_client_that_does_not_read(void **state) {
  struct rig *rig = *state;
  int fd = client_open(rig), small = 4096;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  static const char request[] = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
  size_t sent = 0;
  while (sent < (64u << 20) && client_send(fd, request, sizeof request - 1))
    sent += sizeof request - 1;
  assert_true(sent < (64u << 20)); /* it was closed, and long before it had read so much */
  close(fd);
  assert_alive(rig);
}

static void pipelined_in_order(void **state) {
  struct rig *rig = *state;
  int fd = client_open(rig);
  /* The second waits for the control thread; the third must not overtake it. */
  client_say(fd, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
                 "GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n"
                 "GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n\r\n"
                 "HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
                 "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
  static const char *const bodies[] = {"ok\n", "{\"rig\":true}", "\"127.0.0.1:8300\""};
  for (int i = 0; i < 3; i++) {
    struct reply r = client_read(fd, false);
    assert_int_equal(r.status, 200);
    assert_string_equal(r.body, bodies[i]);
    reply_free(&r);
  }
  struct reply r = client_read(fd, true);
  assert_int_equal(r.status, 200);
  assert_string_equal(reply_header(&r, "Content-Length"), "3");
  reply_free(&r);
  r = client_read(fd, false);
  assert_int_equal(r.status, 404);
  reply_free(&r);
  /* And garbage after a request: the request is answered, then the garbage is refused. */
  client_say(fd, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n\x01\x02garbage\r\n\r\n");
  r = client_read(fd, false);
  assert_int_equal(r.status, 200);
  reply_free(&r);
  r = client_read(fd, false);
  assert_int_equal(r.status, 400);
  reply_free(&r);
  assert_true(client_closed(fd));
  close(fd);
}

static void many_pipelined_requests(void **state) {
  struct rig *rig = *state;
  enum { N = 5000 };
  static const char request[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
  char *all = malloc(N * (sizeof request - 1));
  for (int i = 0; i < N; i++)
    memcpy(all + (size_t)i * (sizeof request - 1), request, sizeof request - 1);
  int fd = client_open(rig);
  assert_true(client_send(fd, all, N * (sizeof request - 1)));
  for (int i = 0; i < N; i++) {
    struct reply r = client_read(fd, false);
    assert_int_equal(r.status, 200);
    reply_free(&r);
  }
  close(fd);
  free(all);
}

static void expect_continue(void **state) {
  struct rig *rig = *state;
  int fd = client_open(rig);
  client_say(fd, "PUT /v1/agent/service/register HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                 "Content-Length: 14\r\n\r\n");
  struct reply r = client_read(fd, false);
  assert_int_equal(r.status, 100);
  reply_free(&r);
  client_say(fd, "{\"Name\":\"cont\"}");
  r = client_read(fd, false);
  assert_int_equal(r.status, 400); /* one byte short of a JSON object, as the length said */
  reply_free(&r);
  close(fd);
  refuse_text(rig,
              "PUT /v1/agent/service/register HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
              "Content-Length: 99999999\r\n\r\n",
              413);
}

static void chunked_and_byte_by_byte(void **state) {
  struct rig *rig = *state;
  static const char request[] =
      "PUT /v1/agent/service/register HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\n{\"Nam\r\nb;x=y\r\ne\":\"bytes\"}\r\n0\r\nTrailer: t\r\n\r\n";
  int fd = client_open(rig);
  for (size_t i = 0; i < sizeof request - 1; i++)
    assert_true(client_send(fd, request + i, 1));
  struct reply r = client_read(fd, false);
  assert_int_equal(r.status, 200);
  reply_free(&r);
  close(fd);
  assert_int_equal(rig_status_of(rig, "GET", "/v1/agent/service/bytes", NULL), 200);
}

static void http_1_0_and_half_closed(void **state) {
  struct rig *rig = *state;
  int fd = client_open(rig);
  client_say(fd, "GET /healthz HTTP/1.0\r\n\r\n");
  struct reply r = client_read(fd, false);
  assert_int_equal(r.status, 200);
  assert_true(client_closed(fd));
  reply_free(&r);
  close(fd);
  fd = client_open(rig);
  client_say(fd, "GET /v1/status HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  r = client_read(fd, false);
  assert_string_equal(reply_header(&r, "Connection"), "keep-alive");
  reply_free(&r);
  /* The last request, and the end of input in the same breath. */
  client_say(fd, "GET /v1/status HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  shutdown(fd, SHUT_WR);
  r = client_read(fd, false);
  assert_int_equal(r.status, 200);
  reply_free(&r);
  assert_true(client_closed(fd));
  close(fd);
}

static void a_client_that_leaves_while_it_waits(void **state) {
  struct rig *rig = *state;
  rig_hold(rig, true);
  int fd = client_open(rig);
  client_say(fd, "GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n");
  int64_t until = clock_now_ns() + (int64_t)PATIENCE_MS * 1000000;
  while (rig->held == 0 && clock_now_ns() < until)
    sched_yield();
  assert_int_equal(rig->held, 1);
  close(fd);
  assert_alive(rig);
  rig_hold(rig, false);
  assert_int_equal(rig_status_of(rig, "GET", "/v1/status", NULL), 200);
}

/* A reset while answers are on their way, many times over. */
static void clients_that_reset(void **state) {
  struct rig *rig = *state;
  struct linger now = {.l_onoff = 1};
  for (int i = 0; i < 100; i++) {
    int fd = client_open(rig);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    for (int k = 0; k < 20; k++)
      client_say(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    close(fd);
  }
  wait_for_all_to_be_gone(rig);
}

static void connection_floods(void **state) {
  struct rig *rig = *state;
  int fds[CLIENTS];
  for (int i = 0; i < CLIENTS; i++) {
    fds[i] = client_open(rig);
    client_say(fds[i], "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    struct reply r = client_read(fds[i], false);
    assert_int_equal(r.status, 200);
    reply_free(&r);
  }
  for (int i = 0; i < 5; i++) {
    int fd = client_open(rig);
    struct reply r = client_read(fd, false);
    assert_int_equal(r.status, 429);
    assert_true(client_closed(fd));
    reply_free(&r);
    close(fd);
  }
  /* Those that were there are served on, and one that goes makes room for one. */
  client_say(fds[0], "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  struct reply r = client_read(fds[0], false);
  assert_int_equal(r.status, 200);
  assert_true(client_closed(fds[0]));
  reply_free(&r);
  for (int i = 0; i < CLIENTS; i++)
    close(fds[i]);
  wait_for_all_to_be_gone(rig);
}

static int unix_client(const struct rig *rig) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  snprintf(a.sun_path, sizeof a.sun_path, "%s/perigee.sock", rig->dir);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
  return fd;
}

static void too_many_in_all(void **state) {
  struct rig *rig = *state;
  int fds[ALL];
  for (int i = 0; i < ALL; i++) { /* the unix socket has no limit for one client */
    fds[i] = unix_client(rig);
    client_say(fds[i], "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    struct reply r = client_read(fds[i], false);
    assert_int_equal(r.status, 200);
    reply_free(&r);
  }
  int fd = client_open(rig);
  struct reply r = client_read(fd, false);
  assert_int_equal(r.status, 503);
  assert_non_null(strstr(r.body, "as many connections as it serves"));
  reply_free(&r);
  close(fd);
  for (int i = 0; i < ALL; i++)
    close(fds[i]);
  wait_for_all_to_be_gone(rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_request_line_of_a_mebibyte),
      cmocka_unit_test(headers_without_end),
      cmocka_unit_test(not_http),
      cmocka_unit_test(smuggling_is_refused),
      cmocka_unit_test(nul_bytes_and_bad_escapes),
      cmocka_unit_test(bodies_too_large),
      cmocka_unit_test_setup_teardown(slow_loris, open_hasty_rig, close_rig),
      cmocka_unit_test_setup_teardown(slow_loris_that_trickles, open_hasty_rig, close_rig),
      cmocka_unit_test_setup_teardown(a_client_that_does_not_read, open_hasty_rig, close_rig),
      cmocka_unit_test(pipelined_in_order),
      cmocka_unit_test(many_pipelined_requests),
      cmocka_unit_test(expect_continue),
      cmocka_unit_test(chunked_and_byte_by_byte),
      cmocka_unit_test(http_1_0_and_half_closed),
      cmocka_unit_test(a_client_that_leaves_while_it_waits),
      cmocka_unit_test(clients_that_reset),
      cmocka_unit_test(connection_floods),
      cmocka_unit_test(too_many_in_all),
  };
  return cmocka_run_group_tests_name("serve hostile", tests, open_rig, close_rig);
}
