#include "agent/watches/watch.h"

#include "agent/registries/registries.h"
#include "agent/watches/probes.h"
#include "base/fault.h"
#include "base/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool target_is_embedded(const struct target *t) {
  return strcmp(t->registry, "embedded") == 0 && !*t->authority;
}

static bool withdrew(void *arg, const struct instance *in) {
  const struct watch *w = arg;
  return w->parts->withdrew(w->parts->arg, in);
}

static void held(void *arg, const struct instance *in) {
  const struct watch *w = arg;
  probes_ask(w->parts->probes, in);
}

static const struct feed_events events = {.withdrew = withdrew, .held = held};

static void told_by_first(void *arg, const struct set_published *what) {
  feed_told(((const struct watch *)arg)->feed, 0, what);
}

static void told_by_second(void *arg, const struct set_published *what) {
  feed_told(((const struct watch *)arg)->feed, 1, what);
}

static int start_source(struct watch *w, unsigned i, const struct watch_wish *wish,
                        struct fault *f) {
  const struct watch_parts *p = w->parts;
  struct registry_use use;
  int rc = registries_find(p->config, p->plugins, w->targets[i].registry, &use, f);
  if (rc != 0)
    return rc;
  w->uses[i].told = i == 0 ? told_by_first : told_by_second;
  w->uses[i].arg = w;
  rc = source_join(p->sources, &use, wish->targets[i], set_service(w->set), wish->delay_ms,
                   &w->uses[i], f);
  value_unref(use.options);
  return rc;
}

static int start(struct watch *w, const struct watch_wish *wish, struct fault *f) {
  w->set = sets_open(w->parts->sets, wish->service);
  if (!w->set)
    return fault_set(f, -ENOMEM, "out of memory");
  int rc = set_balancer(w->set, wish->balancer, f);
  if (rc == 0)
    rc = target_parse(wish->targets[0], &w->targets[0], f);
  if (rc == 0 && wish->targets[1])
    rc = target_parse(wish->targets[1], &w->targets[1], f);
  if (rc != 0 || target_is_embedded(&w->targets[0]))
    return rc;
  w->feed = feed_new(w->set, &wish->rule, &events, w);
  if (!w->feed)
    return fault_set(f, -ENOMEM, "out of memory");
  if (wish->instead)
    feed_believe(w->feed);
  for (unsigned i = 0; rc == 0 && i < FEED_SOURCES && wish->targets[i]; i++)
    rc = start_source(w, i, wish, f);
  return rc;
}

int watch_new(const struct watch_parts *parts, const struct watch_wish *wish, struct watch **out,
              struct fault *f) {
  struct watch *w = calloc(1, sizeof *w);
  if (!w)
    return fault_set(f, -ENOMEM, "out of memory");
  w->parts = parts;
  int rc = start(w, wish, f);
  if (rc == 0)
    *out = w;
  else
    watch_free(w);
  return rc;
}

void watch_free(struct watch *w) {
  for (unsigned i = 0; i < FEED_SOURCES; i++) {
    source_leave(&w->uses[i]);
    target_clear(&w->targets[i]);
  }
  feed_free(w->feed);
  if (w->set)
    set_close(w->set);
  free(w);
}
