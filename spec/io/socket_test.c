/* Sockets and servers, TCP and unix, against each other and against plain sockets. */
#include "io/fixture.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fault.h"
#include "io/socket.h"

struct opened {
  bool done;
  int status;
  struct socket *socket;
};

static void note_open(void *arg, int status, struct socket *s) {
  *(struct opened *)arg = (struct opened){true, status, s};
}

struct piece {
  bool done;
  ssize_t n;
  char text[256];
};

static void note_read(void *arg, ssize_t n, const char *data) {
  struct piece *p = arg;
  p->done = true;
  p->n = n;
  if (n > 0 && n < (ssize_t)sizeof p->text) {
    memcpy(p->text, data, (size_t)n);
    p->text[n] = '\0';
  }
}

struct written {
  bool done;
  int status;
};

static void note_written(void *arg, int status) {
  *(struct written *)arg = (struct written){true, status};
}

/* Two sockets that are connected, by TCP or a unix socket. */
struct pair {
  struct socket_server *server;
  struct socket *a, *b;
};

static int port_of(const struct socket_server *v) {
  char name[SOCKET_NAME_SIZE];
  assert_int_equal(socket_server_name(v, name), 0);
  return atoi(strrchr(name, ':') + 1);
}

static struct pair pair_open(struct fixture *fx, const char *path) {
  struct pair p;
  struct fault f;
  struct socket_connect *c;
  struct opened near = {0}, far = {0};
  if (path) {
    assert_int_equal(socket_listen_unix(fx->io, path, 0, &p.server, &f), 0);
    assert_int_equal(socket_connect_unix(fx->io, path, 0, 0, note_open, &near, &c), 0);
  } else {
    assert_int_equal(socket_listen_tcp(fx->io, "127.0.0.1", 0, &p.server, &f), 0);
    assert_int_equal(socket_connect_tcp(fx->io, "localhost", (uint16_t)port_of(p.server), 0,
                                        note_open, &near, &c),
                     0);
  }
  assert_int_equal(socket_accept(p.server, 0, note_open, &far), 0);
  assert_int_equal(socket_accept(p.server, 0, note_open, &far), -EBUSY);
  assert_false(near.done);
  run_until(fx, &near.done);
  run_until(fx, &far.done);
  assert_int_equal(near.status, 0);
  assert_int_equal(far.status, 0);
  p.a = near.socket;
  p.b = far.socket;
  return p;
}

static void pair_close(struct pair *p) {
  if (p->a)
    socket_close(p->a);
  if (p->b)
    socket_close(p->b);
  socket_server_close(p->server);
}

static void send_text(struct fixture *fx, struct socket *s, const char *text) {
  struct written w = {0};
  assert_int_equal(socket_write(s, text, strlen(text), 0, note_written, &w), 0);
  assert_false(w.done);
  run_until(fx, &w.done);
  assert_int_equal(w.status, 0);
}

static struct piece read_kind(struct fixture *fx, struct socket *s, enum socket_read_kind kind,
                              size_t n) {
  struct piece p = {0};
  assert_int_equal(socket_read(s, kind, n, 0, note_read, &p), 0);
  assert_false(p.done);
  run_until(fx, &p.done);
  return p;
}

static void reads_lines_and_bytes(struct fixture *fx, const char *path) {
  struct pair p = pair_open(fx, path);
  send_text(fx, p.a, "first\r\nsecond\nabcdef");
  assert_string_equal(read_kind(fx, p.b, SOCKET_LINE, 0).text, "first\r\n");
  assert_string_equal(read_kind(fx, p.b, SOCKET_LINE, 0).text, "second\n");
  assert_string_equal(read_kind(fx, p.b, SOCKET_EXACTLY, 4).text, "abcd");
  assert_string_equal(read_kind(fx, p.b, SOCKET_SOME, 1).text, "e");
  assert_string_equal(read_kind(fx, p.b, SOCKET_SOME, 0).text, "f");
  struct written w = {0};
  send_text(fx, p.a, "last");
  assert_int_equal(socket_shutdown(p.a, note_written, &w), 0);
  run_until(fx, &w.done);
  assert_string_equal(read_kind(fx, p.b, SOCKET_LINE, 0).text, "last");
  assert_int_equal(read_kind(fx, p.b, SOCKET_LINE, 0).n, 0);
  send_text(fx, p.b, "the other way is open");
  assert_string_equal(read_kind(fx, p.a, SOCKET_SOME, 0).text, "the other way is open");
  pair_close(&p);
}

static void tcp_reads_lines_and_bytes(void **state) {
  reads_lines_and_bytes(*state, NULL);
}

static char *scratch_path(void) {
  static char path[64];
  strcpy(path, "/tmp/perigee-socket-XXXXXX");
  int fd = mkstemp(path);
  close(fd);
  unlink(path);
  return path;
}

static void unix_reads_lines_and_bytes(void **state) {
  const char *path = scratch_path();
  struct stat st;
  reads_lines_and_bytes(*state, path);
  assert_int_equal(stat(path, &st), -1); /* the server takes its path away */
}

static void ends_before_what_was_wanted(void **state) {
  struct fixture *fx = *state;
  struct pair p = pair_open(fx, NULL);
  send_text(fx, p.a, "abc");
  socket_close(p.a);
  p.a = NULL;
  assert_int_equal(read_kind(fx, p.b, SOCKET_EXACTLY, 4).n, -EPIPE);
  assert_string_equal(read_kind(fx, p.b, SOCKET_ALL, 3).text, "abc");
  assert_int_equal(read_kind(fx, p.b, SOCKET_SOME, 0).n, 0);
  pair_close(&p);
}

static void lines_and_alls_are_bounded(void **state) {
  struct fixture *fx = *state;
  struct pair p = pair_open(fx, NULL);
  char *text = malloc(SOCKET_LINE_MAX + 2);
  memset(text, 'x', SOCKET_LINE_MAX + 1);
  text[SOCKET_LINE_MAX + 1] = '\0';
  struct written w = {0};
  assert_int_equal(socket_write(p.a, text, SOCKET_LINE_MAX + 1, 0, note_written, &w), 0);
  assert_int_equal(read_kind(fx, p.b, SOCKET_LINE, 0).n, -EMSGSIZE);
  assert_int_equal(read_kind(fx, p.b, SOCKET_ALL, 1000).n, -EMSGSIZE);
  assert_int_equal(read_kind(fx, p.b, SOCKET_EXACTLY, SOCKET_LINE_MAX + 1).n, SOCKET_LINE_MAX + 1);
  run_until(fx, &w.done);
  struct piece none;
  assert_int_equal(socket_read(p.b, SOCKET_EXACTLY, SOCKET_READ_MAX + 1, 0, note_read, &none),
                   -EINVAL);
  assert_int_equal(socket_read(p.b, SOCKET_EXACTLY, 0, 0, note_read, &none), -EINVAL);
  free(text);
  pair_close(&p);
}

static void one_reader_one_writer(void **state) {
  struct fixture *fx = *state;
  struct pair p = pair_open(fx, NULL);
  struct piece first = {0}, second = {0};
  assert_int_equal(socket_read(p.a, SOCKET_SOME, 0, 0, note_read, &first), 0);
  assert_int_equal(socket_read(p.a, SOCKET_SOME, 0, 0, note_read, &second), -EBUSY);
  send_text(fx, p.b, "x");
  run_until(fx, &first.done);
  pair_close(&p);
}

/* A peer that does not read: the write does not end, its deadline does, and the stream is torn. */
static void a_slow_reader_holds_the_writer(void **state) {
  struct fixture *fx = *state;
  struct pair p = pair_open(fx, NULL);
  struct written w = {0}, after = {0};
  char *text = calloc(1, SOCKET_READ_MAX);
  assert_int_equal(socket_write(p.a, text, SOCKET_READ_MAX, 50, note_written, &w), 0);
  assert_int_equal(socket_write(p.a, "x", 1, 0, note_written, &after), -EBUSY);
  run_until(fx, &w.done);
  assert_int_equal(w.status, -ETIMEDOUT);
  assert_int_equal(socket_write(p.a, "x", 1, 0, note_written, &after), -ETIMEDOUT);
  free(text);
  pair_close(&p);
}

static void deadlines_and_cancels(void **state) {
  struct fixture *fx = *state;
  struct pair p = pair_open(fx, NULL);
  struct piece late = {0}, cancelled = {0}, after = {0};
  assert_int_equal(socket_read(p.a, SOCKET_SOME, 0, 5, note_read, &late), 0);
  run_until(fx, &late.done);
  assert_int_equal(late.n, -ETIMEDOUT);
  assert_int_equal(socket_read(p.a, SOCKET_SOME, 0, 0, note_read, &cancelled), 0);
  socket_read_cancel(p.a);
  send_text(fx, p.b, "kept");
  assert_int_equal(socket_read(p.a, SOCKET_SOME, 0, 0, note_read, &after), 0);
  run_until(fx, &after.done);
  assert_string_equal(after.text, "kept");
  assert_false(cancelled.done);
  struct opened o = {0};
  assert_int_equal(socket_accept(p.server, 5, note_open, &o), 0);
  run_until(fx, &o.done);
  assert_int_equal(o.status, -ETIMEDOUT);
  pair_close(&p);
}

static void names(void **state) {
  struct fixture *fx = *state;
  char name[SOCKET_NAME_SIZE], peer[SOCKET_NAME_SIZE];
  struct pair p = pair_open(fx, NULL);
  assert_int_equal(socket_local_name(p.a, name), 0);
  assert_int_equal(socket_peer_name(p.b, peer), 0);
  assert_string_equal(name, peer);
  assert_memory_equal(name, "127.0.0.1:", 10);
  pair_close(&p);
}

static void connecting_fails_in_words(void **state) {
  struct fixture *fx = *state;
  struct opened o = {0};
  struct socket_connect *c;
  assert_int_equal(socket_connect_tcp(fx->io, "127.0.0.1", 1, 0, note_open, &o, &c), 0);
  run_until(fx, &o.done);
  assert_int_equal(o.status, -ECONNREFUSED);
  o.done = false;
  assert_int_equal(socket_connect_unix(fx->io, "/nowhere/at.all", 0, 0, note_open, &o, &c), 0);
  run_until(fx, &o.done);
  assert_int_equal(o.status, -ENOENT);
  char path[200];
  memset(path, 'x', sizeof path);
  path[199] = '\0';
  assert_int_equal(socket_connect_unix(fx->io, path, 0, 0, note_open, &o, &c), -ENAMETOOLONG);
}

/* A server whose backlog is full does not answer: connecting runs into its deadline. */
static void a_deadline_for_connecting(void **state) {
  struct fixture *fx = *state;
  int fd = socket(AF_INET, SOCK_STREAM, 0), filler[8];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
  assert_int_equal(listen(fd, 0), 0);
  getsockname(fd, (struct sockaddr *)&address, &size);
  for (int i = 0; i < 8; i++) {
    filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(filler[i], (struct sockaddr *)&address, size);
  }
  struct opened late = {0}, cancelled = {0};
  struct socket_connect *c;
  uint16_t port = ntohs(address.sin_port);
  assert_int_equal(socket_connect_tcp(fx->io, "127.0.0.1", port, 30, note_open, &late, &c), 0);
  assert_int_equal(socket_connect_tcp(fx->io, "127.0.0.1", port, 0, note_open, &cancelled, &c), 0);
  run_until(fx, &late.done);
  assert_int_equal(late.status, -ETIMEDOUT);
  socket_connect_cancel(c);
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  assert_false(cancelled.done);
  assert_int_equal(io_open(fx->io), 0);
  for (int i = 0; i < 8; i++)
    close(filler[i]);
  close(fd);
}

static void listening_says_why_not(void **state) {
  struct fixture *fx = *state;
  struct fault f;
  struct socket_server *v, *w;
  assert_int_equal(socket_listen_tcp(fx->io, "no address", 0, &v, &f), -EINVAL);
  assert_int_equal(socket_listen_tcp(fx->io, "127.0.0.1", 0, &v, &f), 0);
  assert_int_equal(socket_listen_tcp(fx->io, "127.0.0.1", (uint16_t)port_of(v), &w, &f),
                   -EADDRINUSE);
  assert_non_null(strstr(f.text, "address already in use"));
  socket_server_close(v);
}

static void a_stale_path_is_taken_over_a_live_one_is_not(void **state) {
  struct fixture *fx = *state;
  struct fault f;
  struct socket_server *v, *w;
  char *path = scratch_path();
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(listen(fd, 1), 0);
  assert_int_equal(socket_listen_unix(fx->io, path, 0, &v, &f), -EADDRINUSE);
  close(fd); /* as kill -9 would: the path stays */
  assert_int_equal(socket_listen_unix(fx->io, path, 0, &v, &f), 0);
  assert_int_equal(socket_listen_unix(fx->io, path, 0, &w, &f), -EADDRINUSE);
  socket_server_close(v);
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  FILE *plain = fopen(path, "w");
  fclose(plain);
  assert_int_equal(socket_listen_unix(fx->io, path, 0, &v, &f), -EADDRINUSE);
  unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(tcp_reads_lines_and_bytes),
      FIXTURE_TEST(unix_reads_lines_and_bytes),
      FIXTURE_TEST(ends_before_what_was_wanted),
      FIXTURE_TEST(lines_and_alls_are_bounded),
      FIXTURE_TEST(one_reader_one_writer),
      FIXTURE_TEST(a_slow_reader_holds_the_writer),
      FIXTURE_TEST(deadlines_and_cancels),
      FIXTURE_TEST(names),
      FIXTURE_TEST(connecting_fails_in_words),
      FIXTURE_TEST(a_deadline_for_connecting),
      FIXTURE_TEST(listening_says_why_not),
      FIXTURE_TEST(a_stale_path_is_taken_over_a_live_one_is_not),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
