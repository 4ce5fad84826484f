#include "agent/watches/watches.h"

#include "agent/registries/registries.h"
#include "agent/watches/copies.h"
#include "agent/watches/probes.h"
#include "agent/watches/watcher.h"
#include "agent/watches/watches_inside.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/value.h"
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  COPY_TICKS = 5,        /* a round of copies begins at most so often, in seconds */
  COPY_ENDPOINTS = 10000 /* and writes so many each second */
};

struct watch *watch_find(const struct watches *all, const char *service) {
  size_t low = 0, high = all->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    int order = strcmp(service, set_service(all->items[middle]->set));
    if (order == 0)
      return all->items[middle];
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

/* ---- from the sources to the feeds ---- */

/* Asked for by the watch of this name, or by one that has the same source. */
static void on_probed(void *arg, const struct instance *in, bool alive) {
  const struct watches *all = arg;
  const struct watch *asker = watch_find(all, in->service);
  for (size_t i = 0; !alive && i < all->count; i++) {
    const struct watch *w = all->items[i];
    bool same = asker && w == asker;
    for (unsigned k = 0; asker && k < FEED_SOURCES; k++)
      same |= w->uses[k].source && (w->uses[k].source == asker->uses[0].source ||
                                    w->uses[k].source == asker->uses[1].source);
    if (same && w->feed)
      feed_disprove(w->feed, in->id);
  }
}

void watches_flush(struct watches *all) {
  sources_flush(&all->sources);
}

/* ---- its beginning and its end ---- */

struct watches *watches_new(const struct watches_with *with) {
  struct watches *all = calloc(1, sizeof *all);
  if (!all)
    return NULL;
  *all = (struct watches){.store = with->store, .used = with->used};
  all->parts = (struct watch_parts){.loop = with->loop,
                                    .plugins = with->plugins,
                                    .sets = with->sets,
                                    .withdrew = with->withdrew,
                                    .arg = with->arg};
  sources_init(&all->sources, with->loop);
  all->parts.sources = &all->sources;
  all->parts.probes = probes_new(with->io, on_probed, all);
  if (all->parts.probes)
    return all;
  watches_free(all);
  return NULL;
}

static void on_one_closed(void *arg) {
  struct watches *all = arg;
  if (--all->closing == 0)
    all->closed(all->closed_arg);
}

void watches_close(struct watches *all, void (*closed)(void *arg), void *arg) {
  all->closed = closed;
  all->closed_arg = arg;
  all->closing = 1;
  all->closing += sources_close(&all->sources, on_one_closed, all);
  on_one_closed(all);
}

void watches_free(struct watches *all) {
  if (!all)
    return;
  watches_abandon(all);
  wraps_end(all);
  probes_free(all->parts.probes);
  for (size_t i = 0; i < all->count; i++)
    watch_free(all->items[i]);
  sources_free(&all->sources);
  free(all->items);
  free(all);
}

/* Into its place by name. Takes nothing over when it fails. */
static int insert(struct watches *all, struct watch *w) {
  struct watch **items = realloc(all->items, (all->count + 1) * sizeof *items);
  if (!items)
    return -ENOMEM;
  all->items = items;
  size_t i = all->count++;
  for (; i > 0 && strcmp(set_service(items[i - 1]->set), set_service(w->set)) > 0; i--)
    items[i] = items[i - 1];
  items[i] = w;
  return 0;
}

int watch_add(struct watches *all, const struct watch_wish *wish, struct watch **out,
              struct fault *f) {
  int rc = watch_new(&all->parts, wish, out, f);
  if (rc != 0)
    return rc;
  rc = insert(all, *out);
  if (rc != 0) {
    watch_free(*out);
    return fault_set(f, rc, "out of memory");
  }
  return 0;
}

size_t watches_awaited(const struct watches *all, const char **first) {
  size_t count = 0;
  for (size_t i = all->count; i-- > 0;)
    if (all->items[i]->feed && !feed_ready(all->items[i]->feed)) {
      *first = set_service(all->items[i]->set);
      count++;
    }
  return count;
}

/* Goes on where it stopped, for at least `most` endpoints: a hundred thousand on their way to the
 * disk at once would be 12 MiB of memory for a moment. */
static void write_copies(struct watches *all, size_t most) {
  for (size_t endpoints = 0; all->next_copy < all->count && endpoints < most; all->next_copy++) {
    struct watch *w = all->items[all->next_copy];
    if (w->changed && w->on_demand && set_count(w->set) == 0) {
      copy_erase(all->store, set_service(w->set)); /* a name that may be nobody's */
    } else if (w->changed) {
      copy_write(all->store, set_service(w->set), set_rows(w->set), set_count(w->set));
      endpoints += set_count(w->set);
    }
    w->changed = false;
  }
}

void watches_tick(struct watches *all) {
  for (size_t i = 0; i < all->count; i++)
    if (all->items[i]->feed)
      feed_tick(all->items[i]->feed);
  wraps_tick(all);
  if (all->on_demand > 0)
    watches_forget_idle(all);
  if (++all->ticks % COPY_TICKS == 0 && all->next_copy >= all->count)
    all->next_copy = 0;
  write_copies(all, COPY_ENDPOINTS);
}

void watches_save(struct watches *all) {
  all->next_copy = 0;
  write_copies(all, SIZE_MAX);
}

/* ---- what the embedded registry has ---- */

bool watches_feeds_itself(const struct watches *all, const char *service) {
  const struct watch *w = watch_find(all, service);
  return !w || (!w->feed && strcmp(w->targets[0].name, service) == 0);
}

/* Whether it is registered where its service is watched. */
static bool comes_back(const struct watches *all, const struct instance *in) {
  const struct config *config = all->parts.config;
  const struct watch *w = watch_find(all, in->service);
  for (size_t i = 0; w && i < config->service_count; i++) {
    const struct value *registries = config->service_registries[i];
    if (strcmp(config->services[i]->instance->id, in->id) != 0)
      continue;
    for (size_t k = 0; k < value_length(registries); k++)
      for (int t = 0; t < FEED_SOURCES; t++)
        if (w->uses[t].source &&
            strcmp(value_as_text(value_at(registries, k), ""), w->targets[t].registry) == 0)
          return true;
  }
  return false;
}

/* Whoever starts before what he calls has asked for it on demand: that ends when it is registered
 * here, and not where it is looked for. */
static void end_on_demand(struct watches *all, const struct instance *in) {
  const struct watch *w = watch_find(all, in->service);
  if (w && w->on_demand && !comes_back(all, in))
    watches_drop(all, w);
}

/* Each local endpoint holds its set open, so that a service without a watch lasts as long as it has
 * one. */
void watches_local(struct watches *all, const struct registration_state *state, bool gone) {
  const struct instance *in = state->registration->instance;
  if (!gone)
    end_on_demand(all, in);
  if (!watches_feeds_itself(all, in->service)) {
    bool fresh = !gone && state->create_index == state->modify_index;
    if (fresh && !comes_back(all, in))
      log_warn("registered, and not picked: a watch takes this service from elsewhere",
               LOG_S("service", in->service), LOG_S("instance", in->id));
    return;
  }
  struct set *s = sets_find(all->parts.sets, in->service);
  if (gone) {
    if (s && set_remove(s, in->id) == 0)
      set_close(s);
    return;
  }
  bool known = s && set_status(s, in->id, state->status) != -ENOENT;
  if (!known)
    s = sets_open(all->parts.sets, in->service);
  int r = s ? set_put(s, in, state->status) : -ENOMEM;
  if (r != 0) {
    log_error("registered, but not in the catalog", LOG_S("service", in->service),
              LOG_S("instance", in->id), LOG_S("error", strerror(-r)));
    if (s && !known)
      set_close(s);
  }
}

void watch_follow(const struct watch *w, const struct set_published *what) {
  struct instances has = {0};
  if (instances_copy(&has, what->rows, what->count) == 0)
    set_replace(w->set, has.items, has.statuses, has.count);
  instances_free(&has);
}

void watches_published(struct watches *all, const struct set_published *what) {
  struct watch *itself = watch_find(all, what->service);
  if (itself && itself->feed && feed_is_told(itself->feed)) /* also where another one is away */
    itself->changed = true;
  for (size_t i = 0; all->follow && i < all->count; i++) {
    const struct watch *w = all->items[i];
    if (w != itself && !w->feed && strcmp(w->targets[0].name, what->service) == 0)
      watch_follow(w, what);
  }
}

static void show_target(const struct target *t, struct buf *out) {
  struct buf text = {0};
  buf_format(&text, "%s://%s/%s", t->registry, t->authority, t->name);
  buf_json_text(out, text.data ? text.data : "");
  buf_free(&text);
}

void watches_show_sources(const struct watches *all, const char *service, const struct instance *in,
                          struct buf *out) {
  const struct watch *w = watch_find(all, service);
  unsigned shown = 0;
  buf_char(out, '[');
  if (!w)
    buf_text(out, "\"embedded\"");
  for (unsigned i = 0; w && i < FEED_SOURCES; i++) {
    if (w->feed && (!w->uses[i].source || !feed_has(w->feed, i, in)))
      continue;
    if (!w->feed && i > 0)
      continue;
    buf_text(out, shown++ ? "," : "");
    show_target(&w->targets[i], out);
  }
  buf_char(out, ']');
}

void watches_show_merge(const struct watches *all, const char *service, struct buf *out) {
  static const char *const words[] = {
      [FEED_FALLBACK] = "prefer", [FEED_UNION] = "union", [FEED_COMPARE] = "compare"};
  const struct watch *w = watch_find(all, service);
  struct feed_stats stats;
  if (!w || !w->feed || !w->uses[1].source)
    return;
  feed_stats(w->feed, &stats);
  buf_format(out, ",\"merge\":{\"how\":\"%s\",\"first\":", words[feed_merge(w->feed)]);
  show_target(&w->targets[0], out);
  buf_text(out, ",\"second\":");
  show_target(&w->targets[1], out);
  if (feed_merge(w->feed) == FEED_FALLBACK)
    buf_format(out, ",\"stands_in\":%s", stats.switched ? "true" : "false");
  if (stats.compared)
    buf_format(out, ",\"only_first\":%zu,\"only_second\":%zu,\"unlike\":%zu",
               stats.differing.only_first, stats.differing.only_second, stats.differing.unlike);
  buf_char(out, '}');
}

/* ---- metrics ---- */

size_t watches_differing(const struct watches *all) {
  size_t count = 0;
  for (size_t i = 0; i < all->count; i++) {
    struct feed_stats one = {0};
    if (all->items[i]->feed)
      feed_stats(all->items[i]->feed, &one);
    count += one.differing.only_first + one.differing.only_second + one.differing.unlike > 0;
  }
  return count;
}

static void differing(struct buf *out, const struct watch *w, const char *how, size_t count) {
  buf_text(out, "perigee_watch_differing{service=");
  buf_json_text(out, set_service(w->set));
  buf_format(out, ",how=\"%s\"} %zu\n", how, count);
}

static void show_differing(const struct watches *all, struct buf *out) {
  bool any = false;
  for (size_t i = 0; i < all->count; i++) {
    const struct watch *w = all->items[i];
    struct feed_stats one = {0};
    if (w->feed)
      feed_stats(w->feed, &one);
    if (!one.compared)
      continue;
    if (!any)
      metric_family(out, "perigee_watch_differing", "gauge",
                    "Instances that only one of two compared registries has, or both differently.");
    any = true;
    differing(out, w, "only_first", one.differing.only_first);
    differing(out, w, "only_second", one.differing.only_second);
    differing(out, w, "unlike", one.differing.unlike);
  }
}

void watches_metrics(const struct watches *all, struct buf *out) {
  struct feed_stats sum = {0};
  for (size_t i = 0; i < all->count; i++) {
    struct feed_stats one = {0};
    if (all->items[i]->feed)
      feed_stats(all->items[i]->feed, &one);
    sum.held += one.held;
    sum.holds += one.holds;
    sum.kept += one.kept;
  }
  metric_gauge(out, "perigee_guard_held_endpoints",
               "Endpoints that vanished in a sudden loss which is not believed yet.",
               (double)sum.held);
  metric_counter(out, "perigee_guard_holds_total", "Sudden losses that were held.", sum.holds);
  metric_counter(out, "perigee_watch_kept_total",
                 "Lists shorter than min_endpoints that were not published.", sum.kept);
  show_differing(all, out);
  bool any = false;
  for (size_t i = 0; i < all->count; i++) {
    int64_t since = set_stale_ns(all->items[i]->set);
    if (since == 0)
      continue;
    if (!any)
      metric_family(out, "perigee_watch_stale_seconds", "gauge",
                    "How long a service's source has been unreachable.");
    any = true;
    metric_sample(out, "perigee_watch_stale_seconds", "service", set_service(all->items[i]->set),
                  (double)(clock_now_ns() - since) / 1e9);
  }
}
