#include "agent/live.h"

#include "base/clock.h"
#include "base/log.h"
#include "catalog/live.h"
#include "select/load.h"
#include "watch/outlier.h"
#include "watch/plan.h"
#include "watch/table.h"

#include <stdlib.h>
#include <string.h>

#define DECAY_NS 10000000000ull /* of the published latency */

struct service;

/* One instance, by its slot. */
struct host {
  struct outlier_endpoint outlier; /* first: the service's array is of these */
  struct service *service;
  uint32_t slot, generation;
  uint32_t position; /* in its service's array */
  uint32_t in_flight, retries;
  uint64_t sampled_ns;  /* of the last success */
  uint64_t reported_ns; /* of the last report */
};

struct service {
  struct live *live;
  struct outlier_group outliers;
  struct outlier_endpoint **endpoints; /* each the first member of a host */
  uint32_t count;
  int64_t sweep_ns;
  uint64_t in_flight, retries;
  bool moved;
  struct service *next_moved;
  char name[];
};

struct live {
  struct catalog_writer *writer;
  struct sets *sets;
  struct feedback_sums *sums;
  struct table services;
  struct host **hosts; /* by slot; NULL = not published */
  uint32_t host_room;
  struct service *moved;
  uv_timer_t sweep; /* active while a service has outlier rules */
  int64_t now_ns;
  struct live_stats stats;
};

static uint32_t cut(uint64_t n) {
  return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static const char *name_of(const void *service) {
  return ((const struct service *)service)->name;
}

static void on_sweep(uv_timer_t *timer);

struct live *live_new(uv_loop_t *loop, struct catalog_writer *writer, struct sets *sets) {
  struct live *l = calloc(1, sizeof *l);
  struct feedback_sums *sums = feedback_sums_new();
  if (!l || !sums) {
    feedback_sums_free(sums);
    free(l);
    return NULL;
  }
  l->writer = writer;
  l->sets = sets;
  l->sums = sums;
  l->services.key = name_of;
  uv_timer_init(loop, &l->sweep);
  l->sweep.data = l;
  return l;
}

static void service_free(struct service *s) {
  for (uint32_t i = 0; i < s->count; i++)
    free(s->endpoints[i]);
  free(s->endpoints);
  free(s);
}

static void live_closed(uv_handle_t *timer) {
  free(timer->data);
}

void live_free(struct live *l) {
  if (!l)
    return;
  for (uint32_t i = 0; i < l->services.count; i++)
    service_free(l->services.items[i]);
  table_free(&l->services);
  free(l->hosts);
  feedback_sums_free(l->sums);
  uv_close((uv_handle_t *)&l->sweep, live_closed);
}

struct feedback_sums *live_sums(struct live *l) {
  return l->sums;
}

/* ---- who there is ---- */

static struct host *host_at(const struct live *l, uint32_t slot) {
  return slot < l->host_room ? l->hosts[slot] : NULL;
}

static int hosts_reserve(struct live *l) {
  uint32_t room = catalog_live_slots(l->writer) + 1;
  if (room <= l->host_room)
    return 0;
  room = (room / 1024 + 1) * 1024;
  struct host **grown = realloc(l->hosts, room * sizeof *grown);
  if (!grown)
    return -1;
  memset(grown + l->host_room, 0, (room - l->host_room) * sizeof *grown);
  l->hosts = grown;
  l->host_room = room;
  return 0;
}

static struct service *service_of(struct live *l, const char *name) {
  struct service *s = table_find(&l->services, name);
  if (s)
    return s;
  s = calloc(1, sizeof *s + strlen(name) + 1);
  if (!s)
    return NULL;
  s->live = l;
  strcpy(s->name, name);
  if (table_add(&l->services, s) == 0)
    return s;
  free(s);
  return NULL;
}

/* What the instance had in flight leaves the sums with it. */
static void host_end(struct live *l, struct host *h) {
  h->service->in_flight -= h->in_flight;
  h->service->retries -= h->retries;
  l->stats.in_flight -= h->in_flight;
  l->stats.retries -= h->retries;
  l->stats.ejected -= h->outlier.ejected_until_ns != 0;
  if (host_at(l, h->slot) == h)
    l->hosts[h->slot] = NULL;
  free(h);
}

/* An ejection that an earlier agent decided holds on where this one judges too, and ends where it
 * does not. */
static void host_inherit(struct live *l, struct host *h) {
  struct set *set = sets_find(l->sets, h->service->name);
  struct catalog_slot *slot = catalog_live_slot(l->writer, h->slot);
  if (!slot)
    return;
  if (!set || !set_outlier_rules(set)) {
    catalog_store64(&slot->ejected_until_ns, 0);
    return;
  }
  h->outlier.ejections = catalog_load32(&slot->ejections);
  h->outlier.ejected_until_ns = (int64_t)catalog_load64(&slot->ejected_until_ns);
  l->stats.ejected += h->outlier.ejected_until_ns != 0;
}

static struct host *host_of(struct live *l, struct service *s, const struct set_row *row) {
  struct host *h = host_at(l, row->slot);
  if (h && h->service == s && h->generation == row->slot_generation)
    return h;
  h = calloc(1, sizeof *h);
  if (h) {
    *h = (struct host){.service = s, .slot = row->slot, .generation = row->slot_generation};
    l->hosts[row->slot] = h;
    host_inherit(l, h);
  }
  return h;
}

/* Now the service has these hosts; those of before that are not among them end. */
static void replace_hosts(struct live *l, struct service *s, struct outlier_endpoint **next,
                          uint32_t count) {
  for (uint32_t i = 0; i < s->count; i++) {
    struct host *h = (struct host *)s->endpoints[i];
    if (h->position >= count || next[h->position] != &h->outlier)
      host_end(l, h);
  }
  free(s->endpoints);
  s->endpoints = next;
  s->count = count;
  outlier_members(&s->outliers, next, count);
}

static void arm(struct live *l);
static void sweep_changed(void *arg, uint32_t i, enum outlier_reason reason);

static void rules_follow(struct live *l, struct service *s) {
  struct set *set = sets_find(l->sets, s->name);
  const struct outlier_rules *rules = set ? set_outlier_rules(set) : NULL;
  bool were = s->outliers.rules.interval_ns != 0;
  if (!rules)
    outlier_pardon(&s->outliers, sweep_changed, s);
  s->outliers.rules = rules ? *rules : (struct outlier_rules){0};
  if (rules && !were) {
    s->sweep_ns = clock_now_ns() + rules->interval_ns;
    arm(l);
  }
}

static bool may_be_picked(const struct set_published *what, size_t i) {
  const struct plan_row *plan = what->plan ? &what->plan[i] : NULL;
  double weight = plan ? plan->weight : what->rows[i].instance->weight;
  return what->rows[i].status != STATUS_CRITICAL && weight > 0 && !(plan && plan->drop);
}

static void publish_rows(struct live *l, const struct set_published *what) {
  struct service *s = service_of(l, what->service);
  struct outlier_endpoint **next = calloc(what->count ? what->count : 1, sizeof *next);
  uint32_t count = 0;
  if (!s || !next || hosts_reserve(l) != 0) {
    free(next);
    return; /* the next publication brings them; until then reports about them are not heard */
  }
  for (size_t i = 0; i < what->count; i++) {
    struct host *h = host_of(l, s, &what->rows[i]);
    if (!h)
      continue;
    h->outlier.healthy = may_be_picked(what, i);
    h->position = count;
    next[count++] = &h->outlier;
  }
  replace_hosts(l, s, next, count);
  catalog_live_service(l->writer, s->name, cut(s->in_flight), cut(s->retries));
  rules_follow(l, s);
}

void live_published(struct live *l, const struct set_published *what) {
  if (!what->gone) {
    publish_rows(l, what);
    return;
  }
  struct service *s = table_find(&l->services, what->service);
  if (!s)
    return;
  replace_hosts(l, s, NULL, 0);
  table_remove(&l->services, s);
  service_free(s);
}

/* ---- ejections ---- */

static void ejection_show(struct live *l, const struct host *h, enum outlier_reason reason) {
  struct catalog_slot *slot = catalog_live_slot(l->writer, h->slot);
  struct set *set = sets_find(l->sets, h->service->name);
  if (slot) {
    catalog_store64(&slot->ejected_until_ns, (uint64_t)h->outlier.ejected_until_ns);
    catalog_store32(&slot->ejections, h->outlier.ejections);
  }
  if (set)
    set_touch(set);
  if (reason == OUTLIER_NONE) {
    l->stats.ejected--;
    log_info("outlier let back in", LOG_S("service", h->service->name), LOG_I("slot", h->slot));
    return;
  }
  l->stats.ejected++;
  l->stats.ejections[reason]++;
  log_warn("outlier ejected", LOG_S("service", h->service->name), LOG_I("slot", h->slot),
           LOG_S("reason", outlier_reason_name(reason)),
           LOG_N("seconds", (double)(h->outlier.ejected_until_ns - l->now_ns) / 1e9));
}

static void sweep_changed(void *arg, uint32_t i, enum outlier_reason reason) {
  const struct service *s = arg;
  ejection_show(s->live, (const struct host *)s->endpoints[i], reason);
}

/* For the earliest sweep of all. */
static void arm(struct live *l) {
  int64_t first = INT64_MAX;
  for (uint32_t i = 0; i < l->services.count; i++) {
    const struct service *s = l->services.items[i];
    if (s->outliers.rules.interval_ns && s->sweep_ns < first)
      first = s->sweep_ns;
  }
  if (first == INT64_MAX) {
    uv_timer_stop(&l->sweep);
    return;
  }
  int64_t wait = first - clock_now_ns();
  uv_timer_start(&l->sweep, on_sweep, wait > 0 ? (uint64_t)(wait / 1000000 + 1) : 1, 0);
}

static void on_sweep(uv_timer_t *timer) {
  struct live *l = timer->data;
  live_collect(l);
  for (uint32_t i = 0; i < l->services.count; i++) {
    struct service *s = l->services.items[i];
    if (s->outliers.rules.interval_ns == 0 || s->sweep_ns > l->now_ns)
      continue;
    s->sweep_ns = l->now_ns + s->outliers.rules.interval_ns;
    if (outlier_sweep(&s->outliers, l->now_ns, sweep_changed, s) < 0)
      log_error("outliers not judged: out of memory", LOG_S("service", s->name));
  }
  arm(l);
}

/* ---- what is reported ---- */

static uint32_t generation_of(void *arg, uint32_t slot) {
  const struct host *h = host_at(arg, slot);
  return h ? h->generation : 0;
}

static void add_latency(struct live *l, struct host *h, struct catalog_slot *slot,
                        const struct feedback_total *t) {
  uint32_t n = t->outcomes[FEEDBACK_SUCCESS];
  if (n == 0)
    return;
  uint64_t now = (uint64_t)l->now_ns, old = catalog_load64(&slot->latency_ns);
  catalog_store64(&slot->latency_ns,
                  select_ewma(old, now - h->sampled_ns, DECAY_NS, t->latency_ns / n));
  h->sampled_ns = now;
}

static void judge(struct live *l, struct host *h, struct catalog_slot *slot,
                  const struct feedback_total *t) {
  uint64_t bad = 0;
  for (int i = 0; i < FEEDBACK_OUTCOMES; i++) {
    l->stats.reports[i] += t->outcomes[i];
    bad += i == FEEDBACK_SUCCESS ? 0 : t->outcomes[i];
  }
  struct outlier_group *g = &h->service->outliers;
  uint32_t good = t->outcomes[FEEDBACK_SUCCESS];
  if (good + bad == 0)
    return;
  uint64_t now = (uint64_t)l->now_ns;
  catalog_store32(&slot->failing, select_failing(catalog_load32(&slot->failing), cut(bad),
                                                 cut(good + bad), now - h->reported_ns, DECAY_NS));
  h->reported_ns = now;
  if (g->rules.interval_ns == 0)
    return;
  if (outlier_report(g, h->position, good, bad < UINT32_MAX ? (uint32_t)bad : UINT32_MAX,
                     l->now_ns))
    ejection_show(l, h, OUTLIER_CONSECUTIVE);
}

static void on_total(void *arg, uint32_t number, const struct feedback_total *t) {
  struct live *l = arg;
  struct host *h = host_at(l, number);
  struct catalog_slot *slot = catalog_live_slot(l->writer, number);
  if (!h || !slot || h->generation != t->generation)
    return;
  struct service *s = h->service;
  s->in_flight += (uint64_t)t->in_flight - h->in_flight;
  s->retries += (uint64_t)t->retries - h->retries;
  l->stats.in_flight += (uint64_t)t->in_flight - h->in_flight;
  l->stats.retries += (uint64_t)t->retries - h->retries;
  h->in_flight = t->in_flight;
  h->retries = t->retries;
  catalog_store32(&slot->in_flight, t->in_flight);
  add_latency(l, h, slot, t);
  judge(l, h, slot, t);
  if (!s->moved) {
    s->moved = true;
    s->next_moved = l->moved;
    l->moved = s;
  }
}

void live_collecting(struct live *l, bool on) {
  catalog_live_collecting(l->writer, on);
}

bool live_collect(struct live *l) {
  l->now_ns = clock_now_ns();
  bool moved = feedback_sums_collect(l->sums, catalog_live_slots(l->writer), l->now_ns,
                                     generation_of, on_total, l);
  l->stats.collections++;
  for (struct service *s = l->moved; s; s = s->next_moved) {
    s->moved = false;
    catalog_live_service(l->writer, s->name, cut(s->in_flight), cut(s->retries));
  }
  l->moved = NULL;
  return moved;
}

void live_stats(const struct live *l, struct live_stats *out) {
  *out = l->stats;
}
