#include "io/fetch_pool.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IDLE_CONNECTIONS = 256 };

struct fetch_pool {
  struct io *io;
  CURLM *multi;
  uv_timer_t timer;
  struct later at_once; /* a timer of 0 ms, which libcurl must not get from within its call */
  struct ring plugs;
  struct ring wires;
  bool closing;
};

/* wire: a socket of libcurl's, whether it is watched or idle. */
struct wire {
  struct ring link;
  curl_socket_t fd;
  struct plug *plug; /* NULL: it is not watched */
  int port;          /* its own; 0 until that was asked for */
};

/* plug: a socket of libcurl that the loop watches. */
struct plug {
  struct ring link;
  uv_poll_t poll;
  struct fetch_pool *pool;
  struct wire *wire;
  curl_socket_t fd;
};

static void plug_gone(uv_handle_t *handle) {
  free(handle->data);
}

static void plug_close(struct plug *plug) {
  if (plug->wire)
    plug->wire->plug = NULL;
  ring_remove(&plug->link);
  uv_close((uv_handle_t *)&plug->poll, plug_gone); /* takes the fd from epoll now */
}

/* Takes every transfer that is over out of the multi handle. */
static void pool_collect(struct fetch_pool *p) {
  int left;
  CURLMsg *message;
  while ((message = curl_multi_info_read(p->multi, &left))) {
    if (message->msg != CURLMSG_DONE)
      continue;
    struct transfer *t;
    CURLcode code = message->data.result; /* `message` does not survive the removal */
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
    transfer_stop(p, t);
    if (t->spoiled && transfer_start(p, t, true) == 0)
      continue; /* libcurl has closed that one */
    t->code = code;
    later_start(p->io, &t->later);
  }
}

static void pool_act(struct fetch_pool *p, curl_socket_t fd, int what) {
  int running;
  curl_multi_socket_action(p->multi, fd, what, &running);
  pool_collect(p);
}

static void plug_ready(uv_poll_t *poll, int status, int events) {
  struct plug *plug = poll->data;
  int what = 0;
  if (status < 0) /* libuv has stopped watching: libcurl has to look, or it waits for ever */
    what = CURL_CSELECT_ERR;
  if (events & UV_READABLE)
    what |= CURL_CSELECT_IN;
  if (events & UV_WRITABLE)
    what |= CURL_CSELECT_OUT;
  pool_act(plug->pool, plug->fd, what);
}

/* NULL: libcurl has not asked us for it. From the newest on: what is opened and closed is mostly
 * that, beside a thousand streams that stay. */
static struct wire *wire_of(const struct fetch_pool *p, curl_socket_t fd) {
  for (struct ring *l = p->wires.before; l != &p->wires; l = l->before)
    if (ring_item(l, struct wire, link)->fd == fd)
      return ring_item(l, struct wire, link);
  return NULL;
}

static int pool_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned) {
  struct fetch_pool *p = arg;
  struct plug *plug = assigned;
  if (what == CURL_POLL_REMOVE) {
    if (plug) {
      curl_multi_assign(p->multi, fd, NULL);
      plug_close(plug);
    }
    return 0;
  }
  if (p->closing) /* curl_multi_cleanup says goodbye on connections: nobody will wait for it */
    return 0;
  if (!plug) {
    plug = calloc(1, sizeof *plug);
    if (!plug)
      return 0; /* the transfer runs into its deadline; -1 would end them all */
    if (uv_poll_init(p->io->loop, &plug->poll, fd) < 0) {
      free(plug);
      return 0;
    }
    plug->poll.data = plug;
    plug->pool = p;
    plug->fd = fd;
    plug->wire = wire_of(p, fd);
    if (plug->wire)
      plug->wire->plug = plug;
    ring_append(&p->plugs, &plug->link);
    curl_multi_assign(p->multi, fd, plug);
  }
  uv_poll_start(&plug->poll,
                (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
                plug_ready);
  return 0;
}

static curl_socket_t socket_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address) {
  struct transfer *t = arg;
  struct wire *wire = calloc(1, sizeof *wire);
  if (!wire)
    return CURL_SOCKET_BAD;
  wire->fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  if (wire->fd < 0) {
    t->no_socket = errno == EAFNOSUPPORT ? 0 : -errno; /* of addresses others may do */
    free(wire);
    return CURL_SOCKET_BAD;
  }
  t->no_socket = 0;
  ring_append(&t->pool->wires, &wire->link);
  return wire->fd;
}

static int wire_port(struct wire *wire) {
  union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
  } own = {0};
  socklen_t size = sizeof own;
  if (!wire->port && getsockname(wire->fd, &own.any, &size) == 0)
    wire->port = ntohs(own.any.sa_family == AF_INET6 ? own.six.sin6_port : own.four.sin_port);
  return wire->port;
}

/* libcurl closes a socket, perhaps before it takes back its watch; libuv 1.44 aborts the process
 * when epoll meets a closed one. Connections outlive their easy handle, so the pool is the
 * argument. */
static int socket_shut(void *arg, curl_socket_t fd) {
  struct fetch_pool *p = arg;
  struct wire *wire = wire_of(p, fd);
  if (wire && wire->plug) {
    curl_multi_assign(p->multi, fd, NULL);
    plug_close(wire->plug);
  }
  if (wire) {
    ring_remove(&wire->link);
    free(wire);
  }
  return close(fd);
}

static void pool_tick(uv_timer_t *timer) {
  pool_act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void pool_at_once(struct later *l) {
  pool_act(ring_item(l, struct fetch_pool, at_once), CURL_SOCKET_TIMEOUT, 0);
}

static int pool_timer(CURLM *multi, long ms, void *arg) {
  struct fetch_pool *p = arg;
  later_stop(&p->at_once);
  uv_timer_stop(&p->timer);
  if (p->closing || ms < 0)
    return 0;
  if (ms == 0)
    later_start(p->io, &p->at_once);
  else
    timer_start(&p->timer, pool_tick, (uint64_t)ms);
  return 0;
}

/* Debian's resolver is a thread that libcurl waits for when a transfer is cancelled. Everything is
 * given by CURLOPT_RESOLVE or as a literal (`literal`: transfers whose host is one). */
static int resolver_starts(void *state, void *reserved, void *literal) {
  return literal ? 0 : 1;
}

int fetch_pool_of(struct io *io, struct fetch_pool **out) {
  if (!io->pool) {
    struct fetch_pool *p = calloc(1, sizeof *p);
    if (!p)
      return -ENOMEM;
    /* Counted by libcurl; for the life of the process, as other users of OpenSSL may be left. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
      p->multi = curl_multi_init();
    if (!p->multi) {
      free(p);
      return -ENOMEM;
    }
    p->io = io;
    ring_init(&p->plugs);
    ring_init(&p->wires);
    later_init(&p->at_once, pool_at_once);
    uv_timer_init(io->loop, &p->timer);
    p->timer.data = p;
    curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, pool_socket);
    curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
    curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, pool_timer);
    curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
    curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
    io->pool = p;
  }
  *out = io->pool;
  return 0;
}

static void pool_gone(uv_handle_t *handle) {
  free(handle->data);
}

void fetch_pool_free(struct fetch_pool *p) {
  p->closing = true;
  curl_multi_cleanup(p->multi);
  while (!ring_empty(&p->plugs))
    plug_close(ring_item(p->plugs.next, struct plug, link));
  later_stop(&p->at_once);
  uv_close((uv_handle_t *)&p->timer, pool_gone);
}

/* ---- transfers ---- */

static void transfer_later(struct later *l) {
  struct transfer *t = ring_item(l, struct transfer, later);
  t->over(t);
}

int transfer_open(struct fetch_pool *p, struct transfer *t, void (*over)(struct transfer *t)) {
  *t = (struct transfer){.over = over, .easy = curl_easy_init()};
  later_init(&t->later, transfer_later);
  if (!t->easy)
    return -ENOMEM;
  curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
  curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(t->easy, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(t->easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, socket_open);
  curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETDATA, t);
  curl_easy_setopt(t->easy, CURLOPT_CLOSESOCKETFUNCTION, socket_shut);
  curl_easy_setopt(t->easy, CURLOPT_CLOSESOCKETDATA, p);
  curl_easy_setopt(t->easy, CURLOPT_RESOLVER_START_FUNCTION, resolver_starts);
  return 0;
}

/* What has come on a connection while nobody had asked for anything is no answer: libcurl would
 * take it for this request's, and each answer after it for that of the next request. Over TLS it
 * may be TLS's own, or HTTP/2's. On a connection that is new somebody speaks first who speaks no
 * HTTP, and would again on the next: libcurl says so. */
static int before_request(void *arg, char *to, char *from, int to_port, int from_port) {
  struct transfer *t = arg;
  long made = 0;
  char byte;
  curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &made);
  if (made > 0)
    return CURL_PREREQFUNC_OK;
  for (struct ring *l = t->pool->wires.next; from_port && l != &t->pool->wires; l = l->next) {
    struct wire *wire = ring_item(l, struct wire, link);
    if (wire_port(wire) == from_port)
      t->spoiled |= recv(wire->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
  }
  return t->spoiled ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

int transfer_start(struct fetch_pool *p, struct transfer *t, bool plain) {
  t->pool = p;
  t->spoiled = false;
  t->no_socket = 0;
  curl_easy_setopt(t->easy, CURLOPT_PREREQFUNCTION, plain ? before_request : NULL);
  curl_easy_setopt(t->easy, CURLOPT_PREREQDATA, t);
  CURLMcode code = curl_multi_add_handle(p->multi, t->easy);
  t->running = code == CURLM_OK;
  return code == CURLM_OK ? 0 : code == CURLM_OUT_OF_MEMORY ? -ENOMEM : -EIO;
}

void transfer_stop(struct fetch_pool *p, struct transfer *t) {
  if (t->running)
    curl_multi_remove_handle(p->multi, t->easy);
  t->running = false;
}

void transfer_close(struct fetch_pool *p, struct transfer *t) {
  later_stop(&t->later);
  transfer_stop(p, t);
  if (t->easy)
    curl_easy_cleanup(t->easy);
  t->easy = NULL;
}
