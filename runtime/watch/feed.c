#include "watch/feed.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

struct source {
  struct instances has; /* by id */
  bool known, stale;
  int64_t stale_since_ns;
};

struct feed {
  struct set *into;
  struct feed_rule rule;
  struct feed_events events;
  void *arg;
  struct source sources[FEED_SOURCES];
  struct guard guard;
  bool seeded, believing;
  struct feed_stats stats;
};

struct feed *feed_new(struct set *into, const struct feed_rule *rule,
                      const struct feed_events *events, void *arg) {
  struct feed *f = calloc(1, sizeof *f);
  if (f)
    *f = (struct feed){.into = into, .rule = *rule, .events = *events, .arg = arg};
  return f;
}

void feed_free(struct feed *f) {
  if (!f)
    return;
  for (unsigned i = 0; i < FEED_SOURCES; i++)
    instances_free(&f->sources[i].has);
  guard_free(&f->guard);
  free(f);
}

/* ---- what the sources amount to ---- */

static bool too_stale(const struct feed *f, const struct source *s) {
  return s->stale && f->rule.stale_after_ns > 0 &&
         clock_now_ns() - s->stale_since_ns >= f->rule.stale_after_ns;
}

static bool usable(const struct feed *f, const struct source *s) {
  return s->known && !too_stale(f, s) && s->has.count >= f->rule.min_endpoints;
}

/* Merges two lists that are sorted by id; of an id in both, the first one's. `differing` counts ids
 * that only one has; `out` may be NULL. */
static int unite(const struct instances *a, const struct instances *b, struct instances *out,
                 uint64_t *differing) {
  size_t i = 0, k = 0;
  int rc = 0;
  *differing = 0;
  while (rc == 0 && (i < a->count || k < b->count)) {
    int order = i == a->count ? 1 : k == b->count ? -1 : strcmp(a->items[i]->id, b->items[k]->id);
    *differing += order != 0;
    if (out)
      rc = order <= 0 ? instances_add(out, a->items[i], a->statuses[i])
                      : instances_add(out, b->items[k], b->statuses[k]);
    i += order <= 0;
    k += order >= 0;
  }
  return rc;
}

static void note_switch(struct feed *f, bool second) {
  if (f->stats.switched != second)
    log_warn(second ? "the fallback stands in" : "the first target is used again",
             LOG_S("service", set_service(f->into)),
             LOG_I("endpoints", f->sources[second].has.count));
  f->stats.switched = second;
}

/* What to publish: one source's list, `*both` when it is merged, or NULL: what is published stays.
 */
static const struct instances *choose(struct feed *f, struct instances *both,
                                      const struct source **from) {
  struct source *first = &f->sources[0], *second = &f->sources[1];
  *from = first;
  if (f->rule.merge == FEED_UNION && (first->known || second->known)) {
    uint64_t differing;
    *from = first->stale && first->known ? first : second->known && second->stale ? second : first;
    return unite(&first->has, &second->has, both, &differing) == 0 ? both : NULL;
  }
  if (f->rule.merge == FEED_COMPARE && first->known && second->known)
    unite(&first->has, &second->has, NULL, &f->stats.differing);
  bool may_switch = f->rule.on_empty == FEED_SWITCH && f->rule.merge == FEED_FALLBACK;
  bool second_stands_in = may_switch && !usable(f, first) && usable(f, second);
  note_switch(f, second_stands_in);
  if (second_stands_in) {
    *from = second;
    return &second->has;
  }
  if (!first->known)
    return NULL;
  if (!usable(f, first) && f->rule.on_empty != FEED_EMPTY && set_count(f->into) > 0) {
    f->stats.kept++;
    return NULL;
  }
  return &first->has;
}

/* ---- what is published ---- */

static void tell_held(struct feed *f, int64_t now) {
  log_warn("a sudden loss is held", LOG_S("service", set_service(f->into)),
           LOG_I("endpoints", f->guard.count));
  f->stats.holds++;
  for (size_t i = f->guard.count; f->events.held && i-- > 0;)
    if (f->guard.held[i].until_ns == now + GUARD_HOLD_NS)
      f->events.held(f->arg, f->guard.held[i].instance);
}

static int publish(struct feed *f, const struct instances *now) {
  struct instances all = {0};
  int rc = 0;
  for (size_t i = 0; rc == 0 && i < now->count; i++)
    rc = instances_add(&all, now->items[i], now->statuses[i]);
  for (size_t i = 0; rc == 0 && i < f->guard.count; i++)
    rc = instances_add(&all, f->guard.held[i].instance, f->guard.held[i].status);
  if (rc == 0)
    rc = set_replace(f->into, all.items, all.statuses, all.count);
  instances_free(&all);
  return rc;
}

static void feed_update(struct feed *f) {
  struct instances both = {0};
  const struct source *from;
  const struct instances *now = choose(f, &both, &from);
  if (now) {
    struct guard_update u = {
        .now = now, .withdrew = f->events.withdrew, .arg = f->arg, .now_ns = clock_now_ns()};
    u.before = set_rows(f->into);
    u.before_count = f->believing ? 0 : set_count(f->into);
    f->believing = false;
    int holding = guard_update(&f->guard, &u);
    int rc = publish(f, now);
    if (rc != 0 || holding < 0)
      log_error("out of memory: not published", LOG_S("service", set_service(f->into)));
    if (holding > 0)
      tell_held(f, u.now_ns);
  }
  set_stale_since(f->into, now ? from->stale : f->sources[0].stale || f->seeded,
                  from->stale_since_ns);
  instances_free(&both);
}

void feed_change(struct feed *f, const struct feed_rule *rule) {
  f->rule = *rule;
  if (feed_ready(f))
    feed_update(f);
}

void feed_believe(struct feed *f) {
  f->believing = true;
}

void feed_told(struct feed *f, unsigned i, const struct set_published *what) {
  struct source *s = &f->sources[i];
  if (what->known && instances_copy(&s->has, what->rows, what->count) != 0) {
    log_error("out of memory: not published", LOG_S("service", set_service(f->into)));
    return;
  }
  s->known |= what->known;
  s->stale = what->stale;
  s->stale_since_ns = what->stale_since_ns;
  f->seeded &= !s->known;
  feed_update(f);
}

void feed_seed(struct feed *f, const struct instances *copy, int64_t since_ns) {
  if (set_replace(f->into, copy->items, copy->statuses, copy->count) != 0)
    return;
  f->seeded = true;
  f->sources[0].stale_since_ns = since_ns;
  set_stale_since(f->into, true, since_ns);
}

void feed_disprove(struct feed *f, const char *id) {
  if (guard_disprove(&f->guard, id))
    feed_update(f);
}

int64_t feed_tick(struct feed *f) {
  int64_t due = guard_due_ns(&f->guard), now = clock_now_ns();
  const struct source *first = &f->sources[0];
  int64_t stale_due = first->stale && f->rule.stale_after_ns && !f->stats.switched
                          ? first->stale_since_ns + f->rule.stale_after_ns
                          : 0;
  if ((due && due <= now) || (stale_due && stale_due <= now))
    feed_update(f);
  return guard_due_ns(&f->guard);
}

bool feed_ready(const struct feed *f) {
  return f->seeded || f->sources[0].known || f->sources[1].known;
}

void feed_stats(const struct feed *f, struct feed_stats *out) {
  *out = f->stats;
  out->held = f->guard.count;
}
