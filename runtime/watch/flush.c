#include "watch/snapshot.h"
#include "watch/work.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  RETRY_NS = 1000000000,
  RAMP_LEAST_NS = 1000000000,
  PACE_LEAST_NS = 2000000,
  NOTHING_NEW = 1,
  ELSEWHERE = 2
};

/* When it has to be published again because an endpoint's weight has grown: a thirtieth of the
 * window later, but not more than once a second. 0: none is growing. */
static int64_t next_ramp(const struct set *s, int64_t now) {
  int64_t window = (int64_t)s->rules.rules.slow_start_ns, step = window / 30;
  for (uint32_t i = 0; window && i < s->rows.count; i++) {
    const struct set_row *row = &s->rows.items[i];
    if (row->born_ns && now - row->born_ns < window)
      return now + (step < RAMP_LEAST_NS ? RAMP_LEAST_NS : step);
  }
  return 0;
}

static void set_ramp(struct set *s, int64_t at) {
  s->all->ramping += (at != 0) - (uint32_t)(s->ramp_ns != 0);
  s->ramp_ns = at;
}

/* Slots of what has left: only when no published snapshot names them any more. */
static void slots_free(struct set *s) {
  for (uint32_t i = 0; i < s->rows.freed_count; i++)
    catalog_slot_free(s->all->writer, s->rows.freed[i]);
  s->rows.freed_count = 0;
}

static bool fails_open(const struct set_tally *t) {
  return t->critical > 0 && t->passing + t->warning == 0;
}

static void turn_note(struct set_turn *t, const struct set *s, uint64_t endpoints) {
  if (t->services++ == 0)
    snprintf(t->example, sizeof t->example, "%s", s->service);
  t->endpoints += endpoints;
}

static void tally_replace(struct set *s, const struct set_tally *now) {
  struct sets_stats *st = &s->all->stats;
  const struct set_tally *was = &s->tally;
  st->passing += now->passing - was->passing;
  st->warning += now->warning - was->warning;
  st->critical += now->critical - was->critical;
  st->endpoints = st->passing + st->warning + st->critical;
  if (fails_open(now) && !fails_open(was)) {
    st->fail_open++;
    st->fail_open_events++;
    s->lost = was->passing + was->warning > 0;
    turn_note(s->lost ? &s->all->opened : &s->all->fresh, s, now->critical);
  } else if (!fails_open(now) && fails_open(was)) {
    st->fail_open--;
    if (s->lost)
      turn_note(&s->all->shut, s, now->passing + now->warning);
  }
  s->tally = *now;
}

/* What was published: the rows, and their plan, if there is one. */
struct shown {
  const struct set_row *rows;
  const struct plan_row *plan;
  size_t count;
};

static void announce(const struct set *s, const struct shown *shown, bool gone) {
  if (!s->all->published)
    return;
  struct set_published what = {.service = s->service,
                               .version = s->version,
                               .rows = shown->rows,
                               .plan = shown->plan,
                               .count = shown->count,
                               .gone = gone,
                               .stale = s->stale,
                               .known = s->known,
                               .stale_since_ns = s->stale_since_ns,
                               .via = s->via};
  s->all->published(s->all->arg, &what);
}

/* A table has a cell for each endpoint: where that is too few, Maglev takes its own size. */
static void look_at_size(struct set *s, const struct set_tally *tally) {
  uint64_t size = s->rules.rules.table_size, count = tally->passing + tally->warning;
  bool outgrown = size && count > size;
  if (outgrown && !s->outgrown)
    log_warn("more endpoints than the cells asked for: keys go by another table",
             LOG_S("service", s->service), LOG_I("size", size), LOG_I("endpoints", count));
  s->outgrown = outgrown;
}

static void published(struct set *s, int64_t now, const struct set_tally *tally) {
  s->in_catalog = true;
  look_at_size(s, tally);
  set_ramp(s, next_ramp(s, now));
  tally_replace(s, tally);
  s->all->stats.published++;
}

/* NOTHING_NEW: a plan ran, and came to the same. ELSEWHERE: it is being made there. */
static int publish(struct set *s, struct shown *shown) {
  const struct plan_row *plan = NULL;
  struct set_tally tally = {0};
  size_t count;
  int64_t now = clock_now_ns();
  rows_tidy(&s->rows);
  if (s->all->apart) {
    s->in_catalog = true; /* that there is nothing of it is no news any more */
    s->rows.freed_count = 0;
    *shown = (struct shown){.rows = s->rows.items, .count = s->rows.count};
    return 0;
  }
  int rc = snapshot_prepare(s, now, &plan);
  if (rc == 0 && !s->touched)
    return NOTHING_NEW;
  if (rc == 0)
    rc = snapshot_endpoints(s, plan, &tally, &count);
  if (rc)
    return rc;
  struct catalog_rules rules = s->rules.rules;
  if (plan)
    rules.priority_key = ""; /* the tiers are the plan's, which began with those */
  struct catalog_snapshot snapshot = {.service = s->service,
                                      .balancer = s->rules.algorithm,
                                      .rules = &rules,
                                      .endpoints = s->all->endpoints,
                                      .count = count,
                                      .now_ns = (uint64_t)now,
                                      .moves_version = s->moved || !s->in_catalog,
                                      .stale_since_ns = s->stale_since_ns};
  shown->plan = plan;
  shown->rows = snapshot_rows(s, plan != NULL, &shown->count);
  struct set_work *work;
  rc = work_begin(s, &snapshot, shown->rows, shown->count, plan, &work);
  if (rc == 0 && work) {
    work->tally = tally;
    return ELSEWHERE;
  }
  if (rc == 0)
    rc = catalog_publish(s->all->writer, &snapshot, &s->version);
  if (rc)
    return rc;
  s->moved = false;
  slots_free(s);
  published(s, now, &tally);
  return 0;
}

static int withdraw(struct set *s) {
  int rc = s->all->apart ? -ENOENT : catalog_withdraw(s->all->writer, s->service);
  if (rc && rc != -ENOENT) /* not published by us, nor by the agent before */
    return rc;
  slots_free(s);
  for (uint32_t i = 0; i < s->rows.count; i++)
    if (s->rows.items[i].flags & ROW_SLOT)
      catalog_slot_free(s->all->writer, s->rows.items[i].slot);
  set_ramp(s, 0);
  tally_replace(s, &(struct set_tally){0});
  if (!s->all->apart)
    s->version = catalog_version(s->all->writer); /* its end has one, as any change */
  return 0;
}

static void wait_until(struct set *s, int64_t due_ns) {
  struct sets *all = s->all;
  s->due_ns = due_ns;
  s->next_dirty = all->waiting;
  all->waiting = s;
}

static void failed(struct set *s, int rc) {
  if (!s->failing)
    log_error("cannot publish; picks go on from the last snapshot", LOG_S("service", s->service),
              LOG_S("error", strerror(-rc)));
  s->all->stats.waiting += !s->failing;
  s->all->stats.failed++;
  s->failing = true;
  wait_until(s, clock_now_ns() + RETRY_NS);
}

static void succeeded(struct set *s) {
  if (s->failing)
    log_info("published again", LOG_S("service", s->service));
  s->all->stats.waiting -= s->failing;
  s->failing = false;
}

static void work_failed(struct set_work *w, int rc) {
  struct set *s = w->set;
  if (rows_owe(&s->rows, w->freed, w->freed_count) != 0)
    log_warn("slots are lost until the agent ends", LOG_I("slots", w->freed_count));
  s->moved |= w->moved;
  s->touched = true;
  if (s->dirty) /* it has its turn anyway */
    return;
  s->dirty = true;
  failed(s, rc);
}

void work_finish(struct set_work *w) {
  struct set *s = w->set;
  int rc = catalog_build_publish(s->all->writer, w->build, &s->version);
  if (rc) {
    work_failed(w, rc);
  } else {
    for (uint32_t i = 0; i < w->freed_count; i++)
      catalog_slot_free(s->all->writer, w->freed[i]);
    succeeded(s);
    published(s, w->now_ns, &w->tally);
    announce(s, &(struct shown){w->rows, w->planned ? w->plan : NULL, w->count}, false);
  }
  if (s->again)
    set_queue(s);
  s->again = false;
}

/* Those whose time has come join the dirty ones again. */
static void waiting_collect(struct sets *all) {
  if (!all->waiting)
    return;
  int64_t now = clock_now_ns();
  struct set *still = NULL;
  for (struct set *s = all->waiting, *next; s; s = next) {
    next = s->next_dirty;
    struct set **list = s->due_ns <= now ? &all->dirty : &still;
    s->next_dirty = *list;
    *list = s;
  }
  all->waiting = still;
}

/* A large service that changes in every turn is not built in every turn: slow readers must be able
 * to finish (catalog_publish_at). What is shorter than a timer can wait is not waited for. */
static bool too_soon(struct set *s) {
  int64_t at = s->in_catalog && !s->all->apart ? catalog_publish_at(s->all->writer, s->service) : 0;
  at = s->replan && s->plan_again_ns > at ? s->plan_again_ns : at;
  if (at == 0 || at - clock_now_ns() < PACE_LEAST_NS)
    return false;
  wait_until(s, at);
  return true;
}

/* Those whose endpoints' weights have grown since. */
static void ramps_collect(struct sets *all) {
  if (!all->ramping)
    return;
  int64_t now = clock_now_ns();
  for (uint32_t i = 0; i < all->table.count; i++) {
    struct set *s = all->table.items[i];
    if (s->ramp_ns && s->ramp_ns <= now)
      set_changed(s, false);
  }
}

static bool flush_one(struct set *s) {
  struct sets *all = s->all;
  bool ends = s->opens == 0;
  if (!ends && s->work) {
    s->dirty = false;
    s->again = true;
    return false;
  }
  if (!ends && too_soon(s))
    return false;
  struct shown shown = {0};
  int rc = ends ? withdraw(s) : publish(s, &shown);
  if (rc == -EAGAIN) { /* the planner's */
    wait_until(s, s->due_ns);
    return false;
  }
  if (rc < 0) {
    failed(s, rc);
    return false;
  }
  s->dirty = s->touched = false;
  if (!ends && s->overtaken) {
    s->dirty = true;
    wait_until(s, s->plan_again_ns);
  }
  if (rc == ELSEWHERE) {
    work_start(s->work);
    return false;
  }
  succeeded(s);
  bool told = s->in_catalog && rc != NOTHING_NEW;
  if (ends)
    table_remove(&all->table, s);
  if (told)
    announce(s, &shown, ends);
  if (ends)
    set_free(s);
  return told;
}

/* One line however many services it is about: a thousand of them turn together when an agent starts
 * that checks them all. */
static void turn_tell(struct set_turn *t, enum log_level level, const char *event,
                      const char *what) {
  if (t->services == 1)
    log_at(level, event, LOG_S("service", t->example), LOG_I(what, t->endpoints));
  else if (t->services)
    log_at(level, event, LOG_I("services", t->services), LOG_S("one", t->example),
           LOG_I(what, t->endpoints));
  *t = (struct set_turn){0};
}

size_t sets_flush(struct sets *all) {
  size_t published = 0;
  waiting_collect(all);
  ramps_collect(all);
  struct set *list = all->dirty; /* what a listener changes is for the next flush */
  all->dirty = NULL;
  for (struct set *s = list, *next; s; s = next) {
    next = s->next_dirty;
    published += flush_one(s);
  }
  turn_tell(&all->fresh, LOG_LEVEL_INFO, "no healthy endpoint yet: picks take any", "critical");
  turn_tell(&all->opened, LOG_LEVEL_WARN, "no healthy endpoint: picks take any", "critical");
  turn_tell(&all->shut, LOG_LEVEL_INFO, "picks no longer fail open", "healthy");
  return published;
}

void sets_notice(struct sets *all, bool *dirty) {
  all->noticed = dirty;
  *dirty |= sets_dirty(all);
}

bool sets_dirty(const struct sets *all) {
  return all->dirty != NULL;
}

int64_t sets_due_ns(const struct sets *all) {
  int64_t due = 0;
  for (const struct set *s = all->waiting; s; s = s->next_dirty)
    if (due == 0 || s->due_ns < due)
      due = s->due_ns;
  return due;
}

size_t sets_count(const struct sets *all) {
  return all->table.count;
}

void sets_stats(const struct sets *all, struct sets_stats *out) {
  *out = all->stats;
  out->services = all->table.count;
  for (uint32_t i = 0; i < all->table.count; i++)
    out->stale += ((const struct set *)all->table.items[i])->stale;
}
