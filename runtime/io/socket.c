/* socket: an open stream: reads of several kinds, writes, deadlines. */
#include "io/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/socket_inside.h"
#include "io/tls.h"

enum { CHUNK = 64 * 1024 };

union stream *socket_stream(struct socket *s) {
  return &s->stream;
}

static void read_settle(struct socket *s);

static void read_later(struct later *l) {
  read_settle(ring_item(l, struct socket, later));
}

int socket_new(struct io *io, bool tcp, struct socket **out) {
  struct socket *s = calloc(1, sizeof *s);
  if (!s)
    return -ENOMEM;
  int rc = stream_init(io->loop, &s->stream, tcp);
  if (rc < 0) {
    free(s);
    return rc;
  }
  uv_timer_init(io->loop, &s->read_deadline);
  uv_timer_init(io->loop, &s->write_deadline);
  s->stream.handle.data = s->read_deadline.data = s->write_deadline.data = s;
  s->handles = 3;
  s->io = io;
  later_init(&s->later, read_later);
  io_hold(io);
  *out = s;
  return 0;
}

static void socket_gone(uv_handle_t *handle) {
  struct socket *s = handle->data;
  if (--s->handles)
    return;
  struct io *io = s->io;
  buf_free(&s->in);
  buf_free(&s->sealed);
  free(s->path);
  free(s);
  io_drop(io);
}

void socket_close(struct socket *s) {
  socket_tls_close(s);
  s->read_done = NULL;
  if (s->sending)
    s->sending->socket = NULL;
  later_stop(&s->later);
  uv_close(&s->stream.handle, socket_gone);
  uv_close((uv_handle_t *)&s->read_deadline, socket_gone);
  uv_close((uv_handle_t *)&s->write_deadline, socket_gone);
}

/* ---- reading ---- */

/* Ends the read; its callback may close the socket. The first `n` bytes of `in` are what it read.
 */
static void read_end(struct socket *s, ssize_t n) {
  socket_read_fn done = s->read_done;
  s->read_done = NULL;
  uv_timer_stop(&s->read_deadline);
  uv_read_stop(&s->stream.stream);
  if (n <= 0) {
    done(s->read_arg, n, NULL);
    return;
  }
  /* The callback gets the bytes in a buffer of its own, so that it may close or read again. */
  struct buf taken = s->in;
  size_t rest = taken.length - (size_t)n;
  s->in = (struct buf){0};
  s->looked = 0;
  buf_add(&s->in, taken.data + n, rest);
  if (s->in.failed) {
    buf_free(&s->in);
    buf_free(&taken);
    s->ended = -ENOMEM; /* bytes are lost: the stream is of no more use */
    done(s->read_arg, -ENOMEM, NULL);
    return;
  }
  done(s->read_arg, n, taken.data);
  buf_free(&taken);
}

/* What the read comes to with what is there: bytes, an error, or -EAGAIN for not yet. */
static ssize_t read_outcome(struct socket *s) {
  size_t have = s->in.length;
  switch (s->kind) {
  case SOCKET_SOME:
    if (have)
      return (ssize_t)(have < s->wanted ? have : s->wanted);
    break;
  case SOCKET_EXACTLY:
    if (have >= s->wanted)
      return (ssize_t)s->wanted;
    if (have && s->ended == UV_EOF)
      return -EPIPE;
    break;
  case SOCKET_ALL:
    if (have > s->wanted)
      return -EMSGSIZE;
    if (s->ended == UV_EOF)
      return (ssize_t)have;
    break;
  case SOCKET_SHAKE:
    return s->ended == UV_EOF ? -ECONNRESET : s->ended ? s->ended : tls_is_up(s->tls) ? 0 : -EAGAIN;
  case SOCKET_LINE: {
    const char *end =
        have > s->looked ? memchr(s->in.data + s->looked, '\n', have - s->looked) : NULL;
    if (end && end + 1 - s->in.data <= SOCKET_LINE_MAX)
      return end + 1 - s->in.data;
    if (have >= SOCKET_LINE_MAX)
      return -EMSGSIZE;
    s->looked = have;
    if (s->ended == UV_EOF)
      return (ssize_t)have;
    break;
  }
  }
  if (s->ended)
    return s->ended == UV_EOF ? 0 : s->ended;
  return -EAGAIN;
}

static void read_settle(struct socket *s) {
  ssize_t n = s->read_done ? read_outcome(s) : -EAGAIN;
  if (n != -EAGAIN)
    read_end(s, n);
}

static void read_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room) {
  struct socket *s = handle->data;
  struct buf *to = s->tls ? &s->sealed : &s->in;
  size_t want = CHUNK;
  if (s->kind == SOCKET_EXACTLY && s->wanted - s->in.length > want)
    want = s->wanted - s->in.length;
  if (buf_reserve(to, want) == 0)
    *room = uv_buf_init(to->data + to->length, (unsigned)want);
  else
    *room = uv_buf_init(NULL, 0); /* libuv reports UV_ENOBUFS */
}

static void read_arrived(uv_stream_t *stream, ssize_t n, const uv_buf_t *room) {
  struct socket *s = stream->data;
  if (n > 0 && s->tls)
    socket_tls_take(s, room->base, (size_t)n);
  else if (n > 0)
    s->in.length += (size_t)n;
  else if (n == UV_EOF && s->tls)
    s->ended = -ECONNRESET; /* cut off: under TLS an end is said */
  else if (n < 0)
    s->ended = n == UV_ENOBUFS ? -ENOMEM : (int)n;
  read_settle(s);
}

/* A handshake that is given up leaves nothing that could be gone on with. */
static void shake_give_up(struct socket *s, int why) {
  if (s->read_done && s->kind == SOCKET_SHAKE)
    s->ended = s->torn = why;
}

static void read_late(uv_timer_t *timer) {
  shake_give_up(timer->data, -ETIMEDOUT);
  read_end(timer->data, -ETIMEDOUT);
}

int socket_read(struct socket *s, enum socket_read_kind kind, size_t n, uint64_t timeout_ms,
                socket_read_fn done, void *arg) {
  if (s->read_done)
    return -EBUSY;
  if (n > SOCKET_READ_MAX || (kind != SOCKET_SOME && kind != SOCKET_LINE && n == 0))
    return -EINVAL;
  s->kind = kind;
  s->wanted = kind == SOCKET_SOME && n == 0 ? CHUNK : n;
  s->looked = 0;
  if (read_outcome(s) != -EAGAIN) {
    later_start(s->io, &s->later);
  } else {
    int rc = uv_read_start(&s->stream.stream, read_room, read_arrived);
    if (rc < 0)
      return rc;
    if (timeout_ms)
      timer_start(&s->read_deadline, read_late, timeout_ms);
  }
  s->read_done = done;
  s->read_arg = arg;
  return 0;
}

void socket_read_cancel(struct socket *s) {
  shake_give_up(s, -ECANCELED);
  s->read_done = NULL;
  later_stop(&s->later);
  uv_timer_stop(&s->read_deadline);
  uv_read_stop(&s->stream.stream);
}

/* ---- writing ---- */

static void write_end(struct socket *s, int status) {
  s->sending->socket = NULL;
  s->sending = NULL;
  uv_timer_stop(&s->write_deadline);
  if (status < 0)
    s->torn = status;
  s->write_done(s->write_arg, status);
}

static void sending_over(struct sending *sending, int status) {
  if (sending->socket)
    write_end(sending->socket, status);
  free(sending);
}

static void write_over(uv_write_t *write, int status) {
  sending_over(ring_item(write, struct sending, write), status);
}

static void shutdown_over(uv_shutdown_t *shutdown, int status) {
  sending_over(ring_item(shutdown, struct sending, shutdown), status);
}

static void write_late(uv_timer_t *timer) {
  write_end(timer->data, -ETIMEDOUT);
}

int socket_write(struct socket *s, const void *data, size_t length, uint64_t timeout_ms,
                 socket_done_fn done, void *arg) {
  if (s->sending)
    return -EBUSY;
  if (s->torn)
    return s->torn;
  if (s->tls && !tls_is_up(s->tls))
    return -EBUSY;
  if (length > SOCKET_READ_MAX)
    return -EMSGSIZE;
  if (s->tls) {
    int sealed = tls_write(s->tls, data, length);
    if (sealed < 0)
      return s->torn = sealed;
    data = tls_out(s->tls, &length);
  }
  struct sending *sending = malloc(sizeof *sending + length);
  if (!sending)
    return -ENOMEM;
  sending->socket = s;
  memcpy(sending->data, data, length);
  if (s->tls)
    tls_sent(s->tls);
  uv_buf_t bytes = uv_buf_init(sending->data, (unsigned)length);
  int rc = uv_write(&sending->write, &s->stream.stream, &bytes, 1, write_over);
  if (rc < 0) {
    free(sending);
    return rc;
  }
  s->sending = sending;
  s->write_done = done;
  s->write_arg = arg;
  if (timeout_ms)
    timer_start(&s->write_deadline, write_late, timeout_ms);
  return 0;
}

int socket_shutdown(struct socket *s, socket_done_fn done, void *arg) {
  if (s->sending)
    return -EBUSY;
  if (s->torn)
    return s->torn;
  if (s->tls) {
    tls_end(s->tls);
    socket_tls_flush(s);
  }
  struct sending *sending = malloc(sizeof *sending);
  if (!sending)
    return -ENOMEM;
  sending->socket = s;
  int rc = uv_shutdown(&sending->shutdown, &s->stream.stream, shutdown_over);
  if (rc < 0) {
    free(sending);
    return rc;
  }
  s->sending = sending;
  s->write_done = done;
  s->write_arg = arg;
  return 0;
}

void socket_write_cancel(struct socket *s) {
  if (!s->sending)
    return;
  s->sending->socket = NULL;
  s->sending = NULL;
  s->torn = -ECANCELED;
  uv_timer_stop(&s->write_deadline);
}

/* ---- names ---- */

int stream_name(const union stream *s, bool peer, char *name) {
  int rc;
  if (s->handle.type == UV_NAMED_PIPE) {
    char path[SOCKET_NAME_SIZE - 8];
    size_t length = sizeof path;
    rc = peer ? uv_pipe_getpeername(&s->pipe, path, &length)
              : uv_pipe_getsockname(&s->pipe, path, &length);
    if (rc == 0)
      snprintf(name, SOCKET_NAME_SIZE, "unix:%.*s", (int)length, path);
    return rc;
  }
  struct sockaddr_storage address;
  int length = sizeof address;
  rc = peer ? uv_tcp_getpeername(&s->tcp, (struct sockaddr *)&address, &length)
            : uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&address, &length);
  if (rc < 0)
    return rc;
  char host[INET6_ADDRSTRLEN];
  uv_ip_name((struct sockaddr *)&address, host, sizeof host);
  bool six = address.ss_family == AF_INET6;
  in_port_t port = six ? ((struct sockaddr_in6 *)&address)->sin6_port
                       : ((struct sockaddr_in *)&address)->sin_port;
  snprintf(name, SOCKET_NAME_SIZE, six ? "[%s]:%u" : "%s:%u", host, ntohs(port));
  return 0;
}

int socket_call(struct socket *s, const char *path) {
  s->path = strdup(path);
  return s->path ? 0 : -ENOMEM;
}

int socket_local_name(const struct socket *s, char *name) {
  if (s->path) {
    snprintf(name, SOCKET_NAME_SIZE, "unix:%s", s->path);
    return 0;
  }
  return stream_name(&s->stream, false, name);
}

int socket_peer_name(const struct socket *s, char *name) {
  return stream_name(&s->stream, true, name);
}
