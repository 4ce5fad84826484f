/* watches_configure: from one configuration's watches to the next one's, by what differs. */
#include "agent/policies/policies.h"
#include "agent/watches/copies.h"
#include "agent/watches/watches_inside.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/value.h"
#include "config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void watches_follow(struct watches *all, const struct policies *shown) {
  all->shown = shown;
}

static const struct config_watch *wanted(const struct config *c, const char *service) {
  for (size_t i = 0; c && i < c->watch_count; i++)
    if (strcmp(c->watches[i].service, service) == 0)
      return &c->watches[i];
  return NULL;
}

static struct feed_rule rule_of(const struct config_watch *from) {
  return (struct feed_rule){.merge = from->merge,
                            .on_empty = from->on_empty,
                            .min_endpoints = from->min_endpoints,
                            .stale_after_ns = from->stale_after_ns,
                            .hold_ns = from->hold_ns};
}

static struct watch_wish wish_of(const struct config_watch *from, unsigned i) {
  return (struct watch_wish){.service = from->service,
                             .targets = {from->target, from->second},
                             .rule = rule_of(from),
                             .balancer = from->balancer,
                             .delay_ms = i};
}

/* ---- what differs ---- */

static const struct value *registry_in(const struct config *c, const struct target *t) {
  return t->registry ? value_get(value_get(c->root, "registries"), t->registry) : NULL;
}

static bool registries_differ(const struct watch *w, const struct config *old,
                              const struct config *new) {
  for (unsigned i = 0; i < FEED_SOURCES; i++)
    if (!value_equal(registry_in(old, &w->targets[i]), registry_in(new, &w->targets[i])))
      return true;
  return false;
}

static bool texts_differ(const char *a, const char *b) {
  return a && b ? strcmp(a, b) != 0 : a != b;
}

/* Whether it asks other sources, or asks them otherwise. */
static bool sources_differ(const struct watch *w, const struct config *old,
                           const struct config *new) {
  const struct config_watch *before = wanted(old, set_service(w->set)),
                            *after = wanted(new, set_service(w->set));
  if (w->on_demand)
    return after || texts_differ(resolve_registry(old), resolve_registry(new)) ||
           registries_differ(w, old, new);
  return !after || !before || texts_differ(before->target, after->target) ||
         texts_differ(before->second, after->second) || before->merge != after->merge ||
         registries_differ(w, old, new);
}

/* ---- a service whose endpoints come from elsewhere than before ---- */

struct homecoming {
  struct watches *all;
  const char *service;
  bool leaves;
};

static void come_home(void *arg, const struct registration_state *state) {
  const struct homecoming *h = arg;
  struct set *s = sets_find(h->all->parts.sets, h->service);
  if (strcmp(state->registration->instance->service, h->service) != 0)
    return;
  if (!h->leaves)
    watches_local(h->all, state, false);
  else if (s && set_status(s, state->registration->instance->id, state->status) != -ENOENT)
    set_close(s); /* it is still shown, until the watch has something */
}

/* After a watch of this service came, went or changed: `was` its own registry's to feed before. */
static void rehome(struct watches *all, const char *service, bool was) {
  bool is = watches_feeds_itself(all, service);
  struct homecoming h = {all, service, was};
  struct set *s = sets_find(all->parts.sets, service);
  if (was == is)
    return;
  if (is && s)
    set_replace(s, NULL, NULL, 0);
  policies_each_shown(all->shown, come_home, &h);
}

/* A watch under another name begins with what its target has now. */
static void catch_up(struct watches *all, struct watch *w) {
  struct set *from = w->feed ? NULL : sets_find(all->parts.sets, w->targets[0].name);
  if (w->feed || from == w->set || (!from && set_count(w->set) == 0))
    return;
  watch_follow(w, &(struct set_published){.service = w->targets[0].name,
                                          .rows = from ? set_rows(from) : NULL,
                                          .count = from ? set_count(from) : 0});
}

/* ---- one watch ---- */

static int add(struct watches *all, const struct watch_wish *wish, struct fault *f) {
  bool was = watches_feeds_itself(all, wish->service);
  struct watch *w;
  int rc = watch_add(all, wish, &w, f);
  if (rc == 0) {
    rehome(all, wish->service, was);
    catch_up(all, w);
  }
  return rc;
}

/* Another watch on the same set, whose endpoints are there all the time. It begins before the old
 * one stops, so that a source of both goes on. */
static int replace(struct watches *all, struct watch **place, struct watch_wish *wish,
                   struct fault *f) {
  struct watch *old = *place, *new;
  bool was = watches_feeds_itself(all, wish->service);
  wish->instead = true;
  int rc = watch_new(&all->parts, wish, &new, f);
  if (rc != 0) {
    log_error("a watch could not be changed; what is known of it stays",
              LOG_S("service", wish->service), LOG_S("error", f->text));
    return rc;
  }
  *place = new;
  watch_free(old);
  rehome(all, wish->service, was);
  catch_up(all, new);
  return 0;
}

static int change(struct watches *all, struct watch **place, const struct config *old,
                  struct fault *f) {
  struct watch *w = *place;
  const struct config *new = all->parts.config;
  const struct config_watch *after = wanted(new, set_service(w->set));
  struct buf target = {0};
  int rc = 0;
  if (sources_differ(w, old, new)) {
    struct watch_wish wish;
    if (after)
      wish = wish_of(after, 0);
    else
      watch_wish_on_demand(new, set_service(w->set), &target, &wish);
    bool on_demand = w->on_demand && !after;
    int64_t asked_ns = w->asked_ns;
    all->on_demand -= w->on_demand && !on_demand;
    w->on_demand = on_demand;
    rc = replace(all, place, &wish, f);
    (*place)->on_demand = on_demand;
    (*place)->asked_ns = asked_ns;
  } else if (after) {
    const struct feed_rule rule = rule_of(after);
    if (w->feed)
      feed_change(w->feed, &rule);
    rc = set_balancer(w->set, after->balancer, f);
  }
  buf_free(&target);
  return rc;
}

/* Whether the new configuration has anything for this watch to be. */
static bool stays(const struct watch *w, const struct config *new) {
  return wanted(new, set_service(w->set)) || (w->on_demand && resolve_registry(new));
}

static void drop(struct watches *all, size_t i) {
  struct watch *w = all->items[i];
  char *service = strdup(set_service(w->set));
  bool was = watches_feeds_itself(all, set_service(w->set));
  all->on_demand -= w->on_demand;
  copy_erase(all->store, set_service(w->set));
  memmove(&all->items[i], &all->items[i + 1], (--all->count - i) * sizeof(struct watch *));
  if (service)
    rehome(all, service, was);
  watch_free(w);
  free(service);
}

void watches_drop(struct watches *all, const struct watch *w) {
  for (size_t i = 0; i < all->count; i++)
    if (all->items[i] == w) {
      drop(all, i);
      return;
    }
}

/* ---- all ---- */

static void seed(void *arg, const char *service, const struct instances *has, int64_t written_us) {
  struct watches *all = arg;
  struct watch *w = watch_find(all, service);
  if (!w && has->count > 0)
    w = watch_on_demand(all, service);
  if (!w || !w->feed) {
    copy_erase(all->store, service);
    return;
  }
  int64_t age_us = clock_wall_us() - written_us;
  feed_seed(w->feed, has, clock_now_ns() - (age_us > 0 ? age_us * 1000 : 0));
}

int watches_configure(struct watches *all, const struct config *config, struct fault *f) {
  const struct config *old = all->parts.config;
  struct fault ignored;
  int first = 0;
  all->parts.config = config;
  for (size_t i = all->count; i-- > 0;) {
    int rc = 0;
    if (stays(all->items[i], config))
      rc = change(all, &all->items[i], old, first ? &ignored : f);
    else
      drop(all, i);
    first = first ? first : rc;
  }
  for (size_t i = 0; i < config->watch_count; i++) {
    const struct watch_wish wish = wish_of(&config->watches[i], (unsigned)i);
    int rc = watch_find(all, wish.service) ? 0 : add(all, &wish, first ? &ignored : f);
    first = first ? first : rc;
  }
  all->next_copy = 0;
  all->follow = false;
  for (size_t i = 0; i < all->count; i++)
    all->follow |=
        !all->items[i]->feed && !watches_feeds_itself(all, set_service(all->items[i]->set));
  if (old)
    wraps_configure(all, old);
  else
    copies_each(all->store, seed, all);
  return first;
}
