#include "watch/set.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/identity.h"
#include "base/log.h"
#include "base/text.h"
#include "base/value.h"
#include "catalog/live.h"
#include "watch/set_inside.h"
#include "watch/work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *service_of(const void *item) {
  return ((const struct set *)item)->service;
}

struct sets *sets_new(struct catalog_writer *writer, sets_published_fn published, void *arg) {
  struct sets *all = calloc(1, sizeof *all);
  if (all) {
    all->writer = writer;
    all->published = published;
    all->arg = arg;
    all->table.key = service_of;
  }
  return all;
}

struct sets *sets_new_apart(sets_published_fn published, void *arg) {
  struct sets *all = sets_new(NULL, published, arg);
  if (all)
    all->apart = true;
  return all;
}

void set_free(struct set *s) {
  if (s->work)
    work_orphan(s->work);
  rows_free(&s->rows);
  value_unref(s->balancer);
  free(s->via);
  free(s->complaint);
  balancer_end(&s->rules);
  free(s);
}

void sets_free(struct sets *all) {
  if (!all)
    return;
  for (uint32_t i = 0; i < all->table.count; i++)
    set_free(all->table.items[i]);
  table_free(&all->table);
  free(all->endpoints);
  free(all->plan);
  free(all->selected);
  free(all->host_texts[0]);
  free(all->host_texts[1]);
  free(all);
}

void sets_plan_by(struct sets *all, const struct planner *planner) {
  all->planner = planner;
}

/* Its balancer, of what it says and where the agent is; the default one, where it cannot work any
 * more there. */
static void set_place(struct set *s) {
  struct balancer rules;
  struct fault f;
  if (balancer_parse(s->balancer, &s->all->host, &rules, &f) != 0) {
    log_warn("a balancer cannot work where the agent is now", LOG_S("service", s->service),
             LOG_S("error", f.text));
    value_unref(s->balancer);
    s->balancer = NULL;
  }
  balancer_end(&s->rules);
  s->rules = rules;
  set_touch(s);
}

int sets_place(struct sets *all, const struct balancer_host *host) {
  char *node = strdup(host->node ? host->node : ""), *zone = strdup(host->zone ? host->zone : "");
  if (!node || !zone) {
    free(node);
    free(zone);
    return -ENOMEM;
  }
  char *before[2] = {all->host_texts[0], all->host_texts[1]};
  all->host_texts[0] = node;
  all->host_texts[1] = zone;
  all->host = *host;
  all->host.node = node;
  all->host.zone = zone;
  for (uint32_t i = 0; i < all->table.count; i++)
    set_place(all->table.items[i]);
  free(before[0]);
  free(before[1]);
  return 0;
}

struct set *sets_find(struct sets *all, const char *service) {
  return table_find(&all->table, service);
}

struct set *sets_open(struct sets *all, const char *service) {
  size_t length = strlen(service);
  if (!name_valid(service, length))
    return NULL;
  struct set *s = sets_find(all, service);
  if (!s) {
    s = calloc(1, sizeof *s + length + 1);
    if (!s)
      return NULL;
    s->all = all;
    memcpy(s->service, service, length + 1);
    if (table_add(&all->table, s) != 0) {
      free(s);
      return NULL;
    }
  }
  s->opens++;
  return s;
}

/* Published, or about to be. */
static bool shown(const struct set *s) {
  return s->in_catalog || s->work;
}

void set_queue(struct set *s) {
  if (s->dirty)
    return;
  s->dirty = true;
  s->next_dirty = s->all->dirty;
  s->all->dirty = s;
  if (s->all->noticed)
    *s->all->noticed = true;
}

void set_changed(struct set *s, bool moved) {
  s->moved |= moved;
  s->replan |= moved;
  s->touched = true;
  set_queue(s);
}

void set_replan(struct set *s) {
  s->replan = true;
  if (shown(s))
    set_queue(s);
}

void set_hurry(struct set *s) {
  s->due_ns = 0; /* of no meaning unless it waits */
}

void set_close(struct set *s) {
  if (--s->opens == 0)
    set_changed(s, true);
}

const char *set_service(const struct set *s) {
  return s->service;
}

uint64_t set_changes(const struct set *s) {
  return s->changes;
}

uint64_t set_version(const struct set *s) {
  return s->version;
}

size_t set_count(const struct set *s) {
  return s->rows.count - s->rows.holes;
}

const struct set_row *set_rows(struct set *s) {
  rows_tidy(&s->rows);
  return s->rows.items;
}

static int set_apply(struct set *s, int changed, bool news) {
  s->known |= changed >= 0;
  s->changes += changed > 0;
  if (changed > 0 || (changed == 0 && news))
    set_changed(s, true);
  return changed < 0 ? changed : 0;
}

int set_put(struct set *s, const struct instance *in, enum status status) {
  return in->fit ? set_apply(s, rows_put(&s->rows, in, status), false) : -EINVAL;
}

int set_remove(struct set *s, const char *id) {
  return set_apply(s, rows_remove(&s->rows, id), false);
}

int set_status(struct set *s, const char *id, enum status status) {
  return set_apply(s, rows_status(&s->rows, id, status), false);
}

int set_replace(struct set *s, struct instance *const *instances, const enum status *statuses,
                size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!instances[i]->fit)
      return -EINVAL;
  bool first = !s->in_catalog; /* then it is news, too, that there are none */
  return set_apply(s, rows_replace(&s->rows, instances, statuses, count), first);
}

int set_balancer(struct set *s, const struct value *balancer, struct fault *f) {
  struct balancer rules;
  if (value_equal(s->balancer, balancer))
    return 0;
  int rc = balancer_parse(balancer, &s->all->host, &rules, f);
  if (rc)
    return rc;
  struct value *old = s->balancer;
  s->balancer = balancer ? value_ref(balancer) : NULL;
  value_unref(old);
  bool chosen_anew = selection_chooses(&s->rules.select) || selection_chooses(&rules.select);
  balancer_end(&s->rules);
  s->rules = rules;
  s->replan = true;
  if (shown(s))
    set_changed(s, chosen_anew);
  return 0;
}

void set_current(struct set *s) {
  set_stale(s, false);
  if (!s->known && s->all->apart)
    set_changed(s, true);
  s->known = true;
}

const struct outlier_rules *set_outlier_rules(const struct set *s) {
  return s->rules.outlier.interval_ns ? &s->rules.outlier : NULL;
}

uint64_t set_pulse(const struct set *s) {
  uint64_t pulse = 0;
  for (uint32_t i = 0; !s->all->apart && i < s->rows.count; i++) {
    const struct set_row *row = &s->rows.items[i];
    const struct catalog_slot *live =
        row->flags & ROW_SLOT ? catalog_live_slot(s->all->writer, row->slot) : NULL;
    if (live)
      pulse = pulse * 31 + catalog_load64(&live->latency_ns) + catalog_load32(&live->in_flight);
  }
  return pulse;
}

void set_touch(struct set *s) {
  s->replan = true;
  if (shown(s))
    set_changed(s, false);
}

void set_stale(struct set *s, bool stale) {
  set_stale_since(s, stale, 0);
}

void set_stale_since(struct set *s, bool stale, int64_t since_ns) {
  if (s->stale == stale)
    return;
  s->stale = stale;
  s->stale_since_ns = !stale ? 0 : since_ns ? since_ns : clock_now_ns();
  if (shown(s) || s->all->apart)
    set_changed(s, false);
}

void set_via(struct set *s, const char *via) {
  if (strcmp(via ? via : "", s->via ? s->via : "") == 0)
    return;
  free(s->via);
  s->via = via && *via ? strndup(via, VIA_MOST) : NULL;
  if (shown(s) || s->all->apart)
    set_changed(s, false);
}

const char *set_through(const struct set *s) {
  return s->via;
}

void set_complain(struct set *s, const char *what) {
  if (strcmp(what ? what : "", s->complaint ? s->complaint : "") == 0)
    return;
  free(s->complaint);
  s->complaint = what ? strdup(what) : NULL;
  if (what)
    log_warn("the registry's list is wrong", LOG_S("service", s->service), LOG_S("why", what));
}

int64_t set_stale_ns(const struct set *s) {
  return s->stale_since_ns;
}
