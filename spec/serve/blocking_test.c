/* Blocking reads, Consul's and perigee's own: held until what they read has news, and for no other
 * reason; until their time is over; until nobody waits; until the server stops. What waits is seen
 * by the gauge in /metrics, so that nothing here depends on how long anything takes. */
#include "serve/rig.h"

#define HEALTH "/v1/health/service/web"
#define OWN "/v1/services/web"

static void put_web(const struct rig *rig, const char *id, int port) {
  char body[200];
  snprintf(body, sizeof body,
           "{\"ID\":\"%s\",\"Name\":\"web\",\"Port\":%d,\"Check\":{\"TTL\":\"60s\",\"Status\":"
           "\"passing\"}}",
           id, port);
  assert_int_equal(rig_status_of(rig, "PUT", "/v1/agent/service/register", body), 200);
}

static void put_other(const struct rig *rig, int port) {
  char body[100];
  snprintf(body, sizeof body, "{\"Name\":\"other\",\"Port\":%d}", port);
  assert_int_equal(rig_status_of(rig, "PUT", "/v1/agent/service/register", body), 200);
}

static void script(const struct rig *rig, const char *word) {
  char path[100];
  snprintf(path, sizeof path, "/v1/agent/service/renew/%s", word);
  assert_int_equal(rig_status_of(rig, "PUT", path, NULL), 200);
}

static long number_of(struct reply *r, const char *header) {
  const char *value = reply_header(r, header);
  long n = value ? atol(value) : -1;
  reply_free(r);
  return n;
}

static long consul_index(const struct rig *rig, const char *path) {
  struct reply r = rig_ask(rig, "GET", path, NULL);
  return number_of(&r, "X-Consul-Index");
}

static long own_index(const struct rig *rig, const char *path) {
  struct reply r = rig_ask(rig, "GET", path, NULL);
  return number_of(&r, "X-Perigee-Index");
}

/* Whoever has as many connections as he may asks again: the last one may be about to close. */
static int waiting(const struct rig *rig) {
  struct reply r = rig_ask(rig, "GET", "/metrics", NULL);
  for (int64_t end = clock_real_ns() + PATIENCE_MS * INT64_C(1000000);
       r.status == 429 && clock_real_ns() < end; r = rig_ask(rig, "GET", "/metrics", NULL))
    reply_free(&r);
  const char *at = strstr(r.body, "\nperigee_http_waiting ");
  int n = at ? atoi(at + 22) : -1;
  reply_free(&r);
  return n;
}

static void until_waiting(const struct rig *rig, int wanted) {
  int64_t deadline = clock_real_ns() + PATIENCE_MS * INT64_C(1000000);
  while (waiting(rig) != wanted)
    if (clock_real_ns() > deadline)
      fail_msg("%d requests wait, not %d", waiting(rig), wanted);
}

/* Asks on a connection of its own, which is returned once the request waits. */
static int wait_for(const struct rig *rig, const char *format, long index) {
  char target[200], request[300];
  int before = waiting(rig), fd = client_open(rig);
  snprintf(target, sizeof target, format, index);
  snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: rig\r\n\r\n", target);
  client_say(fd, request);
  until_waiting(rig, before + 1);
  return fd;
}

static struct reply answer_of(int fd) {
  struct reply r = client_read(fd, false);
  close(fd);
  assert_int_equal(r.status, 200);
  return r;
}

static void news_of_the_service_ends_the_wait(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 1);
  put_web(rig, "a", 1);
  long index = consul_index(rig, HEALTH), own = own_index(rig, OWN);
  int consul = wait_for(rig, HEALTH "?index=%ld&wait=60s", index);
  int checks = wait_for(rig, "/v1/health/checks/web?index=%ld", index);
  int list = wait_for(rig, "/v1/catalog/service/web?index=%ld&passing", index);
  int perigee = wait_for(rig, OWN "?index=%ld&wait=1m", own);
  put_other(rig, 7);
  assert_int_equal(waiting(rig), 4);
  put_web(rig, "b", 2);
  struct reply r = answer_of(consul);
  assert_non_null(strstr(r.body, "\"b\""));
  assert_true(number_of(&r, "X-Consul-Index") > index);
  r = answer_of(perigee);
  assert_non_null(strstr(r.body, "\"b\""));
  assert_true(number_of(&r, "X-Perigee-Index") > own);
  r = answer_of(checks);
  reply_free(&r);
  r = answer_of(list);
  reply_free(&r);
  assert_int_equal(waiting(rig), 0);
  rig_close(rig);
}

/* Consul's clients see what a check says; whoever picks does not. */
static void a_checks_output_is_news_for_consuls_clients(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 1);
  put_web(rig, "a", 1);
  int own = wait_for(rig, OWN "?index=%ld", own_index(rig, OWN));
  int consul = wait_for(rig, HEALTH "?index=%ld", consul_index(rig, HEALTH));
  assert_int_equal(rig_status_of(rig, "PUT", "/v1/agent/check/pass/service:a?note=better", NULL),
                   200);
  struct reply r = answer_of(consul);
  assert_non_null(strstr(r.body, "\"Output\":\"better\""));
  reply_free(&r);
  assert_int_equal(waiting(rig), 1);
  close(own);
  rig_close(rig);
}

static void a_registration_is_waited_for_by_its_hash(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 1);
  char path[100];
  put_web(rig, "a", 1);
  struct reply r = rig_ask(rig, "GET", "/v1/agent/service/a", NULL);
  snprintf(path, sizeof path, "/v1/agent/service/a?hash=%.16s&wait=60s",
           reply_header(&r, "X-Consul-Contenthash"));
  reply_free(&r);
  assert_int_equal(rig_status_of(rig, "GET", "/v1/agent/service/a?hash=other", NULL), 200);
  assert_int_equal(rig_status_of(rig, "GET", "/v1/agent/service/b?hash=other", NULL), 404);
  assert_int_equal(rig_status_of(rig, "GET", "/v1/agent/service/a?hash=other&wait=x", NULL), 400);
  int fd = wait_for(rig, path, 0);
  put_other(rig, 7);
  until_waiting(rig, 1);
  put_web(rig, "a", 2);
  r = answer_of(fd);
  assert_non_null(strstr(r.body, "\"Port\":2"));
  reply_free(&r);
  rig_close(rig);
}

static void lists_wait_for_any(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 1);
  long index = consul_index(rig, "/v1/catalog/services");
  int fd = wait_for(rig, "/v1/catalog/services?index=%ld", index);
  put_other(rig, 7);
  struct reply r = answer_of(fd);
  assert_string_equal(r.body, "{\"other\":[]}");
  assert_true(number_of(&r, "X-Consul-Index") > index);
  rig_close(rig);
}

/* A check that goes back and forth wakes who reads checks, and nobody who reads names and tags. */
static void lists_of_names_do_not_wait_for_statuses(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 1);
  put_web(rig, "a", 1);
  int names =
      wait_for(rig, "/v1/catalog/services?index=%ld", consul_index(rig, "/v1/catalog/services"));
  int nodes = wait_for(rig, "/v1/catalog/nodes?index=%ld", consul_index(rig, "/v1/catalog/nodes"));
  long index = consul_index(rig, "/v1/health/state/any");
  for (int i = 0; i < 5; i++) {
    int checks = wait_for(rig, "/v1/health/state/any?index=%ld", index);
    assert_int_equal(
        rig_status_of(rig, "PUT",
                      i % 2 ? "/v1/agent/check/pass/service:a" : "/v1/agent/check/fail/service:a",
                      NULL),
        200);
    struct reply r = answer_of(checks);
    index = number_of(&r, "X-Consul-Index");
    assert_int_equal(waiting(rig), 2);
  }
  put_web(rig, "b", 2);
  struct reply r = answer_of(names);
  assert_string_equal(r.body, "{\"web\":[]}");
  reply_free(&r);
  r = answer_of(nodes);
  reply_free(&r);
  rig_close(rig);
}

/* Of each kind, so that what is watched on demand is not forgotten while somebody reads it. */
static void each_read_is_a_use(void **state) {
  (void)state;
  static const char *const reads[] = {"/v1/health/service/s0", "/v1/health/checks/s1",
                                      "/v1/catalog/service/s2", "/v1/services/s3", "/v1/pick/s4"};
  enum { READS = sizeof reads / sizeof *reads };
  struct rig *rig = rig_open(NULL, 1);
  char text[100];
  put_web(rig, "a", 1);
  put_other(rig, 7);
  for (int i = 0; i < READS; i++) {
    snprintf(text, sizeof text, "{\"Name\":\"s%d\",\"Port\":80}", i);
    assert_int_equal(rig_status_of(rig, "PUT", "/v1/agent/service/register", text), 200);
    assert_int_equal(rig_status_of(rig, "GET", reads[i], NULL), 200);
  }
  int64_t now = clock_now_ns();
  int fd = wait_for(rig, HEALTH "?index=%ld&wait=10m", consul_index(rig, HEALTH));
  rig_stop(rig);
  for (int i = 0; i < READS; i++) {
    snprintf(text, sizeof text, "s%d", i);
    assert_true(view_used(rig->view, text) > 0);
  }
  assert_true(view_used(rig->view, "web") >= now + INT64_C(600000000000));
  assert_int_equal(view_used(rig->view, "other"), 0);
  close(fd);
  rig_free(rig);
}

/* The whole answer, with the index that the client has. */
static void time_runs_out(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 1);
  char target[100];
  put_web(rig, "a", 1);
  long index = consul_index(rig, HEALTH), own = own_index(rig, OWN);
  snprintf(target, sizeof target, HEALTH "?index=%ld&wait=20ms", index);
  assert_int_equal(consul_index(rig, target), index);
  struct reply r = rig_ask(rig, "GET", target, NULL);
  assert_non_null(strstr(r.body, "\"Service\":\"web\""));
  reply_free(&r);
  snprintf(target, sizeof target, OWN "?index=%ld&wait=20ms", own);
  assert_int_equal(own_index(rig, target), own);
  assert_int_equal(own_index(rig, "/v1/services/nobody?index=1&wait=20ms"), 1);
  assert_int_equal(rig_status_of(rig, "GET", "/v1/services/nobody?index=1&wait=20ms", NULL), 404);
  rig_close(rig);
}

static void what_is_not_known_is_answered_at_once(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 1);
  char target[100];
  put_web(rig, "a", 1);
  long index = consul_index(rig, HEALTH), own = own_index(rig, OWN);
  assert_int_equal(consul_index(rig, HEALTH "?index=0&wait=10m"), index);
  assert_int_equal(consul_index(rig, HEALTH "?index=&wait="), index);
  snprintf(target, sizeof target, HEALTH "?index=%ld", index - 1);
  assert_int_equal(consul_index(rig, target), index);
  assert_int_equal(own_index(rig, OWN "?index=0&wait=10m"), own);
  /* One that another agent has given: it says nothing here. */
  assert_int_equal(own_index(rig, OWN "?index=999999999"), own);
  snprintf(target, sizeof target, OWN "?index=%ld&stale=true", own);
  assert_int_equal(own_index(rig, target), own);
  static const char *const paths[] = {HEALTH, OWN, "/v1/catalog/services"};
  for (size_t i = 0; i < 3; i++) {
    snprintf(target, sizeof target, "%s?index=x", paths[i]);
    assert_answer(rig, "GET", target, NULL, 400, "Invalid index");
    snprintf(target, sizeof target, "%s?index=%ld&wait=-1s", paths[i], own);
    assert_answer(rig, "GET", target, NULL, 400, "Invalid wait time");
  }
  snprintf(target, sizeof target, HEALTH "?index=%ld&passing=maybe", index);
  assert_answer(rig, "GET", target, NULL, 400, "Invalid value for ?passing");
  assert_answer(rig, "GET", "/v1/health/service/?index=99999", NULL, 400, "Missing service name");
  assert_int_equal(waiting(rig), 0);
  rig_close(rig);
}

/* One that is not there yet is waited for; of one that ends, its watchers hear once. */
static void services_come_and_go(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 1);
  long none = consul_index(rig, HEALTH), own_none = own_index(rig, OWN);
  assert_true(none >= 1 && own_none >= 1);
  int consul = wait_for(rig, HEALTH "?index=%ld", none);
  int own = wait_for(rig, OWN "?index=%ld", own_none);
  put_web(rig, "a", 1);
  struct reply r = answer_of(consul);
  assert_non_null(strstr(r.body, "\"ID\":\"a\""));
  long index = number_of(&r, "X-Consul-Index");
  assert_true(index > none);
  r = answer_of(own);
  long own_had = number_of(&r, "X-Perigee-Index");
  consul = wait_for(rig, HEALTH "?index=%ld", index);
  own = wait_for(rig, OWN "?index=%ld", own_had);
  script(rig, "end:web");
  r = answer_of(consul);
  assert_string_equal(r.body, "[]");
  long ended = number_of(&r, "X-Consul-Index");
  assert_true(ended > index);
  r = client_read(own, false);
  close(own);
  assert_int_equal(r.status, 404);
  assert_true(number_of(&r, "X-Perigee-Index") > own_had);
  consul = wait_for(rig, HEALTH "?index=%ld", ended);
  put_other(rig, 7);
  assert_int_equal(waiting(rig), 1);
  close(consul);
  rig_close(rig);
}

/* Another perigee marks it, too. For Consul's clients an equal answer is no news. */
static void staleness_is_news_for_perigees(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 1);
  put_web(rig, "a", 1);
  int consul = wait_for(rig, HEALTH "?index=%ld", consul_index(rig, HEALTH));
  int own = wait_for(rig, OWN "?index=%ld&stale=false", own_index(rig, OWN));
  script(rig, "stale:web");
  struct reply r = answer_of(own);
  assert_non_null(reply_header(&r, "X-Perigee-Stale"));
  assert_non_null(strstr(r.body, "\"stale\":true"));
  own = wait_for(rig, OWN "?index=%ld&stale=true", number_of(&r, "X-Perigee-Index"));
  script(rig, "current:web");
  r = answer_of(own);
  assert_null(reply_header(&r, "X-Perigee-Stale"));
  reply_free(&r);
  assert_int_equal(waiting(rig), 1);
  close(consul);
  rig_close(rig);
}

static void who_hangs_up_waits_no_more(void **state) {
  (void)state;
  struct rig *rig = rig_open(&(struct server_limits){.connections_per_client = 3}, 1);
  put_web(rig, "a", 1);
  int first = wait_for(rig, HEALTH "?index=%ld", consul_index(rig, HEALTH));
  int second = wait_for(rig, OWN "?index=%ld", own_index(rig, OWN));
  int third, fourth;
  bool admitted;
  struct reply r;
  do { /* until the one of the question before has closed */
    third = client_open(rig);
    client_say(third, "GET /healthz HTTP/1.1\r\nHost: rig\r\n\r\n");
    r = client_read(third, false);
    admitted = r.status == 200;
    reply_free(&r);
  } while (!admitted && close(third) == 0);
  fourth = client_open(rig);
  r = client_read(fourth, false);
  assert_int_equal(r.status, 429);
  assert_non_null(strstr(r.body, "http_max_conns_per_client"));
  reply_free(&r);
  close(fourth);
  close(third);
  close(first);
  close(second);
  until_waiting(rig, 0);
  rig_close(rig);
}

/* What came behind a request that waits is answered after it, in its order. */
static void a_pipeline_waits_behind_it(void **state) {
  (void)state;
  struct rig *rig = rig_open(NULL, 1);
  put_web(rig, "a", 1);
  int fd = wait_for(rig, HEALTH "?index=%ld", consul_index(rig, HEALTH));
  client_say(fd, "GET /healthz HTTP/1.1\r\nHost: rig\r\n\r\n");
  put_web(rig, "b", 2);
  struct reply r = client_read(fd, false);
  assert_non_null(strstr(r.body, "\"ID\":\"b\""));
  reply_free(&r);
  r = client_read(fd, false);
  assert_string_equal(r.body, "ok\n");
  reply_free(&r);
  close(fd);
  rig_close(rig);
}

static void a_stop_answers_all(void **state) {
  (void)state;
  enum { MANY = 20 };
  struct rig *rig = rig_open(NULL, 2);
  int fds[MANY];
  put_web(rig, "a", 1);
  long index = consul_index(rig, HEALTH);
  for (int i = 0; i < MANY; i++)
    fds[i] = wait_for(rig, HEALTH "?index=%ld", index);
  rig_stop(rig);
  for (int i = 0; i < MANY; i++) {
    struct reply r = client_read(fds[i], false);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_header(&r, "Connection"), "close");
    assert_int_equal(number_of(&r, "X-Consul-Index"), index);
    assert_true(client_closed(fds[i]));
    close(fds[i]);
  }
  rig_free(rig);
}

/* Many, on several workers, while services change: nobody misses the last one, whichever way it
 * raced with the asking. */
static void nobody_misses_a_change(void **state) {
  (void)state;
  enum { CLIENTS = 40, CHANGES = 50 };
  struct rig *rig = rig_open(NULL, 3);
  int fds[CLIENTS];
  long known[CLIENTS] = {0};
  char request[200];
  put_web(rig, "a", 1);
  for (int i = 0; i < CLIENTS; i++)
    fds[i] = client_open(rig);
  for (int change = 2; change <= CHANGES; change++) {
    for (int i = 0; i < CLIENTS; i++) {
      snprintf(request, sizeof request,
               "GET " HEALTH "?index=%ld&wait=60s HTTP/1.1\r\nHost: rig\r\n\r\n", known[i]);
      client_say(fds[i], request);
      if (i == CLIENTS / 2)
        put_web(rig, "a", change);
    }
    for (int i = 0; i < CLIENTS; i++) {
      struct reply r = client_read(fds[i], false);
      assert_int_equal(r.status, 200);
      long index = atol(reply_header(&r, "X-Consul-Index"));
      assert_true(index > known[i]);
      known[i] = index;
      reply_free(&r);
    }
  }
  for (int i = 0; i < CLIENTS; i++)
    close(fds[i]);
  rig_close(rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(news_of_the_service_ends_the_wait),
      cmocka_unit_test(a_checks_output_is_news_for_consuls_clients),
      cmocka_unit_test(a_registration_is_waited_for_by_its_hash),
      cmocka_unit_test(lists_wait_for_any),
      cmocka_unit_test(lists_of_names_do_not_wait_for_statuses),
      cmocka_unit_test(each_read_is_a_use),
      cmocka_unit_test(time_runs_out),
      cmocka_unit_test(what_is_not_known_is_answered_at_once),
      cmocka_unit_test(services_come_and_go),
      cmocka_unit_test(staleness_is_news_for_perigees),
      cmocka_unit_test(who_hangs_up_waits_no_more),
      cmocka_unit_test(a_pipeline_waits_behind_it),
      cmocka_unit_test(a_stop_answers_all),
      cmocka_unit_test(nobody_misses_a_change),
  };
  return cmocka_run_group_tests_name("serve blocking", tests, NULL, NULL);
}
