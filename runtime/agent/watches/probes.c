#include "agent/watches/probes.h"

#include "io/socket.h"

#include <stdlib.h>
#include <string.h>

enum { PROBES_AT_ONCE = 16, PROBE_MS = 2000 };

struct probe {
  struct probe *next;
  struct probes *all;
  struct instance *instance; /* a reference */
  struct socket_connect *connect;
};

struct probes {
  struct io *io;
  void (*told)(void *arg, const struct instance *in, bool alive);
  void *arg;
  struct probe *waiting, **waiting_last;
  struct probe *running;
  unsigned count; /* running */
};

struct probes *probes_new(struct io *io,
                          void (*told)(void *arg, const struct instance *in, bool alive),
                          void *arg) {
  struct probes *p = calloc(1, sizeof *p);
  if (!p)
    return NULL;
  *p = (struct probes){.io = io, .told = told, .arg = arg};
  p->waiting_last = &p->waiting;
  return p;
}

static void probe_free(struct probe *one) {
  instance_unref(one->instance);
  free(one);
}

void probes_free(struct probes *p) {
  if (!p)
    return;
  for (struct probe *one = p->running, *next; one; one = next) {
    next = one->next;
    socket_connect_cancel(one->connect);
    probe_free(one);
  }
  for (struct probe *one = p->waiting, *next; one; one = next) {
    next = one->next;
    probe_free(one);
  }
  free(p);
}

static void probes_begin(struct probes *p);

static void on_connected(void *arg, int status, struct socket *s) {
  struct probe *one = arg;
  struct probes *p = one->all;
  for (struct probe **link = &p->running; *link; link = &(*link)->next)
    if (*link == one) {
      *link = one->next;
      break;
    }
  p->count--;
  if (s)
    socket_close(s);
  p->told(p->arg, one->instance, status == 0);
  probe_free(one);
  probes_begin(p);
}

static int connect_to(struct probe *one) {
  const struct instance *in = one->instance;
  struct io *io = one->all->io;
  return in->address[0] == '/'
             ? socket_connect_unix(io, in->address, 0, PROBE_MS, on_connected, one, &one->connect)
             : socket_connect_tcp(io, in->address, in->port, PROBE_MS, on_connected, one,
                                  &one->connect);
}

static void probes_begin(struct probes *p) {
  while (p->waiting && p->count < PROBES_AT_ONCE) {
    struct probe *one = p->waiting;
    p->waiting = one->next;
    if (!p->waiting)
      p->waiting_last = &p->waiting;
    if (connect_to(one) != 0) {
      probe_free(one);
      continue;
    }
    one->next = p->running;
    p->running = one;
    p->count++;
  }
}

static bool is_same(const struct instance *a, const struct instance *b) {
  return strcmp(a->id, b->id) == 0 && strcmp(a->service, b->service) == 0;
}

void probes_ask(struct probes *p, const struct instance *in) {
  for (const struct probe *one = p->waiting; one; one = one->next)
    if (is_same(one->instance, in))
      return;
  struct probe *one = calloc(1, sizeof *one);
  if (!one)
    return;
  one->all = p;
  one->instance = instance_ref(in);
  *p->waiting_last = one;
  p->waiting_last = &one->next;
  probes_begin(p);
}
