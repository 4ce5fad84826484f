/* policies_drain: the operator's hand on what is shown. */
#include "agent/policies/policies_inside.h"

#include "base/fault.h"
#include "registry/embedded.h"

#include <errno.h>
#include <string.h>

struct drain {
  struct policies *all;
  const struct drain_order *order;
  size_t count, done; /* those it is about; of these, who had their turn */
  int status;
};

static bool is_meant(const struct drain *d, const struct instance *in) {
  return strcmp(in->service, d->order->service) == 0 &&
         (!d->order->id || strcmp(in->id, d->order->id) == 0) &&
         (!d->order->off || drained_has(&d->all->drained, in->id));
}

static void count_one(void *arg, const struct registration_state *state) {
  struct drain *d = arg;
  d->count += is_meant(d, state->registration->instance);
}

static void drain_one(void *arg, const struct registration_state *state) {
  struct drain *d = arg;
  struct policies *all = d->all;
  const struct instance *in = state->registration->instance;
  if (d->status != 0 || !is_meant(d, in))
    return;
  const struct registration_state *shown = policies_shown(all, state);
  bool last = ++d->done == d->count;
  d->status = drained_set(&all->drained, in->id, !d->order->off, last ? d->order->done : NULL,
                          d->order->arg);
  if (d->status == 0 && shown)
    all->with.shown(all->with.arg, shown, !d->order->off);
}

int policies_drain(struct policies *all, const struct drain_order *order, struct fault *f) {
  struct drain d = {.all = all, .order = order};
  embedded_each(all->embedded, count_one, &d);
  if (d.count == 0)
    return fault_set(f, -ENOENT, "No instance of %.255s%s%.255s is %s.", order->service,
                     order->id ? " with the id " : "", order->id ? order->id : "",
                     order->off ? "drained" : "registered with this agent");
  embedded_each(all->embedded, drain_one, &d);
  return d.status == 0 ? 0 : fault_set(f, d.status, "%s", strerror(-d.status));
}

struct walk {
  const struct policies *all;
  const char *service;
  void (*each)(void *arg, const struct instance *in);
  void *arg;
};

static void walk_one(void *arg, const struct registration_state *state) {
  const struct walk *w = arg;
  const struct instance *in = state->registration->instance;
  if (strcmp(in->service, w->service) == 0 && drained_has(&w->all->drained, in->id))
    w->each(w->arg, in);
}

void policies_each_drained(const struct policies *all, const char *service,
                           void (*each)(void *arg, const struct instance *in), void *arg) {
  struct walk w = {all, service, each, arg};
  embedded_each(all->embedded, walk_one, &w);
}
