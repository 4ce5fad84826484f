/* Names: literals, the hosts file, a name server, its silence, and what is kept of its answers. */
#include "io/fixture.h"
#include "io/peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "io/resolve.h"

static struct peer peer;

struct told {
  bool done;
  int status, calls;
  size_t count;
  struct resolve_record first, last;
};

static void note(void *arg, const struct resolve_answer *a) {
  struct told *t = arg;
  t->done = true;
  t->calls++;
  t->status = a->status;
  t->count = a->count;
  if (a->count) {
    t->first = a->records[0];
    t->last = a->records[a->count - 1];
  }
}

static struct resolve *begin(struct fixture *fx, const char *name, enum resolve_type type,
                             uint64_t timeout_ms, struct told *t) {
  struct resolve *r;
  *t = (struct told){0};
  assert_int_equal(resolve_start(fx->io, name, type, timeout_ms, note, t, &r), 0);
  assert_false(t->done);
  return r;
}

static struct told ask(struct fixture *fx, const char *name, enum resolve_type type) {
  struct told t;
  begin(fx, name, type, 0, &t);
  run_until(fx, &t.done);
  return t;
}

static void use_server(struct fixture *fx, int port) {
  char server[32];
  snprintf(server, sizeof server, "127.0.0.1:%d", port);
  assert_int_equal(resolve_servers(fx->io, server), 0);
}

static int silent_socket(int *port) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
  getsockname(fd, (struct sockaddr *)&address, &size);
  *port = ntohs(address.sin_port);
  return fd;
}

static void literals_are_their_own_answer(void **state) {
  struct told t = ask(*state, "192.0.2.7", RESOLVE_CONNECT);
  assert_int_equal(t.count, 1);
  assert_string_equal(t.first.target, "192.0.2.7");
  assert_int_equal(t.first.family, AF_INET);
  t = ask(*state, "fe80::1", RESOLVE_CONNECT);
  assert_string_equal(t.first.target, "fe80::1");
  assert_int_equal(t.first.family, AF_INET6);
}

static void the_hosts_file_needs_no_server(void **state) {
  int port, fd = silent_socket(&port);
  use_server(*state, port);
  struct told t = ask(*state, "localhost", RESOLVE_A);
  assert_int_equal(t.status, 0);
  assert_string_equal(t.first.target, "127.0.0.1");
  char question[8];
  assert_int_equal(recv(fd, question, sizeof question, MSG_DONTWAIT), -1);
  close(fd);
}

static void a_server_is_asked(void **state) {
  use_server(*state, peer.dns);
  struct told t = ask(*state, "a.test", RESOLVE_CONNECT);
  assert_int_equal(t.status, 0);
  assert_string_equal(t.first.target, "127.0.0.1");
  assert_int_equal(t.first.ttl, 30);
  assert_int_equal(ask(*state, "a.test", RESOLVE_AAAA).status, -ENOENT);
  assert_int_equal(ask(*state, "none.test", RESOLVE_A).status, -ENOENT);
}

static void srv_records_come_with_their_ttl(void **state) {
  use_server(*state, peer.dns);
  struct told t = ask(*state, "srv.test", RESOLVE_SRV);
  assert_int_equal(t.status, 0);
  assert_int_equal(t.count, 2);
  assert_string_equal(t.first.target, "a.test");
  assert_int_equal(t.first.priority, 10);
  assert_int_equal(t.last.priority, 20);
  assert_int_equal(t.last.weight, 5);
  assert_int_equal(t.last.port, 8080);
  assert_int_equal(t.last.ttl, 7);
}

static void a_broken_answer_is_an_error(void **state) {
  use_server(*state, peer.dns);
  assert_int_equal(ask(*state, "broken.test", RESOLVE_SRV).status, -EREMOTEIO);
  assert_true(ask(*state, "broken.test", RESOLVE_A).status < 0);
}

static void bad_names_are_refused(void **state) {
  struct fixture *fx = *state;
  struct resolve *r;
  char name[300];
  memset(name, 'x', sizeof name);
  name[299] = '\0';
  assert_int_equal(resolve_start(fx->io, "", RESOLVE_A, 0, note, NULL, &r), -EINVAL);
  assert_int_equal(resolve_start(fx->io, name, RESOLVE_A, 0, note, NULL, &r), -EINVAL);
}

/* count.test answers with how many questions the server had, and a TTL of 0. */
static void one_question_for_all_who_ask_at_once(void **state) {
  struct fixture *fx = *state;
  use_server(fx, peer.dns);
  struct told t[20];
  for (int i = 0; i < 20; i++)
    begin(fx, i % 2 ? "count.test" : "COUNT.test", RESOLVE_A, 0, &t[i]);
  for (int i = 0; i < 20; i++) {
    run_until(fx, &t[i].done);
    assert_string_equal(t[i].first.target, t[0].first.target);
  }
  struct told later = ask(fx, "count.test", RESOLVE_A); /* nothing is kept of a TTL of 0 */
  assert_string_not_equal(later.first.target, t[0].first.target);
}

static void answers_are_kept_for_their_ttl(void **state) {
  struct fixture *fx = *state;
  use_server(fx, peer.dns);
  struct told before = ask(fx, "count.test", RESOLVE_A);
  ask(fx, "a.test", RESOLVE_A);
  for (int i = 0; i < 5; i++)
    assert_int_equal(ask(fx, "A.test", RESOLVE_A).status, 0);
  struct told after = ask(fx, "count.test", RESOLVE_A);
  int first = 0, last = 0; /* the last two bytes of 0.0.x.y */
  sscanf(strrchr(before.first.target, '.') + 1, "%d", &first);
  sscanf(strrchr(after.first.target, '.') + 1, "%d", &last);
  /* a.test once, count.test once, not seven; a question is sent again where its answer is late */
  assert_in_range((last - first) & 255, 2, 5);
}

static void silence_costs_the_asker_its_deadline(void **state) {
  struct fixture *fx = *state;
  int port, fd = silent_socket(&port);
  use_server(fx, port);
  struct told late, cancelled, waiting;
  struct resolve *r = begin(fx, "dead.test", RESOLVE_A, 0, &cancelled);
  struct resolve *w = begin(fx, "dead.test", RESOLVE_A, 0, &waiting);
  begin(fx, "dead.test", RESOLVE_A, 20, &late);
  resolve_cancel(r);
  run_until(fx, &late.done);
  assert_int_equal(late.status, -ETIMEDOUT);
  assert_false(waiting.done);
  resolve_cancel(w); /* the last one: the question is given up, and the loop has nothing to do */
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  assert_int_equal(cancelled.calls + waiting.calls, 0);
  assert_int_equal(io_open(fx->io), 0);
  close(fd);
}

static void more_names_than_are_kept(void **state) {
  struct fixture *fx = *state;
  use_server(fx, peer.dns);
  for (int i = 0; i < 1500; i++) {
    char name[32];
    snprintf(name, sizeof name, "no-%d.test", i);
    assert_int_equal(ask(fx, name, RESOLVE_A).status, -ENOENT);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(literals_are_their_own_answer),
      FIXTURE_TEST(the_hosts_file_needs_no_server),
      FIXTURE_TEST(a_server_is_asked),
      FIXTURE_TEST(srv_records_come_with_their_ttl),
      FIXTURE_TEST(a_broken_answer_is_an_error),
      FIXTURE_TEST(bad_names_are_refused),
      FIXTURE_TEST(one_question_for_all_who_ask_at_once),
      FIXTURE_TEST(answers_are_kept_for_their_ttl),
      FIXTURE_TEST(silence_costs_the_asker_its_deadline),
      FIXTURE_TEST(more_names_than_are_kept),
  };
  if (peer_open(&peer) < 0)
    return 1;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  peer_close(&peer);
  return failed;
}
