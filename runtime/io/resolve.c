/* resolve: one wait for a name: literals at once, the rest from the resolver. */
#include "io/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/resolver.h"

struct resolve {
  struct waiter waiter; /* for the resolver */
  struct io *io;
  struct later later;
  uv_timer_t deadline;
  resolve_fn done;
  void *arg;
};

static void resolve_gone(uv_handle_t *handle) {
  struct resolve *r = handle->data;
  struct io *io = r->io;
  free(r);
  io_drop(io);
}

/* Leaves everything that could still call, and frees it with its timer. */
static void resolve_end(struct resolve *r) {
  resolver_leave(r->io, &r->waiter);
  later_stop(&r->later);
  uv_close((uv_handle_t *)&r->deadline, resolve_gone);
}

static void resolve_deliver(struct later *l) {
  struct resolve *r = ring_item(l, struct resolve, later);
  struct answer *a = answer_ref(r->waiter.answer);
  resolve_end(r);
  r->done(r->arg, &a->public);
  answer_unref(a);
}

static void resolve_answered(struct waiter *w) {
  struct resolve *r = ring_item(w, struct resolve, waiter);
  later_start(r->io, &r->later);
}

static void resolve_late(uv_timer_t *timer) {
  struct resolve *r = timer->data;
  struct resolve_answer late = {.status = -ETIMEDOUT};
  resolve_end(r);
  r->done(r->arg, &late);
}

/* An answer without asking, or NULL when `name` is no literal of a kind that was asked for. */
static struct answer *literal_answer(const char *name, enum resolve_type type) {
  struct sockaddr_in6 in;
  int family = 0;
  if (type != RESOLVE_SRV && type != RESOLVE_AAAA &&
      uv_ip4_addr(name, 0, (struct sockaddr_in *)&in) == 0)
    family = AF_INET;
  else if (type != RESOLVE_SRV && type != RESOLVE_A && uv_ip6_addr(name, 0, &in) == 0)
    family = AF_INET6;
  else
    return NULL;
  struct answer *a = answer_new(0, 1);
  if (a) {
    a->public.records[0].family = family;
    snprintf(a->public.records[0].target, sizeof a->public.records[0].target, "%s", name);
  }
  return a;
}

int resolve_start(struct io *io, const char *name, enum resolve_type type, uint64_t timeout_ms,
                  resolve_fn done, void *arg, struct resolve **out) {
  size_t length = strlen(name);
  if (length == 0 || length > 255)
    return -EINVAL;
  struct resolve *r = calloc(1, sizeof *r);
  if (!r)
    return -ENOMEM;
  *r = (struct resolve){.io = io, .done = done, .arg = arg};
  waiter_init(&r->waiter, resolve_answered);
  later_init(&r->later, resolve_deliver);
  uv_timer_init(io->loop, &r->deadline);
  r->deadline.data = r;
  io_hold(io);

  int rc = 0;
  r->waiter.answer = literal_answer(name, type);
  if (r->waiter.answer)
    later_start(io, &r->later);
  else
    rc = resolver_ask(io, name, type, &r->waiter);
  if (rc < 0) {
    resolve_end(r);
    return rc;
  }
  if (timeout_ms)
    timer_start(&r->deadline, resolve_late, timeout_ms);
  *out = r;
  return 0;
}

void resolve_cancel(struct resolve *r) {
  resolve_end(r);
}
