#include "watch/feed.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct source {
  struct roll says;
  bool known, stale;
  bool aged; /* stale for too long, and that was looked at */
  int64_t stale_since_ns;
  char *via; /* NULL: none */
};

struct feed {
  struct set *into;
  struct feed_rule rule;
  struct feed_events events;
  void *arg;
  struct source sources[FEED_SOURCES];
  struct guard guard;
  /* Of a union: what was published before, and no source has that was reached since. */
  struct roll rest;
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

static void source_clear(struct source *s) {
  roll_free(&s->says);
  free(s->via);
}

void feed_free(struct feed *f) {
  if (!f)
    return;
  for (unsigned i = 0; i < FEED_SOURCES; i++)
    source_clear(&f->sources[i]);
  roll_free(&f->rest);
  guard_free(&f->guard);
  free(f);
}

/* ---- what the sources amount to ---- */

static bool too_stale(const struct feed *f, const struct source *s) {
  return s->stale && f->rule.stale_after_ns > 0 &&
         clock_now_ns() - s->stale_since_ns >= f->rule.stale_after_ns;
}

static bool counts(const struct feed *f, const struct source *s) {
  return s->known && !too_stale(f, s);
}

static size_t size(const struct feed *f, const struct source *s) {
  return counts(f, s) ? s->says.has.count : 0;
}

static bool usable(const struct feed *f, const struct source *s) {
  return counts(f, s) && s->says.has.count >= f->rule.min_endpoints;
}

/* Whether it was reached, or is known not to be. */
static bool has_spoken(const struct source *s) {
  return s->known || s->stale;
}

static void note_switch(struct feed *f, bool second) {
  if (f->stats.switched != second)
    log_warn(second ? "the fallback stands in" : "the first target is used again",
             LOG_S("service", set_service(f->into)),
             LOG_I("endpoints", f->sources[second].says.has.count));
  f->stats.switched = second;
}

/* It was reached, or has been out of reach for so long that it counts for nothing. */
static bool is_settled(const struct feed *f, const struct source *s) {
  return s->known || too_stale(f, s);
}

/* Nobody who could be gone by was heard of for so long that it is time that says there is none. */
static bool outlasted(const struct feed *f) {
  return too_stale(f, &f->sources[0]) &&
         (f->rule.merge != FEED_UNION || too_stale(f, &f->sources[1]));
}

static const struct instances nothing;

/* What is published where `has` is too few, and nobody stands in. That it is none by FEED_EMPTY is
 * said when the guard has seen what the registry says: see feed_update. */
static const struct instances *too_few(struct feed *f, const struct instances *has) {
  if (f->rule.on_empty == FEED_EMPTY)
    return has;
  if (set_count(f->into) == 0)
    return has;
  f->stats.kept++;
  return NULL;
}

/* `*both`, or NULL for want of memory. */
static const struct instances *choose_union(struct feed *f, struct roll *both) {
  struct roll none = {0}, sources = {0};
  struct source *first = &f->sources[0], *second = &f->sources[1];
  struct roll *a = too_stale(f, first) ? &none : &first->says;
  struct roll *b = too_stale(f, second) ? &none : &second->says;
  int rc = roll_unite(a, b, &sources.has);
  if (is_settled(f, first) && is_settled(f, second))
    roll_free(&f->rest);
  else
    roll_drop(&f->rest, &sources);
  rc = rc ? rc : roll_unite(&sources, &f->rest, &both->has);
  roll_free(&sources);
  roll_free(&none); /* its index */
  return rc == 0 ? &both->has : NULL;
}

static void compare(struct feed *f) {
  struct roll_difference *d = &f->stats.differing, before = *d;
  if (!f->sources[0].known || !f->sources[1].known)
    return;
  roll_compare(&f->sources[0].says, &f->sources[1].says, d);
  size_t were = before.only_first + before.only_second + before.unlike,
         are = d->only_first + d->only_second + d->unlike;
  if ((were > 0) != (are > 0) || !f->stats.compared)
    log_info(are ? "the two registries differ" : "the two registries agree",
             LOG_S("service", set_service(f->into)), LOG_I("only_first", d->only_first),
             LOG_I("only_second", d->only_second), LOG_I("unlike", d->unlike));
  f->stats.compared = true;
}

/* What to publish: one source's list, `*both` when it is merged, or NULL: what is
 * published stays. */
static const struct instances *choose(struct feed *f, struct roll *both,
                                      const struct source **from) {
  struct source *first = &f->sources[0], *second = &f->sources[1];
  bool published = set_count(f->into) > 0;
  *from = first;
  if (f->rule.merge == FEED_UNION && (first->known || second->known)) {
    const struct instances *now = choose_union(f, both);
    *from = first->stale || !second->stale ? first : second;
    return now && now->count < f->rule.min_endpoints ? too_few(f, now) : now;
  }
  if (f->rule.merge == FEED_COMPARE)
    compare(f);
  if (!has_spoken(first) && published)
    return NULL;
  bool may_switch = f->rule.on_empty == FEED_SWITCH && f->rule.merge == FEED_FALLBACK;
  bool second_stands_in = may_switch && !usable(f, first) && size(f, second) > size(f, first);
  note_switch(f, second_stands_in);
  if (second_stands_in) {
    *from = second;
    return &second->says.has;
  }
  if (!first->known && !(published && too_stale(f, first)))
    return NULL;
  if (usable(f, first) || (may_switch && counts(f, first) && has_spoken(second)))
    return &first->says.has; /* the second has not more */
  if (f->rule.on_empty == FEED_EMPTY && !counts(f, first))
    return &nothing;
  return too_few(f, &first->says.has);
}

/* ---- what is published ---- */

static void tell_held(struct feed *f, int64_t now) {
  log_warn("a sudden loss is held", LOG_S("service", set_service(f->into)),
           LOG_I("endpoints", f->guard.count));
  f->stats.holds++;
  for (size_t i = f->guard.count; f->events.held && i-- > 0;)
    if (f->guard.held[i].until_ns == now + f->rule.hold_ns)
      f->events.held(f->arg, f->guard.held[i].instance);
}

/* The list and what is held of the one before, unless that is so few that it shall be none. */
static int publish(struct feed *f, const struct instances *now) {
  struct instances all = {0};
  if (f->rule.on_empty == FEED_EMPTY && now->count + f->guard.count < f->rule.min_endpoints)
    return set_replace(f->into, NULL, NULL, 0);
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

/* Of a union it came by both ways. */
static void publish_via(struct feed *f, const struct source *from) {
  const struct source *other = &f->sources[from == f->sources];
  char *both = NULL;
  if (f->rule.merge == FEED_UNION && from->via && other->via &&
      asprintf(&both, "%s%s", other->via, from->via) < 0)
    both = NULL;
  bool others = f->rule.merge == FEED_UNION && !from->via;
  set_via(f->into, both ? both : others ? other->via : from->via);
  free(both);
}

static void feed_update(struct feed *f) {
  struct roll both = {0};
  const struct source *from;
  const struct instances *now = choose(f, &both, &from);
  if (now) {
    struct guard_update u = {.now = now,
                             .withdrew = f->events.withdrew,
                             .arg = f->arg,
                             .now_ns = clock_now_ns(),
                             .hold_ns = f->rule.hold_ns};
    u.before = set_rows(f->into);
    if (outlasted(f))
      guard_free(&f->guard); /* no registry's mistake, which it is for */
    u.before_count = f->believing || outlasted(f) ? 0 : set_count(f->into);
    f->believing &= f->rest.has.count > 0;
    int holding = guard_update(&f->guard, &u);
    int rc = publish(f, now);
    if (rc != 0 || holding < 0)
      log_error("out of memory: not published", LOG_S("service", set_service(f->into)));
    if (holding > 0)
      tell_held(f, u.now_ns);
  }
  publish_via(f, from);
  set_stale_since(f->into, now ? from->stale : f->sources[0].stale || f->seeded,
                  from->stale_since_ns);
  roll_free(&both);
}

void feed_change(struct feed *f, const struct feed_rule *rule) {
  f->rule = *rule;
  if (feed_ready(f))
    feed_update(f);
}

static void remember_rest(struct feed *f) {
  if (f->rule.merge == FEED_UNION &&
      roll_fill(&f->rest, set_rows(f->into), set_count(f->into)) != 0)
    log_error("out of memory: a registry that is out of reach is not known",
              LOG_S("service", set_service(f->into)));
}

void feed_believe(struct feed *f) {
  f->believing = true;
  remember_rest(f);
}

void feed_told(struct feed *f, unsigned i, const struct set_published *what) {
  struct source *s = &f->sources[i];
  if (what->known && roll_fill(&s->says, what->rows, what->count) != 0) {
    log_error("out of memory: not published", LOG_S("service", set_service(f->into)));
    return;
  }
  s->known |= what->known;
  s->stale = what->stale;
  s->aged &= s->stale;
  s->stale_since_ns = what->stale_since_ns;
  free(s->via);
  s->via = what->via ? strdup(what->via) : NULL;
  f->seeded &= !s->known;
  feed_update(f);
}

void feed_seed(struct feed *f, const struct instances *copy, int64_t since_ns) {
  if (set_replace(f->into, copy->items, copy->statuses, copy->count) != 0)
    return;
  f->seeded = true;
  remember_rest(f);
  f->sources[0].stale_since_ns = since_ns;
  set_stale_since(f->into, true, since_ns);
}

void feed_disprove(struct feed *f, const char *id) {
  if (guard_disprove(&f->guard, id))
    feed_update(f);
}

int64_t feed_tick(struct feed *f) {
  int64_t due = guard_due_ns(&f->guard);
  bool update = due && due <= clock_now_ns();
  for (unsigned i = 0; i < FEED_SOURCES; i++) {
    struct source *s = &f->sources[i];
    bool ages = !s->aged && too_stale(f, s);
    if (ages)
      log_warn("stale for too long: it counts as none", LOG_S("service", set_service(f->into)),
               LOG_N("stale_after", (double)f->rule.stale_after_ns / 1e9));
    s->aged |= ages;
    update |= ages;
  }
  if (update)
    feed_update(f);
  return guard_due_ns(&f->guard);
}

bool feed_has(struct feed *f, unsigned i, const struct instance *in) {
  return roll_find(&f->sources[i].says, in) >= 0;
}

bool feed_is_told(const struct feed *f) {
  return (f->sources[0].known && !f->sources[0].stale) ||
         (f->sources[1].known && !f->sources[1].stale);
}

bool feed_ready(const struct feed *f) {
  return f->seeded || f->sources[0].known || f->sources[1].known;
}

enum feed_merge feed_merge(const struct feed *f) {
  return f->rule.merge;
}

void feed_stats(const struct feed *f, struct feed_stats *out) {
  *out = f->stats;
  out->held = f->guard.count;
}
