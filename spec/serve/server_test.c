/* The server as a whole: who may start it, who is on its port, what its socket is, how it stops. */
#include "serve/rig.h"

#include <sys/stat.h>
#include <sys/wait.h>

static void a_port_that_another_perigee_has(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 2);
  char address[40], dir[] = "/tmp/perigee-serve-XXXXXX";
  snprintf(address, sizeof address, "127.0.0.1:%u", rig->port);
  assert_non_null(mkdtemp(dir));
  struct server_config config = {.http = address, .run_dir = dir, .workers = 1};
  struct server *s;
  struct fault f = {0};
  uv_loop_t loop;
  uv_loop_init(&loop);
  assert_int_equal(server_start(&loop, &config, rig->view, &rig_requests, rig, &s, &f),
                   -EADDRINUSE);
  assert_non_null(strstr(f.text, "is taken by another perigee (node n1)"));
  assert_int_equal(uv_loop_close(&loop), 0);
  rmdir(dir);
  rig_close(rig);
}

struct other {
  int fd;
  const char *answer;
  char asked[1000];
};

/* One connection's worth of some other program. */
static void other_program(void *arg) {
  struct other *o = arg;
  int fd = accept(o->fd, NULL, NULL);
  if (fd >= 0 && recv(fd, o->asked, sizeof o->asked - 1, 0) > 0)
    send(fd, o->answer, strlen(o->answer), MSG_NOSIGNAL);
  close(fd);
}

static void start_beside(const char *answer, const char *expected) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(listen(fd, 5), 0);
  getsockname(fd, (struct sockaddr *)&a, &size);
  struct other other = {.fd = fd, .answer = answer};
  uv_thread_t thread;
  uv_thread_create(&thread, other_program, &other);
  char address[40], dir[] = "/tmp/perigee-serve-XXXXXX";
  snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(a.sin_port));
  assert_non_null(mkdtemp(dir));
  struct server_config config = {.http = address, .run_dir = dir, .workers = 1};
  struct view *v;
  struct server *s;
  struct fault f = {0};
  uv_loop_t loop;
  uv_loop_init(&loop);
  assert_int_equal(view_new(&(struct view_node){0}, 1, &v), 0);
  assert_int_equal(server_start(&loop, &config, v, &rig_requests, NULL, &s, &f), -EADDRINUSE);
  if (!strstr(f.text, expected))
    fail_msg("%s\n  expected: %s", f.text, expected);
  assert_non_null(strstr(f.text, "--http HOST:PORT"));
  uv_thread_join(&thread);
  assert_non_null(strstr(other.asked, "GET /v1/agent/self "));
  view_free(v);
  uv_loop_close(&loop);
  close(fd);
  rmdir(dir);
}

static void a_port_that_consul_has(void **state) {
  (void)state;
  start_beside(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"Config\": {\"Datacenter\":"
      " \"dc1\", \"NodeName\": \"n7\", \"Version\": \"1.9.17\"}, \"DebugConfig\": {}}",
      "is taken by a Consul agent (node n7)");
}

static void a_port_that_something_else_has(void **state) {
  (void)state;
  start_beside("220 mail.example ESMTP\r\n", "is taken by another program");
  start_beside("HTTP/1.1 200 OK\r\n\r\n{\"Config\": 7", "is taken by another program");
}

static void addresses_that_are_none(void **state) {
  (void)state;
  static const char *const addresses[] = {"127.0.0.1", "127.0.0.1:99999", "192.0.2.1:80", "no way"};
  struct view *v;
  assert_int_equal(view_new(&(struct view_node){0}, 1, &v), 0);
  for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
    struct server_config config = {.http = addresses[i], .run_dir = "/tmp", .workers = 1};
    struct server *s;
    struct fault f = {0};
    uv_loop_t loop;
    uv_loop_init(&loop);
    assert_true(server_start(&loop, &config, v, &rig_requests, NULL, &s, &f) < 0);
    assert_true(f.text[0] != 0);
    assert_int_equal(uv_loop_close(&loop), 0);
  }
  view_free(v);
}

enum from { FROM_ANOTHER_PROCESS, FROM_THE_AGENT };

static int operator_open(const struct rig *rig, enum from from) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  snprintf(a.sun_path, sizeof a.sun_path, "%s/perigee.sock", rig->dir);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0), status = 0;
  /* The peer of a socket is whoever called connect. */
  pid_t child = from == FROM_ANOTHER_PROCESS ? fork() : 0;
  if (child == 0)
    status = connect(fd, (struct sockaddr *)&a, sizeof a);
  if (child == 0 && from == FROM_ANOTHER_PROCESS)
    _exit(status != 0);
  if (from == FROM_ANOTHER_PROCESS)
    assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  return fd;
}

/* What a request over the unix socket is answered with. `expected` NULL: any body. */
static void says(const struct rig *rig, enum from from, const char *line, const char *body,
                 int status, const char *expected) {
  char request[400];
  snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s", line,
           strlen(body), body);
  int fd = operator_open(rig, from);
  client_say(fd, request);
  struct reply r = client_read(fd, false);
  assert_int_equal(r.status, status);
  if (expected)
    assert_string_equal(r.body, expected);
  reply_free(&r);
  close(fd);
}

static void what_operates_the_agent(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 1);
  enum from someone = FROM_ANOTHER_PROCESS;
  says(rig, someone, "POST /v1/operate/echo", "{\"a\":1}", 200, "{\"a\":1}");
  says(rig, someone, "POST /v1/operate/ech", "", 404, "no such verb");
  says(rig, someone, "GET /v1/operate/echo", "", 405, NULL);
  says(rig, FROM_THE_AGENT, "POST /v1/operate/echo", "{}", 403, NULL);
  says(rig, FROM_THE_AGENT, "GET /healthz", "", 200, NULL);
  assert_int_equal(rig_status_of(rig, "POST", "/v1/operate/echo", "{}"), 403);
  rig_close(rig);
}

static void the_unix_socket(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 2);
  char path[100];
  struct stat st;
  snprintf(path, sizeof path, "%s/perigee.sock", rig->dir);
  assert_int_equal(stat(path, &st), 0);
  assert_true(S_ISSOCK(st.st_mode));
  assert_int_equal(st.st_mode & 0777, 0600);
  says(rig, FROM_ANOTHER_PROCESS, "PUT /v1/agent/service/register", "{\"Name\":\"unix\"}", 200,
       NULL);
  says(rig, FROM_ANOTHER_PROCESS, "GET /v1/status", "", 200, NULL);
  rig_close(rig);
  assert_int_equal(stat(path, &st), -1);
}

/* What waits for the control thread when the server is told to stop is still answered. */
static void a_stop_answers_what_is_in_flight(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 2);
  rig_hold(rig, true);
  int idle = client_open(rig), busy = client_open(rig);
  client_say(idle, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
  struct reply r = client_read(idle, false);
  reply_free(&r);
  client_say(busy, "GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n");
  int64_t until = clock_now_ns() + (int64_t)PATIENCE_MS * 1000000;
  while (rig->held == 0 && clock_now_ns() < until)
    sched_yield();
  uv_async_send(&rig->stop);
  assert_true(client_closed(idle));
  rig_hold(rig, false);
  r = client_read(busy, false);
  assert_int_equal(r.status, 200);
  assert_string_equal(reply_header(&r, "Connection"), "close");
  reply_free(&r);
  assert_true(client_closed(busy));
  close(idle);
  close(busy);
  rig_close(rig);
}

/* The agent may answer after all is gone: nobody hears it, and nothing is touched that was freed.
 */
static void a_reply_after_the_stop(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 1);
  rig_hold(rig, true);
  int fd = client_open(rig);
  client_say(fd, "GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n");
  int64_t until = clock_now_ns() + (int64_t)PATIENCE_MS * 1000000;
  while (rig->held == 0 && clock_now_ns() < until)
    sched_yield();
  rig_stop(rig);
  struct reply r = client_read(fd, false);
  assert_int_equal(r.status, 0);
  reply_free(&r);
  close(fd);
  rig->waiting[0].reply(rig->waiting[0].to, 0, "{}");
  rig_free(rig);
}

/* Others are answered while it waits for the control thread. */
static void an_answer_that_took_its_time_is_still_its_own(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 1);
  rig_hold(rig, true);
  int fds[] = {client_open(rig), client_open(rig)};
  client_say(fds[0], "GET /v1/pick/first HTTP/1.1\r\nHost: a\r\n\r\n");
  int64_t until = clock_real_ns() + (int64_t)PATIENCE_MS * 1000000;
  while (rig->held < 1 && clock_real_ns() < until)
    sched_yield();
  client_say(fds[1], "GET /v1/pick/the-second-one HTTP/1.1\r\nHost: a\r\n\r\n");
  while (rig->held < 2 && clock_real_ns() < until)
    sched_yield();
  rig_hold(rig, false);
  static const char *const named[] = {"\"first\"", "\"the-second-one\""};
  for (int i = 0; i < 2; i++) {
    struct reply r = client_read(fds[i], false);
    assert_int_equal(r.status, 404);
    assert_non_null(strstr(r.body, named[i]));
    reply_free(&r);
    close(fds[i]);
  }
  rig_close(rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_port_that_another_perigee_has),
      cmocka_unit_test(a_port_that_consul_has),
      cmocka_unit_test(a_port_that_something_else_has),
      cmocka_unit_test(addresses_that_are_none),
      cmocka_unit_test(the_unix_socket),
      cmocka_unit_test(what_operates_the_agent),
      cmocka_unit_test(an_answer_that_took_its_time_is_still_its_own),
      cmocka_unit_test(a_stop_answers_what_is_in_flight),
      cmocka_unit_test(a_reply_after_the_stop),
  };
  return cmocka_run_group_tests_name("serve server", tests, NULL, NULL);
}
