/* socket_connect: from a host's name to an open stream, one address after the other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/clock.h"
#include "io/beneath.h"
#include "io/resolve.h"
#include "io/stream.h"

struct socket_connect {
  struct io *io;
  struct resolve *resolve; /* while the name is asked for */
  struct attempt *attempt; /* while one address is tried */
  uv_timer_t timer;
  struct later later;  /* a failure that is known at once */
  int64_t deadline_ns; /* 0 = none */
  struct resolve_record *records;
  size_t count, next;
  uint16_t port;
  int status; /* of the last attempt */
  socket_open_fn done;
  void *arg;
};

/* One uv_connect, which libuv reports on even after its socket was closed. */
struct attempt {
  uv_connect_t request;
  struct socket *socket;
  struct socket_connect *connect; /* NULL once given up */
};

static void connect_gone(uv_handle_t *handle) {
  struct socket_connect *c = handle->data;
  struct io *io = c->io;
  free(c->records);
  free(c);
  io_drop(io);
}

static void attempt_give_up(struct socket_connect *c) {
  if (!c->attempt)
    return;
  c->attempt->connect = NULL;
  socket_close(c->attempt->socket);
  c->attempt = NULL;
}

static void connect_end(struct socket_connect *c) {
  if (c->resolve)
    resolve_cancel(c->resolve);
  attempt_give_up(c);
  later_stop(&c->later);
  uv_close((uv_handle_t *)&c->timer, connect_gone);
}

static void connect_fail(struct socket_connect *c, int status) {
  socket_open_fn done = c->done;
  void *arg = c->arg;
  connect_end(c);
  done(arg, status, NULL);
}

static void connect_next(struct socket_connect *c);

static void attempt_over(uv_connect_t *request, int status) {
  struct attempt *a = ring_item(request, struct attempt, request);
  struct socket_connect *c = a->connect;
  struct socket *s = a->socket;
  free(a);
  if (!c)
    return;
  c->attempt = NULL;
  if (status == 0) {
    socket_open_fn done = c->done;
    void *arg = c->arg;
    connect_end(c);
    done(arg, 0, s);
    return;
  }
  socket_close(s);
  c->status = status;
  connect_next(c);
}

/* NULL: out of memory, or of what libuv needs. */
static struct attempt *attempt_new(struct socket_connect *c, bool tcp) {
  struct attempt *a = calloc(1, sizeof *a);
  if (!a || socket_new(c->io, tcp, &a->socket) < 0) {
    free(a);
    return NULL;
  }
  a->connect = c;
  c->attempt = a;
  return a;
}

static int attempt_tcp(struct socket_connect *c, const struct resolve_record *record) {
  union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
  } address;
  int rc = record->family == AF_INET ? uv_ip4_addr(record->target, c->port, &address.four)
                                     : uv_ip6_addr(record->target, c->port, &address.six);
  if (rc < 0)
    return rc;
  struct attempt *a = attempt_new(c, true);
  if (!a)
    return -ENOMEM;
  uv_tcp_t *tcp = &socket_stream(a->socket)->tcp;
  rc = uv_tcp_connect(&a->request, tcp, &address.any, attempt_over);
  if (rc < 0) {
    attempt_give_up(c);
    free(a);
    return rc;
  }
  uv_tcp_nodelay(tcp, 1);
  return 0;
}

static void connect_late(uv_timer_t *timer) {
  struct socket_connect *c = timer->data;
  if (c->resolve || c->next >= c->count) {
    connect_fail(c, -ETIMEDOUT);
    return;
  }
  attempt_give_up(c); /* its share of the time is over: the next address has one too */
  c->status = -ETIMEDOUT;
  connect_next(c);
}

/* The time that is left, in equal parts for the addresses that are left. */
static void connect_arm(struct socket_connect *c, size_t parts) {
  if (!c->deadline_ns)
    return;
  int64_t left = (c->deadline_ns - clock_now_ns()) / (int64_t)parts / 1000000;
  timer_start(&c->timer, connect_late, left > 0 ? (uint64_t)left + 1 : 1);
}

/* Tries addresses until one is under way; each failure at once only moves on. */
static void connect_next(struct socket_connect *c) {
  while (c->next < c->count) {
    size_t left = c->count - c->next;
    int rc = attempt_tcp(c, &c->records[c->next++]);
    if (rc == 0) {
      connect_arm(c, left);
      return;
    }
    c->status = rc;
  }
  connect_fail(c, c->status);
}

static void connect_resolved(void *arg, const struct resolve_answer *answer) {
  struct socket_connect *c = arg;
  c->resolve = NULL;
  if (answer->status < 0) {
    connect_fail(c, answer->status);
    return;
  }
  c->records = malloc(answer->count * sizeof *c->records);
  if (!c->records) {
    connect_fail(c, -ENOMEM);
    return;
  }
  memcpy(c->records, answer->records, answer->count * sizeof *c->records);
  c->count = answer->count;
  connect_next(c);
}

static void connect_later(struct later *l) {
  struct socket_connect *c = ring_item(l, struct socket_connect, later);
  connect_fail(c, c->status);
}

static struct socket_connect *connect_new(struct io *io, uint64_t timeout_ms, socket_open_fn done,
                                          void *arg) {
  struct socket_connect *c = calloc(1, sizeof *c);
  if (!c)
    return NULL;
  c->io = io;
  c->done = done;
  c->arg = arg;
  if (timeout_ms)
    c->deadline_ns = clock_now_ns() + (int64_t)timeout_ms * 1000000;
  later_init(&c->later, connect_later);
  uv_timer_init(io->loop, &c->timer);
  c->timer.data = c;
  io_hold(io);
  return c;
}

int socket_connect_tcp(struct io *io, const char *host, uint16_t port, uint64_t timeout_ms,
                       socket_open_fn done, void *arg, struct socket_connect **out) {
  struct socket_connect *c = connect_new(io, timeout_ms, done, arg);
  if (!c)
    return -ENOMEM;
  c->port = port;
  int rc = resolve_start(io, host, RESOLVE_CONNECT, 0, connect_resolved, c, &c->resolve);
  if (rc < 0) {
    connect_end(c);
    return rc;
  }
  connect_arm(c, 1);
  *out = c;
  return 0;
}

int socket_connect_unix(struct io *io, const char *path, size_t root, uint64_t timeout_ms,
                        socket_open_fn done, void *arg, struct socket_connect **out) {
  if (!*path || strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
    return -ENAMETOOLONG; /* libuv would cut it short */
  struct beneath at;
  int rc = beneath_target(path, root, &at);
  if (rc < 0) {
    beneath_release(&at);
    return rc;
  }
  struct socket_connect *c = connect_new(io, timeout_ms, done, arg);
  struct attempt *a = c ? attempt_new(c, false) : NULL;
  if (a)
    uv_pipe_connect(&a->request, &socket_stream(a->socket)->pipe, root ? at.path : path,
                    attempt_over);
  beneath_release(&at);
  if (!a) {
    if (c)
      connect_end(c);
    return -ENOMEM;
  }
  connect_arm(c, 1);
  *out = c;
  return 0;
}

void socket_connect_cancel(struct socket_connect *c) {
  connect_end(c);
}
