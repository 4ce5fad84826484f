#include "io/resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/clock.h"

enum {
  BUCKETS = 256,
  KEEP_MAX = 1024, /* answers */
  KEEP_MAX_S = 60, /* however long the TTL: endpoints move */
  KEEP_NEGATIVE_S = 1,
  TRY_MS = 1500, /* the first wait for a server; c-ares doubles it each round */
  TRIES = 3,
};
#define RESOLV_CONF "/etc/resolv.conf"

/* question: asked, or answered and kept. */
struct question {
  struct ring in_bucket, in_age; /* in_age: answered ones, oldest first */
  struct resolver *resolver;
  struct ring waiters;
  struct answer *answer; /* NULL while in flight */
  int64_t expires_ns;
  enum resolve_type type;
  char name[];
};

/* port: one socket of c-ares, as long as c-ares has it open. */
struct port {
  struct ring link;
  uv_poll_t poll;
  struct resolver *resolver;
  ares_socket_t fd;
};

struct resolver {
  struct io *io;
  ares_channel channel;
  bool has_channel;
  uv_timer_t timer;
  struct ring ports;
  struct ring buckets[BUCKETS];
  struct ring age;
  size_t kept, in_flight, waiting;
  char *servers;          /* asked for by resolve_servers, or NULL */
  struct timespec config; /* resolv.conf's time of change when the channel was made */
};

struct answer *answer_new(int status, size_t count) {
  struct answer *a = calloc(1, sizeof *a + count * sizeof a->records[0]);
  if (a) {
    a->references = 1;
    a->public = (struct resolve_answer){status, count, a->records};
  }
  return a;
}

struct answer *answer_ref(struct answer *a) {
  a->references++;
  return a;
}

void answer_unref(struct answer *a) {
  if (a && --a->references == 0)
    free(a);
}

void waiter_init(struct waiter *w, void (*answered)(struct waiter *w)) {
  *w = (struct waiter){.answered = answered};
  ring_init(&w->link);
}

/* ---- c-ares on the loop ---- */

static void resolver_arm(struct resolver *r);

static void port_gone(uv_handle_t *handle) {
  free(handle->data);
}

static void port_close(struct port *p) {
  ring_remove(&p->link);
  uv_close((uv_handle_t *)&p->poll, port_gone);
}

static void port_ready(uv_poll_t *poll, int status, int events) {
  struct port *p = poll->data;
  struct resolver *r = p->resolver;
  ares_socket_t fd = p->fd;
  /* On an error both ways are told, and c-ares finds it by reading. c-ares may close the port here.
   */
  bool in = status < 0 || (events & UV_READABLE), out = status < 0 || (events & UV_WRITABLE);
  ares_process_fd(r->channel, in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD);
  resolver_arm(r);
}

/* c-ares wants to hear of `fd`; neither way means that it closes it next. */
static void resolver_watch(void *arg, ares_socket_t fd, int readable, int writable) {
  struct resolver *r = arg;
  struct port *p = NULL;
  for (struct ring *l = r->ports.next; l != &r->ports; l = l->next)
    if (ring_item(l, struct port, link)->fd == fd)
      p = ring_item(l, struct port, link);
  if (!readable && !writable) {
    if (p)
      port_close(p);
    return;
  }
  if (!p) {
    p = calloc(1, sizeof *p);
    if (!p)
      return; /* the question runs into its timeout */
    if (uv_poll_init(r->io->loop, &p->poll, fd) < 0) {
      free(p);
      return;
    }
    p->poll.data = p;
    p->resolver = r;
    p->fd = fd;
    ring_append(&r->ports, &p->link);
  }
  uv_poll_start(&p->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), port_ready);
}

static void resolver_tick(uv_timer_t *timer) {
  struct resolver *r = timer->data;
  ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  resolver_arm(r);
}

static void resolver_arm(struct resolver *r) {
  struct timeval tv;
  if (r->in_flight && ares_timeout(r->channel, NULL, &tv))
    timer_start(&r->timer, resolver_tick,
                (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
  else
    uv_timer_stop(&r->timer);
}

static struct timespec config_time(void) {
  struct stat st;
  return stat(RESOLV_CONF, &st) == 0 ? st.st_mtim : (struct timespec){0};
}

/* Makes the channel; anew when resolv.conf has changed and no question would be lost by it. */
static int resolver_ready(struct resolver *r) {
  struct timespec config = config_time();
  if (r->has_channel) {
    bool same = config.tv_sec == r->config.tv_sec && config.tv_nsec == r->config.tv_nsec;
    if (same || r->in_flight)
      return 0;
    ares_destroy(r->channel);
    r->has_channel = false;
  }
  char lookups[] = "fb"; /* hosts file, then servers */
  struct ares_options options = {
      .timeout = TRY_MS,
      .tries = TRIES,
      .lookups = lookups,
      .sock_state_cb = resolver_watch,
      .sock_state_cb_data = r,
  };
  int rc = ares_init_options(&r->channel, &options,
                             ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
                                 ARES_OPT_SOCK_STATE_CB);
  if (rc != ARES_SUCCESS)
    return rc == ARES_ENOMEM ? -ENOMEM : -EIO;
  r->has_channel = true;
  r->config = config;
  if (r->servers && ares_set_servers_ports_csv(r->channel, r->servers) != ARES_SUCCESS)
    return -EINVAL;
  return 0;
}

static int resolver_of(struct io *io, struct resolver **out) {
  if (!io->resolver) {
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
      return -ENOMEM;
    struct resolver *r = calloc(1, sizeof *r);
    if (!r)
      return -ENOMEM;
    r->io = io;
    ring_init(&r->ports);
    ring_init(&r->age);
    for (size_t i = 0; i < BUCKETS; i++)
      ring_init(&r->buckets[i]);
    uv_timer_init(io->loop, &r->timer);
    r->timer.data = r;
    io->resolver = r;
  }
  *out = io->resolver;
  return 0;
}

/* ---- questions and answers ---- */

static size_t name_bucket(const char *name, enum resolve_type type) {
  uint32_t hash = 2166136261u ^ (uint32_t)type; /* FNV-1a */
  for (; *name; name++)
    hash = (hash ^ (uint32_t)(*name | 0x20)) * 16777619u;
  return hash % BUCKETS;
}

static void question_free(struct question *q) {
  ring_remove(&q->in_bucket);
  if (!ring_empty(&q->in_age)) {
    ring_remove(&q->in_age);
    q->resolver->kept--;
  }
  answer_unref(q->answer);
  free(q);
}

static struct question *question_find(struct resolver *r, const char *name,
                                      enum resolve_type type) {
  struct ring *bucket = &r->buckets[name_bucket(name, type)];
  for (struct ring *l = bucket->next; l != bucket; l = l->next) {
    struct question *q = ring_item(l, struct question, in_bucket);
    if (q->type != type || strcasecmp(q->name, name) != 0)
      continue;
    if (!q->answer || q->expires_ns > clock_now_ns())
      return q;
    question_free(q);
    return NULL;
  }
  return NULL;
}

/* How long an answer may be kept, in seconds. */
static uint32_t answer_life(const struct resolve_answer *a) {
  if (a->status == -ENOENT)
    return KEEP_NEGATIVE_S;
  uint32_t life = a->status == 0 ? KEEP_MAX_S : 0;
  for (size_t i = 0; i < a->count; i++)
    if (a->records[i].ttl < life)
      life = a->records[i].ttl;
  return life;
}

static void waiter_answer(struct waiter *w, struct answer *a) {
  w->answer = answer_ref(a);
  w->answered(w);
}

/* The end of a question in flight: tells its waiters, and keeps the answer or itself no longer. `a`
 * is taken over; NULL is out of memory. */
static void question_answered(struct question *q, struct answer *a) {
  static struct answer no_memory = {.references = 1, .public = {.status = -ENOMEM}};
  struct resolver *r = q->resolver;
  r->in_flight--;
  q->answer = a ? a : answer_ref(&no_memory);
  while (!ring_empty(&q->waiters)) {
    struct waiter *w = ring_item(q->waiters.next, struct waiter, link);
    ring_remove(&w->link);
    r->waiting--;
    waiter_answer(w, q->answer);
  }
  uint32_t life = answer_life(&q->answer->public);
  if (life == 0) {
    question_free(q);
    return;
  }
  q->expires_ns = clock_now_ns() + (int64_t)life * 1000000000;
  ring_append(&r->age, &q->in_age);
  if (++r->kept > KEEP_MAX)
    question_free(ring_item(r->age.next, struct question, in_age));
}

static int ares_errno(int status) {
  switch (status) {
  case ARES_SUCCESS:
    return 0;
  case ARES_ENOTFOUND:
  case ARES_ENODATA:
    return -ENOENT;
  case ARES_ETIMEOUT:
    return -ETIMEDOUT;
  case ARES_ECONNREFUSED:
    return -ECONNREFUSED;
  case ARES_EBADNAME:
    return -EINVAL;
  case ARES_ENOMEM:
    return -ENOMEM;
  case ARES_ECANCELLED:
  case ARES_EDESTRUCTION:
    return -ECANCELED;
  default:
    return -EREMOTEIO;
  }
}

static struct answer *addresses_answer(const struct ares_addrinfo *info) {
  size_t count = 0;
  for (struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next)
    count++;
  struct answer *a = answer_new(count ? 0 : -ENOENT, count);
  if (!a)
    return NULL;
  /* Where the name is an alias, what it stands for holds no longer than that. */
  int most = INT_MAX;
  for (struct ares_addrinfo_cname *c = info->cnames; c; c = c->next)
    most = c->ttl < most ? c->ttl : most;
  struct resolve_record *record = a->records;
  for (struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next, record++) {
    int ttl = n->ai_ttl < most ? n->ai_ttl : most;
    record->ttl = ttl > 0 ? (uint32_t)ttl : 0;
    record->family = n->ai_family;
    const void *bytes = n->ai_family == AF_INET
                            ? (const void *)&((struct sockaddr_in *)n->ai_addr)->sin_addr
                            : (const void *)&((struct sockaddr_in6 *)n->ai_addr)->sin6_addr;
    inet_ntop(n->ai_family, bytes, record->target, sizeof record->target);
  }
  return a;
}

static void addresses_done(void *arg, int status, int timeouts, struct ares_addrinfo *info) {
  struct answer *a =
      status == ARES_SUCCESS ? addresses_answer(info) : answer_new(ares_errno(status), 0);
  if (info)
    ares_freeaddrinfo(info);
  question_answered(arg, a);
}

static void srv_done(void *arg, int status, int timeouts, unsigned char *message, int length) {
  question_answered(arg, status == ARES_SUCCESS ? srv_parse(message, length)
                                                : answer_new(ares_errno(status), 0));
}

/* May answer before it returns (hosts file, a name that cannot be): `q` may be gone then. */
static void question_ask(struct resolver *r, struct question *q) {
  static const int family[] = {
      [RESOLVE_CONNECT] = AF_UNSPEC, [RESOLVE_A] = AF_INET, [RESOLVE_AAAA] = AF_INET6};
  r->in_flight++;
  if (q->type == RESOLVE_SRV) {
    ares_search(r->channel, q->name, ns_c_in, ns_t_srv, srv_done, q);
  } else {
    struct ares_addrinfo_hints hints = {.ai_family = family[q->type]};
    ares_getaddrinfo(r->channel, q->name, NULL, &hints, addresses_done, q);
  }
  resolver_arm(r);
}

int resolver_ask(struct io *io, const char *name, enum resolve_type type, struct waiter *w) {
  struct resolver *r;
  int rc = resolver_of(io, &r);
  if (rc < 0)
    return rc;
  struct question *q = question_find(r, name, type);
  if (q && q->answer) {
    waiter_answer(w, q->answer);
    return 0;
  }
  bool asked = q;
  if (!asked) {
    rc = resolver_ready(r);
    if (rc < 0)
      return rc;
    size_t length = strlen(name);
    q = calloc(1, sizeof *q + length + 1);
    if (!q)
      return -ENOMEM;
    q->resolver = r;
    q->type = type;
    memcpy(q->name, name, length + 1);
    ring_init(&q->waiters);
    ring_init(&q->in_age);
    ring_append(&r->buckets[name_bucket(name, type)], &q->in_bucket);
  }
  ring_append(&q->waiters, &w->link);
  r->waiting++;
  if (!asked)
    question_ask(r, q);
  return 0;
}

void resolver_leave(struct io *io, struct waiter *w) {
  struct resolver *r = io->resolver;
  answer_unref(w->answer);
  w->answer = NULL;
  if (ring_empty(&w->link))
    return;
  ring_remove(&w->link);
  if (--r->waiting == 0) {
    ares_cancel(r->channel); /* nobody is left to hear of any of them */
    resolver_arm(r);
  }
}

int resolve_servers(struct io *io, const char *servers) {
  struct resolver *r;
  int rc = resolver_of(io, &r);
  if (rc < 0)
    return rc;
  if (r->in_flight)
    return -EBUSY;
  char *copy = servers ? strdup(servers) : NULL;
  if (servers && !copy)
    return -ENOMEM;
  free(r->servers);
  r->servers = copy;
  while (!ring_empty(&r->age))
    question_free(ring_item(r->age.next, struct question, in_age));
  if (r->has_channel)
    ares_destroy(r->channel);
  r->has_channel = false;
  return resolver_ready(r);
}

static void resolver_gone(uv_handle_t *handle) {
  struct resolver *r = handle->data;
  free(r->servers);
  free(r);
  ares_library_cleanup();
}

void resolver_free(struct resolver *r) {
  if (r->has_channel)
    ares_destroy(r->channel); /* ends what is in flight: nobody waits for it any more */
  while (!ring_empty(&r->age))
    question_free(ring_item(r->age.next, struct question, in_age));
  while (!ring_empty(&r->ports))
    port_close(ring_item(r->ports.next, struct port, link));
  uv_close((uv_handle_t *)&r->timer, resolver_gone);
}
