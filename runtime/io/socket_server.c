/* socket_server: listening, TCP and unix. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fault.h"
#include "io/beneath.h"
#include "io/stream.h"

enum { BACKLOG = 511 };

struct socket_server {
  union stream stream;
  uv_timer_t deadline;
  unsigned handles; /* of the two above, still open */
  struct io *io;
  struct later later;
  bool tcp;
  char *path;          /* of a unix socket, as it was asked for */
  struct beneath at;   /* where that leads, held for as long as libuv is to unlink it there */
  int ready;           /* 1: libuv holds a connection, and takes no more before it is accepted */
  socket_open_fn done; /* NULL: nobody accepts */
  void *arg;
};

static void server_gone(uv_handle_t *handle) {
  struct socket_server *v = handle->data;
  if (--v->handles)
    return;
  struct io *io = v->io;
  beneath_release(&v->at);
  free(v->path);
  free(v);
  io_drop(io);
}

void socket_server_close(struct socket_server *v) {
  v->done = NULL;
  later_stop(&v->later);
  uv_close(&v->stream.handle, server_gone); /* a pipe's path is unlinked with it */
  uv_close((uv_handle_t *)&v->deadline, server_gone);
}

/* Hands out what there is: a connection, or the error that accepting it made. */
static void server_settle(struct socket_server *v) {
  if (!v->done || !v->ready)
    return;
  socket_open_fn done = v->done;
  struct socket *s = NULL;
  int rc = v->ready < 0 ? v->ready : socket_new(v->io, v->tcp, &s);
  v->ready = 0;
  v->done = NULL;
  uv_timer_stop(&v->deadline);
  if (rc == 0)
    rc = uv_accept(&v->stream.stream, &socket_stream(s)->stream);
  if (rc == 0 && v->path)
    rc = socket_call(s, v->path);
  if (rc < 0 && s) {
    socket_close(s);
    s = NULL;
  }
  if (s && v->tcp)
    uv_tcp_nodelay(&socket_stream(s)->tcp, 1);
  done(v->arg, rc, s);
}

static void server_connection(uv_stream_t *stream, int status) {
  struct socket_server *v = stream->data;
  v->ready = status < 0 ? status : 1;
  server_settle(v);
}

static void server_later(struct later *l) {
  server_settle(ring_item(l, struct socket_server, later));
}

static void server_late(uv_timer_t *timer) {
  struct socket_server *v = timer->data;
  socket_open_fn done = v->done;
  v->done = NULL;
  done(v->arg, -ETIMEDOUT, NULL);
}

int socket_accept(struct socket_server *v, uint64_t timeout_ms, socket_open_fn done, void *arg) {
  if (v->done)
    return -EBUSY;
  v->done = done;
  v->arg = arg;
  if (v->ready)
    later_start(v->io, &v->later);
  else if (timeout_ms)
    timer_start(&v->deadline, server_late, timeout_ms);
  return 0;
}

void socket_accept_cancel(struct socket_server *v) {
  v->done = NULL;
  later_stop(&v->later);
  uv_timer_stop(&v->deadline);
}

int socket_server_name(const struct socket_server *v, char *name) {
  if (v->path) {
    snprintf(name, SOCKET_NAME_SIZE, "unix:%s", v->path);
    return 0;
  }
  return stream_name(&v->stream, false, name);
}

static int server_new(struct io *io, bool tcp, struct socket_server **out) {
  struct socket_server *v = calloc(1, sizeof *v);
  if (!v)
    return -ENOMEM;
  int rc = stream_init(io->loop, &v->stream, tcp);
  if (rc < 0) {
    free(v);
    return rc;
  }
  uv_timer_init(io->loop, &v->deadline);
  v->stream.handle.data = v->deadline.data = v;
  v->handles = 2;
  v->io = io;
  v->tcp = tcp;
  v->at.fd = -1;
  later_init(&v->later, server_later);
  io_hold(io);
  *out = v;
  return 0;
}

int socket_listen_tcp(struct io *io, const char *host, uint16_t port, struct socket_server **out,
                      struct fault *f) {
  union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
  } address;
  const char *literal = *host ? host : "::";
  if (uv_ip4_addr(literal, port, &address.four) < 0 && uv_ip6_addr(literal, port, &address.six) < 0)
    return fault_set(f, -EINVAL, "cannot listen on \"%s\": not an IP address", host);
  struct socket_server *v;
  int rc = server_new(io, true, &v);
  if (rc < 0)
    return fault_set(f, rc, "cannot listen: %s", uv_strerror(rc));
  rc = uv_tcp_bind(&v->stream.tcp, &address.any, 0);
  if (rc == 0)
    rc = uv_listen(&v->stream.stream, BACKLOG, server_connection);
  if (rc < 0) {
    socket_server_close(v);
    return fault_set(f, rc, "cannot listen on %s port %u: %s", literal, port, uv_strerror(rc));
  }
  *out = v;
  return 0;
}

/* A socket file that its listener left behind when it was killed, and that nobody answers on. */
static bool path_is_stale(const struct sockaddr_un *address) {
  struct stat st;
  if (lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
    return false;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return false;
  int rc = connect(fd, (const struct sockaddr *)address, sizeof *address);
  bool refused = rc < 0 && errno == ECONNREFUSED;
  close(fd);
  return refused;
}

/* Takes the path's place, over from who is not there any more. */
static int bind_path(struct socket_server *v, const char *path, size_t root) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int rc = beneath_place(path, root, &v->at);
  if (rc == 0 && snprintf(address.sun_path, sizeof address.sun_path, "%s",
                          root ? v->at.path : path) >= (int)sizeof address.sun_path)
    rc = -ENAMETOOLONG;
  if (rc < 0)
    return rc;
  if (path_is_stale(&address))
    unlink(address.sun_path);
  return uv_pipe_bind(&v->stream.pipe, address.sun_path);
}

int socket_listen_unix(struct io *io, const char *path, size_t root, struct socket_server **out,
                       struct fault *f) {
  size_t most = sizeof((struct sockaddr_un *)0)->sun_path - 1;
  if (!*path || strlen(path) > most)
    return fault_set(f, -ENAMETOOLONG, "cannot listen on %s: a path has 1 to %zu bytes", path,
                     most);
  struct socket_server *v;
  int rc = server_new(io, false, &v);
  if (rc < 0)
    return fault_set(f, rc, "cannot listen: %s", uv_strerror(rc));
  v->path = strdup(path);
  rc = v->path ? bind_path(v, path, root) : -ENOMEM;
  if (rc == 0)
    rc = uv_listen(&v->stream.stream, BACKLOG, server_connection);
  if (rc < 0) {
    socket_server_close(v);
    return fault_set(f, rc, "cannot listen on %s: %s", path,
                     rc == -EXDEV ? "a link leads out of its directory" : uv_strerror(rc));
  }
  *out = v;
  return 0;
}
