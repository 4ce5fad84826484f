#include "agent/watches.h"

#include "agent/registries.h"
#include "agent/watcher.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/value.h"
#include "config/config.h"
#include "config/target.h"
#include "watch/balancer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct watch {
  struct target target;
  struct set *set;
  struct watcher *watcher; /* NULL: it follows the embedded registry */
};

struct watches {
  uv_loop_t *loop;
  struct sets *sets;
  struct plugins *plugins;
  struct watch **items; /* by service */
  size_t count;
  size_t closing; /* watchers whose plugin closes its connection; one more while they begin to */
  void (*closed)(void *arg);
  void *closed_arg;
};

struct watches *watches_new(uv_loop_t *loop, struct sets *sets, struct plugins *plugins) {
  struct watches *all = calloc(1, sizeof *all);
  if (all)
    *all = (struct watches){.loop = loop, .sets = sets, .plugins = plugins};
  return all;
}

static void watch_free(struct watch *w) {
  if (w->watcher)
    watcher_end(w->watcher);
  if (w->set)
    set_close(w->set);
  target_clear(&w->target);
  free(w);
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
  for (size_t i = 0; i < all->count; i++) {
    struct watcher *w = all->items[i]->watcher;
    all->closing += w && watcher_close(w, on_one_closed, all);
  }
  on_one_closed(all);
}

void watches_free(struct watches *all) {
  if (!all)
    return;
  for (size_t i = 0; i < all->count; i++)
    watch_free(all->items[i]);
  free(all->items);
  free(all);
}

/* This agent's own; with an authority it is another perigee's, which a plugin watches. */
static bool is_embedded(const struct target *t) {
  return strcmp(t->registry, "embedded") == 0 && !*t->authority;
}

static void verify_one(const struct config *config, struct plugins *plugins,
                       const struct config_watch *from, struct findings *findings) {
  struct balancer_host host = {config->node, config->zone};
  char path[600];
  struct fault f;
  if (balancer_check(from->balancer, &host, &f) != 0) {
    snprintf(path, sizeof path, "watches.%s.balancer", from->service);
    findings_add(findings, value_get(from->declared, "balancer"), path, "%s", f.text);
  }
  struct target target;
  if (target_parse(from->target, &target, &f) != 0) {
    snprintf(path, sizeof path, "watches.%s.target", from->service);
    findings_add(findings, value_get(from->declared, "target"), path, "%s", f.text);
    return;
  }
  struct registry_use use = {0};
  int r = is_embedded(&target) ? 0 : registries_find(config, plugins, target.registry, &use, &f);
  if (r == 0 && use.plugin && !plugin_provides(use.plugin, "watch"))
    r = fault_set(&f, -ENOSYS, "the registry \"%s\" cannot be watched: its plugin has no `watch`",
                  target.registry);
  if (r != 0) {
    snprintf(path, sizeof path, "watches.%s.target", from->service);
    findings_add(findings, value_get(from->declared, "target"), path, "%s", f.text);
  }
  value_unref(use.options);
  target_clear(&target);
}

size_t watches_verify(struct plugins *plugins, const struct config *config,
                      struct findings *findings) {
  size_t before = findings->count;
  registries_verify(config, plugins, findings);
  for (size_t i = 0; i < config->watch_count; i++)
    verify_one(config, plugins, &config->watches[i], findings);
  return findings->count - before;
}

static int watch_start(struct watches *all, struct watch *w, const struct config *config,
                       const struct config_watch *from, struct fault *f) {
  struct registry_use use;
  w->set = sets_open(all->sets, from->service);
  if (!w->set)
    return fault_set(f, -ENOMEM, "out of memory");
  int r = set_balancer(w->set, from->balancer, f);
  if (r != 0 || is_embedded(&w->target))
    return r;
  r = registries_find(config, all->plugins, w->target.registry, &use, f);
  if (r == 0 &&
      !(w->watcher = watcher_start(all->loop, &use, &w->target, w->set, (unsigned)all->count)))
    r = fault_set(f, -ENOMEM, "out of memory");
  value_unref(use.options);
  return r;
}

static int by_service(const void *a, const void *b) {
  const struct watch *const *x = a, *const *y = b;
  return strcmp(set_service((*x)->set), set_service((*y)->set));
}

int watches_configure(struct watches *all, const struct config *config, struct fault *f) {
  all->items = calloc(config->watch_count ? config->watch_count : 1, sizeof *all->items);
  if (!all->items)
    return fault_set(f, -ENOMEM, "out of memory");
  for (size_t i = 0; i < config->watch_count; i++) {
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
      return fault_set(f, -ENOMEM, "out of memory");
    int r = target_parse(config->watches[i].target, &w->target, f);
    if (r == 0)
      r = watch_start(all, w, config, &config->watches[i], f);
    if (r != 0) {
      watch_free(w);
      return r;
    }
    all->items[all->count++] = w;
  }
  qsort(all->items, all->count, sizeof *all->items, by_service);
  return 0;
}

static const struct watch *watch_find(const struct watches *all, const char *service) {
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

/* Whether the embedded registry feeds this service's set. */
static bool fed_from_here(const struct watches *all, const char *service) {
  const struct watch *w = watch_find(all, service);
  return !w || (is_embedded(&w->target) && strcmp(w->target.name, service) == 0);
}

/* Each local endpoint holds its set open, so that a service without a watch lasts as long as it has
 * one. */
void watches_local(struct watches *all, const struct registration_state *state, bool gone) {
  const struct instance *in = state->registration->instance;
  if (!fed_from_here(all, in->service)) {
    if (!gone && state->create_index == state->modify_index) /* new, not changed */
      log_warn("registered, and not picked: a watch takes this service from elsewhere",
               LOG_S("service", in->service), LOG_S("instance", in->id));
    return;
  }
  struct set *s = sets_find(all->sets, in->service);
  if (gone) {
    if (s && set_remove(s, in->id) == 0)
      set_close(s);
    return;
  }
  bool known = s && set_status(s, in->id, state->status) != -ENOENT;
  if (!known)
    s = sets_open(all->sets, in->service);
  int r = s ? set_put(s, in, state->status) : -ENOMEM;
  if (r != 0) {
    log_error("registered, but not in the catalog", LOG_S("service", in->service),
              LOG_S("instance", in->id), LOG_S("error", strerror(-r)));
    if (s && !known)
      set_close(s);
  }
}

static void follow(const struct watch *w, const struct set_published *what) {
  struct instance **instances = calloc(what->count ? what->count : 1, sizeof *instances);
  enum status *statuses = calloc(what->count ? what->count : 1, sizeof *statuses);
  if (instances && statuses) {
    for (size_t i = 0; i < what->count; i++) {
      instances[i] = what->rows[i].instance;
      statuses[i] = what->rows[i].status;
    }
    set_replace(w->set, instances, statuses, what->count);
  }
  free(instances);
  free(statuses);
}

void watches_published(struct watches *all, const struct set_published *what) {
  for (size_t i = 0; i < all->count; i++) {
    const struct watch *w = all->items[i];
    if (is_embedded(&w->target) && strcmp(w->target.name, what->service) == 0 &&
        strcmp(set_service(w->set), what->service) != 0)
      follow(w, what);
  }
}
