/* What fetch promises, against node's servers on loopback. */
#include "io/fixture.h"
#include "io/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "io/fetch.h"
#include "io/resolve.h"

static struct peer peer;

struct outcome {
  bool done, read, written;
  int error, status, calls;
  char text[4096], fault[512], url[256], header[128];
  size_t length;
  ssize_t n;
};

static void note_response(void *arg, int error, const struct fetch_response *r,
                          const struct fault *fault) {
  struct outcome *o = arg;
  o->done = true;
  o->calls++;
  o->error = error;
  if (fault)
    snprintf(o->fault, sizeof o->fault, "%s", fault->text);
  if (!r)
    return;
  o->status = r->status;
  snprintf(o->url, sizeof o->url, "%s", r->url);
  o->length = r->body_length;
  if (r->body)
    snprintf(o->text, sizeof o->text, "%s", r->body);
  for (size_t i = 0; i < r->header_count; i++)
    if (strcasecmp(r->headers[i].name, "x-peer") == 0)
      snprintf(o->header, sizeof o->header, "%s", r->headers[i].value);
}

static void note_read(void *arg, ssize_t n, const char *data) {
  struct outcome *o = arg;
  o->read = true;
  o->n = n;
  if (n > 0) {
    o->length += (size_t)n;
    if (n < (ssize_t)sizeof o->text) {
      memcpy(o->text, data, (size_t)n);
      o->text[n] = '\0';
    }
  }
}

static void note_written(void *arg, int status) {
  struct outcome *o = arg;
  o->written = true;
  o->error = status;
}

static const char *url_of(int port, const char *host, const char *path) {
  static char url[512];
  snprintf(url, sizeof url, "%s://%s:%d%s", port == peer.https ? "https" : "http", host, port,
           path);
  return url;
}

static const char *here(const char *path) {
  return url_of(peer.http, "127.0.0.1", path);
}

/* Starts, waits and closes. */
static void ask(struct fixture *fx, struct fetch_options *options, struct outcome *o) {
  struct fetch *f;
  struct fault fault;
  *o = (struct outcome){0};
  if (!options->method)
    options->method = "GET";
  int rc = fetch_start(fx->io, options, note_response, o, &f, &fault);
  if (rc < 0)
    fail_msg("fetch_start: %d %s", rc, fault.text);
  assert_false(o->done); /* never from within the starting call */
  run_until(fx, &o->done);
  fetch_close(f);
}

#define GET(fx, o, ...) ask(fx, &(struct fetch_options){__VA_ARGS__}, o)

static void answers(void **state) {
  struct outcome o;
  GET(*state, &o, .url = here("/hello"));
  assert_int_equal(o.error, 0);
  assert_int_equal(o.status, 200);
  assert_string_equal(o.text, "hello");
  assert_string_equal(o.header, "yes");
  GET(*state, &o, .url = here("/status/503"));
  assert_int_equal(o.status, 503); /* any status is a response here */
  GET(*state, &o, .url = here("/hello"), .method = "HEAD");
  assert_int_equal(o.status, 200);
  assert_int_equal(o.length, 0);
}

static void sends_method_headers_and_body(void **state) {
  struct outcome o;
  const char *headers[] = {"X-One: 1", "X-Empty:", NULL};
  GET(*state, &o, .url = here("/echo?a=b"), .method = "PUT", .headers = headers, .body = "the body",
      .body_length = 8);
  assert_non_null(strstr(o.text, "\"method\":\"PUT\""));
  assert_non_null(strstr(o.text, "\"x-one\":\"1\""));
  assert_non_null(strstr(o.text, "\"x-empty\":\"\""));
  assert_non_null(strstr(o.text, "\"body\":\"the body\""));
  assert_null(strstr(o.text, "urlencoded"));
  GET(*state, &o, .url = here("/echo"), .method = "POST");
  assert_non_null(strstr(o.text, "\"content-length\":\"0\""));
}

static void refuses_bad_options(void **state) {
  struct fixture *fx = *state;
  static const char *const bad_header[] = {"X: a\r\nY: b", NULL}, *const no_name[] = {": x", NULL};
  const struct fetch_options bad[] = {
      {.method = "GET", .url = "gopher://x/"},
      {.method = "GET", .url = "http://a b/"},
      {.method = "GET", .url = ""},
      {.method = "G T", .url = "http://127.0.0.1/"},
      {.method = "GET", .url = "http://127.0.0.1/", .headers = bad_header},
      {.method = "GET", .url = "http://127.0.0.1/", .headers = no_name},
      {.method = "GET", .url = "https://127.0.0.1/", .tls.cert = "only.pem"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct fetch *f;
    struct fault fault;
    assert_int_equal(fetch_start(fx->io, &bad[i], note_response, NULL, &f, &fault), -EINVAL);
    assert_int_not_equal(fault.text[0], '\0');
  }
}

static void follows_redirects(void **state) {
  struct outcome o;
  GET(*state, &o, .url = here("/redirect/3"));
  assert_string_equal(o.text, "arrived");
  assert_non_null(strstr(o.url, "/redirect/0"));
  GET(*state, &o, .url = here("/redirect/3"), .redirects = 3);
  assert_int_equal(o.error, 0);
  GET(*state, &o, .url = here("/redirect/3"), .redirects = 2);
  assert_int_equal(o.error, -ELOOP);
  GET(*state, &o, .url = here("/loop"));
  assert_int_equal(o.error, -ELOOP);
  assert_non_null(strstr(o.fault, "too many redirects"));
  GET(*state, &o, .url = here("/redirect/3"), .no_redirects = true);
  assert_int_equal(o.status, 302);
  GET(*state, &o, .url = here("/leave?to=file:///etc/passwd"));
  assert_int_equal(o.error, -EINVAL);
}

static void redirected_posts(void **state) {
  struct outcome o;
  GET(*state, &o, .url = here("/leave/302?to=/echo"), .method = "POST", .body = "b",
      .body_length = 1);
  assert_non_null(strstr(o.text, "\"method\":\"GET\""));
  assert_non_null(strstr(o.text, "\"body\":\"\""));
  GET(*state, &o, .url = here("/leave/307?to=/echo"), .method = "POST", .body = "b",
      .body_length = 1);
  assert_non_null(strstr(o.text, "\"method\":\"POST\""));
  assert_non_null(strstr(o.text, "\"body\":\"b\""));
}

static void keeps_credentials_at_home(void **state) {
  struct outcome o;
  char path[256];
  const char *headers[] = {"Authorization: Bearer secret", "X-Token: secret", "Accept: text/x",
                           NULL};
  snprintf(path, sizeof path, "/leave?to=http://localhost:%d/echo", peer.http);
  GET(*state, &o, .url = here(path), .headers = headers);
  assert_int_equal(o.status, 200);
  assert_null(strstr(o.text, "secret"));
  assert_non_null(strstr(o.text, "text/x"));
  GET(*state, &o, .url = here("/leave?to=/echo"), .headers = headers);
  assert_non_null(strstr(o.text, "Bearer secret"));
}

static void limits_the_response(void **state) {
  struct outcome o;
  GET(*state, &o, .url = here("/big?bytes=100000"), .limit = 99999);
  assert_int_equal(o.error, -EMSGSIZE);
  assert_non_null(strstr(o.fault, "limit of 99999 bytes"));
  GET(*state, &o, .url = here("/big?bytes=100000"), .limit = 100000);
  assert_int_equal(o.length, 100000);
  GET(*state, &o, .url = here("/big?bytes=100000000"));
  assert_int_equal(o.error, -EMSGSIZE);
  GET(*state, &o, .url = here("/headers"));
  assert_int_equal(o.error, -EMSGSIZE);
  assert_non_null(strstr(o.fault, "limit of 262144 bytes"));
}

static void bodies_share_a_budget(void **state) {
  struct fixture *fx = *state;
  struct outcome o, first;
  struct fetch_budget budget = {.limit = 1000000};
  GET(fx, &o, .url = here("/big?bytes=1000001"), .budget = &budget);
  assert_int_equal(o.error, -ENOBUFS);
  assert_int_equal(budget.held, 0);
  struct fetch *f;
  struct fetch_options options = {
      .method = "GET", .url = here("/big?bytes=600000"), .budget = &budget};
  first = (struct outcome){0};
  assert_int_equal(fetch_start(fx->io, &options, note_response, &first, &f, NULL), 0);
  run_until(fx, &first.done);
  assert_int_equal(budget.held, 600000);
  GET(fx, &o, .url = here("/big?bytes=600000"), .budget = &budget);
  assert_int_equal(o.error, -ENOBUFS);
  GET(fx, &o, .url = here("/echo"), .method = "PUT", .body = "b", .body_length = 1,
      .budget = &budget);
  assert_int_equal(o.error, 0);
  fetch_close(f);
  assert_int_equal(budget.held, 0);
  GET(fx, &o, .url = here("/big?bytes=600000"), .budget = &budget);
  assert_int_equal(o.length, 600000);
}

static void tells_what_went_wrong(void **state) {
  struct outcome o;
  GET(*state, &o, .url = here("/torn"));
  assert_int_equal(o.error, -ECONNRESET);
  GET(*state, &o, .url = "http://127.0.0.1:1/");
  assert_int_equal(o.error, -ECONNREFUSED);
  assert_non_null(strstr(o.fault, "GET http://127.0.0.1:1: "));
  GET(*state, &o, .url = here("/never"), .timeout_ms = 50);
  assert_int_equal(o.error, -ETIMEDOUT);
  int port = 0, bound = bind_deaf(&port);
  assert_true(bound >= 0);
  GET(*state, &o, .url = url_of(port, "127.0.0.1", "/"));
  assert_int_equal(o.error, -ECONNREFUSED);
  close(bound);
}

static void reuses_connections_unless_fresh(void **state) {
  struct outcome o;
  GET(*state, &o, .url = here("/connections"));
  long before = atol(o.text);
  for (int i = 0; i < 3; i++)
    GET(*state, &o, .url = here("/connections"));
  assert_int_equal(atol(o.text), before);
  GET(*state, &o, .url = here("/connections"), .fresh = true);
  GET(*state, &o, .url = here("/connections"), .fresh = true);
  assert_int_equal(atol(o.text), before + 2);
}

/* The page `again` writes a second answer to where `twice` has answered before. */
static void takes_no_answer_that_was_there_before_its_question(void **state) {
  struct outcome o;
  GET(*state, &o, .url = here("/twice"));
  assert_string_equal(o.text, "first");
  GET(*state, &o, .url = here("/again"), .fresh = true);
  assert_string_equal(o.text, "said");
  GET(*state, &o, .url = here("/hello"));
  assert_int_equal(o.error, 0);
  assert_string_equal(o.text, "hello");
}

/* Says hello as SSH does, and hangs up when its peer does. Returns how many came. */
static void *greet(void *listener) {
  char rest[512];
  intptr_t came = 0;
  for (int fd; (fd = accept(*(int *)listener, NULL, NULL)) >= 0; came++) {
    assert_int_equal(write(fd, "SSH-2.0\r\n", 9), 9);
    while (read(fd, rest, sizeof rest) > 0)
      ;
    close(fd);
  }
  return (void *)came;
}

/* Who speaks first does so on each connection: another one is no better. */
static void asks_once_who_speaks_first(void **state) {
  enum { TIMES = 50 };
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof at;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  pthread_t thread;
  struct outcome o;
  void *came;
  assert_int_equal(bind(listener, (struct sockaddr *)&at, size), 0);
  assert_int_equal(listen(listener, TIMES), 0);
  assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
  assert_int_equal(pthread_create(&thread, NULL, greet, &listener), 0);
  for (int i = 0; i < TIMES; i++) {
    GET(*state, &o, .url = url_of(ntohs(at.sin_port), "127.0.0.1", "/"));
    assert_int_equal(o.error, -EPROTO);
  }
  shutdown(listener, SHUT_RDWR);
  pthread_join(thread, &came);
  close(listener);
  assert_int_equal((intptr_t)came, TIMES);
}

static void goes_by_unix_socket_and_ipv6(void **state) {
  struct outcome o;
  char path[128];
  snprintf(path, sizeof path, "%s/http.sock", peer.directory);
  GET(*state, &o, .url = "http://no.such.name/hello", .unix_path = path);
  assert_string_equal(o.text, "hello");
  GET(*state, &o, .url = "http://x/hello", .unix_path = "/nowhere/at.all");
  assert_int_equal(o.error, -ENOENT);
  if (!peer.six)
    return; /* a machine without ::1 */
  GET(*state, &o, .url = url_of(peer.six, "[::1]", "/hello"));
  assert_string_equal(o.text, "hello");
}

static void verifies_tls(void **state) {
  struct outcome o;
  char ca[128], cert[128], key[128];
  snprintf(ca, sizeof ca, "%s/ca.pem", peer.directory);
  snprintf(cert, sizeof cert, "%s/client.pem", peer.directory);
  snprintf(key, sizeof key, "%s/client.key", peer.directory);
  GET(*state, &o, .url = url_of(peer.https, "127.0.0.1", "/hello"));
  assert_int_equal(o.error, -EPROTO); /* an unknown authority */
  GET(*state, &o, .url = url_of(peer.https, "127.0.0.1", "/hello"), .tls.ca = ca);
  assert_int_equal(o.error, -EPROTO); /* another name */
  GET(*state, &o, .url = url_of(peer.https, "127.0.0.1", "/hello"), .tls.insecure = true);
  assert_string_equal(o.text, "hello");
  GET(*state, &o, .url = url_of(peer.https, "localhost", "/hello"), .tls.ca = ca);
  assert_string_equal(o.text, "hello");
  GET(*state, &o, .url = url_of(peer.https, "127.0.0.1", "/echo"),
      .tls = {.ca = ca, .server_name = "server.test", .cert = cert, .key = key});
  assert_int_equal(o.error, 0);
  assert_non_null(strstr(o.text, "\"servername\":\"server.test\""));
  assert_non_null(strstr(o.text, "\"host\":\"127.0.0.1:"));
  GET(*state, &o, .url = url_of(peer.https, "127.0.0.1", "/hello"),
      .tls = {.ca = ca, .server_name = "other.test"});
  assert_int_equal(o.error, -EPROTO);
}

static struct fetch *begin(struct fixture *fx, struct outcome *o, struct fetch_options options) {
  struct fetch *f;
  *o = (struct outcome){0};
  assert_int_equal(fetch_start(fx->io, &options, note_response, o, &f, NULL), 0);
  return f;
}

static ssize_t read_piece(struct fixture *fx, struct fetch *f, struct outcome *o) {
  o->read = false;
  assert_int_equal(fetch_read(f, 0, note_read, o), 0);
  assert_int_equal(fetch_read(f, 0, note_read, o), -EBUSY);
  run_until(fx, &o->read);
  return o->n;
}

static void streams_piece_by_piece(void **state) {
  struct fixture *fx = *state;
  struct outcome o;
  struct fetch *f = begin(
      fx, &o, (struct fetch_options){.method = "GET", .url = here("/chunks?n=5"), .stream = true});
  run_until(fx, &o.done);
  assert_int_equal(o.status, 200);
  int pieces = 0;
  while (read_piece(fx, f, &o) > 0)
    pieces++;
  assert_int_equal(o.n, 0);
  assert_int_equal(o.length, strlen("chunk 0\n") * 5);
  assert_true(pieces > 1);
  assert_int_equal(read_piece(fx, f, &o), 0); /* the end stays the end */
  fetch_close(f);
}

/* A peer that could send 100 MB at once is held back while nobody reads. */
static void holds_the_peer_back(void **state) {
  struct fixture *fx = *state;
  struct outcome o, count;
  struct fetch *f = begin(
      fx, &o,
      (struct fetch_options){.method = "GET", .url = here("/big?bytes=100000000"), .stream = true});
  run_until(fx, &o.done);
  long before = -1, now = 0;
  while (now != before) { /* until the peer makes no progress from one question to the next ten */
    before = now;
    for (int i = 0; i < 10; i++)
      GET(fx, &count, .url = here("/sent"));
    now = atol(count.text);
  }
  assert_true(now < 50000000);
  while (read_piece(fx, f, &o) > 0)
    ;
  assert_int_equal(o.n, 0);
  assert_int_equal(o.length, 100000000);
  fetch_close(f);
}

static void streams_give_their_budget_back(void **state) {
  struct fixture *fx = *state;
  struct outcome o, w = {0};
  struct fetch_budget budget = {.limit = 1000000};
  struct fetch *f = begin(fx, &o,
                          (struct fetch_options){.method = "POST",
                                                 .url = here("/big?bytes=10000000"),
                                                 .stream = true,
                                                 .send = true,
                                                 .budget = &budget});
  assert_int_equal(fetch_write(f, "some", 4, note_written, &w), 0);
  assert_int_equal(budget.held, 4);
  run_until(fx, &w.written);
  fetch_finish(f);
  run_until(fx, &o.done);
  while (read_piece(fx, f, &o) > 0)
    ;
  assert_int_equal(o.n, 0);
  assert_int_equal(o.length, 10000000);
  assert_int_equal(budget.held, 0);
  fetch_close(f);
}

static void streams_end_in_errors_and_deadlines(void **state) {
  struct fixture *fx = *state;
  struct outcome o;
  struct fetch *f =
      begin(fx, &o, (struct fetch_options){.method = "GET", .url = here("/torn"), .stream = true});
  run_until(fx, &o.done);
  assert_int_equal(read_piece(fx, f, &o), 10);
  assert_int_equal(read_piece(fx, f, &o), -ECONNRESET);
  assert_int_equal(fetch_fault(f)->code, -ECONNRESET);
  fetch_close(f);
}

static void streams_a_request(void **state) {
  struct fixture *fx = *state;
  struct outcome o, w;
  struct fetch *f =
      begin(fx, &o, (struct fetch_options){.method = "POST", .url = here("/echo"), .send = true});
  for (int i = 0; i < 3; i++) {
    w = (struct outcome){0};
    assert_int_equal(fetch_write(f, "piece ", 6, note_written, &w), 0);
    run_until(fx, &w.written);
    assert_int_equal(w.error, 0);
  }
  fetch_finish(f);
  run_until(fx, &o.done);
  assert_non_null(strstr(o.text, "\"body\":\"piece piece piece \""));
  assert_non_null(strstr(o.text, "\"transfer-encoding\":\"chunked\""));
  fetch_close(f);
}

/* Whatever a fetch is doing when it is closed, nothing comes any more (the fixture looks for
 * leaks). */
static void closes_at_any_time(void **state) {
  struct fixture *fx = *state;
  static const char *const paths[] = {"/hello", "/never", "/big?bytes=1000000", "/redirect/5",
                                      "/torn"};
  struct outcome o[5], after;
  for (int turns = 0; turns < 12; turns++) {
    struct fetch *f[5];
    for (int i = 0; i < 5; i++)
      f[i] = begin(fx, &o[i],
                   (struct fetch_options){.method = "GET", .url = here(paths[i]), .stream = i & 1});
    for (int t = 0; t < turns; t++)
      uv_run(&fx->loop, UV_RUN_NOWAIT);
    int calls = 0;
    for (int i = 0; i < 5; i++) {
      calls += o[i].calls;
      fetch_close(f[i]);
    }
    GET(fx, &after, .url = here("/hello"));
    for (int i = 0; i < 5; i++)
      calls -= o[i].calls;
    assert_int_equal(calls, 0);
  }
}

struct closer {
  struct fetch *f;
  bool done;
};

static void close_in_callback(void *arg, int error, const struct fetch_response *r,
                              const struct fault *fault) {
  struct closer *c = arg;
  fetch_close(c->f);
  c->done = true;
}

static void closes_in_its_callback(void **state) {
  struct fixture *fx = *state;
  struct closer c = {0};
  struct fetch_options options = {
      .method = "GET", .url = here("/big?bytes=1000000"), .stream = true};
  assert_int_equal(fetch_start(fx->io, &options, close_in_callback, &c, &c.f, NULL), 0);
  run_until(fx, &c.done);
}

static void count_tick(uv_timer_t *timer) {
  ++*(int *)timer->data;
}

/* The name server is a socket that never answers. The loop's timers go on; giving up is at once. */
static void a_dead_name_server_blocks_nothing(void **state) {
  struct fixture *fx = *state;
  int silent = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  assert_int_equal(bind(silent, (struct sockaddr *)&address, size), 0);
  getsockname(silent, (struct sockaddr *)&address, &size);
  char server[32];
  snprintf(server, sizeof server, "127.0.0.1:%d", ntohs(address.sin_port));
  assert_int_equal(resolve_servers(fx->io, server), 0);

  int ticks = 0;
  uv_timer_t timer;
  uv_timer_init(&fx->loop, &timer);
  timer.data = &ticks;
  uv_timer_start(&timer, count_tick, 1, 1);
  struct outcome late, cancelled, other;
  struct fetch *g =
      begin(fx, &cancelled, (struct fetch_options){.method = "GET", .url = "http://dead.test/"});
  GET(fx, &other, .url = here("/hello")); /* others are served meanwhile */
  assert_int_equal(other.status, 200);
  while (ticks < 50)
    uv_run(&fx->loop, UV_RUN_ONCE);
  assert_false(cancelled.done);
  GET(fx, &late, .url = "http://dead.test/", .timeout_ms = 50);
  assert_int_equal(late.error, -ETIMEDOUT);
  assert_non_null(strstr(late.fault, "name"));
  char question[64];
  assert_true(recv(silent, question, sizeof question, MSG_DONTWAIT) > 0); /* it was asked */
  fetch_close(g);
  uv_close((uv_handle_t *)&timer, NULL);
  GET(fx, &other, .url = here("/hello"));
  close(silent);
}

static void names_come_from_the_resolver(void **state) {
  struct fixture *fx = *state;
  struct outcome o;
  char server[32];
  snprintf(server, sizeof server, "127.0.0.1:%d", peer.dns);
  assert_int_equal(resolve_servers(fx->io, server), 0);
  GET(fx, &o, .url = url_of(peer.http, "a.test", "/echo"));
  assert_int_equal(o.status, 200);
  assert_non_null(strstr(o.text, "\"host\":\"a.test:"));
  GET(fx, &o, .url = url_of(peer.http, "unknown.test", "/"));
  assert_int_equal(o.error, -ENOENT);
  char path[128];
  snprintf(path, sizeof path, "/leave?to=http://a.test:%d/hello", peer.http);
  GET(fx, &o, .url = here(path)); /* a redirect's name too */
  assert_string_equal(o.text, "hello");
}

/* Requests in a row, each from the callback of the one before: nothing grows. */
static void many_at_once(void **state) {
  struct fixture *fx = *state;
  enum { N = 200 };
  static struct outcome o[N];
  static struct fetch *f[N];
  for (int i = 0; i < N; i++)
    f[i] = begin(fx, &o[i],
                 (struct fetch_options){.method = "GET", .url = here("/hello"), .fresh = i % 2});
  for (int i = 0; i < N; i++) {
    run_until(fx, &o[i].done);
    assert_string_equal(o[i].text, "hello");
    assert_int_equal(o[i].calls, 1);
    fetch_close(f[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(answers),
      FIXTURE_TEST(sends_method_headers_and_body),
      FIXTURE_TEST(refuses_bad_options),
      FIXTURE_TEST(follows_redirects),
      FIXTURE_TEST(redirected_posts),
      FIXTURE_TEST(keeps_credentials_at_home),
      FIXTURE_TEST(limits_the_response),
      FIXTURE_TEST(bodies_share_a_budget),
      FIXTURE_TEST(tells_what_went_wrong),
      FIXTURE_TEST(reuses_connections_unless_fresh),
      FIXTURE_TEST(takes_no_answer_that_was_there_before_its_question),
      FIXTURE_TEST(asks_once_who_speaks_first),
      FIXTURE_TEST(goes_by_unix_socket_and_ipv6),
      FIXTURE_TEST(verifies_tls),
      FIXTURE_TEST(streams_piece_by_piece),
      FIXTURE_TEST(holds_the_peer_back),
      FIXTURE_TEST(streams_give_their_budget_back),
      FIXTURE_TEST(streams_end_in_errors_and_deadlines),
      FIXTURE_TEST(streams_a_request),
      FIXTURE_TEST(closes_at_any_time),
      FIXTURE_TEST(closes_in_its_callback),
      FIXTURE_TEST(a_dead_name_server_blocks_nothing),
      FIXTURE_TEST(names_come_from_the_resolver),
      FIXTURE_TEST(many_at_once),
  };
  if (peer_open(&peer) < 0)
    return 1;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  peer_close(&peer);
  return failed;
}
