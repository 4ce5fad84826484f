#include "agent/watches/wraps.h"

#include "agent/watches/watches_inside.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/value.h"
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wrap {
  struct wrap *next, **link; /* of all; NULL: the watches have ended */
  struct source_user use;
  char *target;
  void (*told)(void *to, const struct set_published *what);
  void *to;
  bool left; /* the plugin has it no more */
};

static void on_told(void *arg, const struct set_published *what) {
  const struct wrap *w = arg;
  if (!w->left)
    w->told(w->to, what);
}

static int find_registry(const struct watches *all, const struct target *t, const char *text,
                         struct registry_use *use, struct fault *f) {
  const struct config *config = all->parts.config;
  if (*t->authority || !value_get(value_get(config->root, "registries"), t->registry))
    return fault_set(f, -EACCES,
                     "%s: a plugin watches what `registries` names: REGISTRY:///SERVICE", text);
  int rc = registries_find(config, all->parts.plugins, t->registry, use, f);
  if (rc == 0 && !plugin_provides(use->plugin, "watch"))
    rc = fault_set(f, -ENOSYS, "%s: this registry cannot be watched", text);
  return rc;
}

/* `by` NULL: it was asked before. */
static int join(struct watches *all, struct wrap *w, const struct isolate *by, struct fault *f) {
  struct registry_use use = {0};
  struct target target;
  int rc = target_parse(w->target, &target, f);
  rc = rc ? rc : find_registry(all, &target, w->target, &use, f);
  if (rc == 0 && by && plugin_isolate(use.plugin) == by)
    rc = fault_set(f, -EDEADLK, "%s: a registry is not made of itself", w->target);
  if (rc == 0)
    rc = source_join(&all->sources, &use, w->target, target.name, 0, &w->use, f);
  value_unref(use.options);
  target_clear(&target);
  return rc;
}

static void wrap_free(struct wrap *w) {
  if (w->link)
    *w->link = w->next;
  if (w->link && w->next)
    w->next->link = w->link;
  source_leave(&w->use);
  free(w->target);
  free(w);
}

int wraps_watch(struct watches *all, const char *target, const struct isolate *by,
                void (*told)(void *to, const struct set_published *what), void *to, void **watch,
                struct fault *f) {
  struct wrap *w = calloc(1, sizeof *w);
  if (!w)
    return fault_set(f, -ENOMEM, "out of memory");
  *w = (struct wrap){.target = strdup(target), .told = told, .to = to};
  w->use = (struct source_user){.told = on_told, .arg = w};
  int rc = w->target ? join(all, w, by, f) : fault_set(f, -ENOMEM, "out of memory");
  if (rc != 0) {
    wrap_free(w);
    return rc;
  }
  w->next = all->wraps;
  w->link = &all->wraps;
  if (w->next)
    w->next->link = &w->next;
  all->wraps = w;
  *watch = w;
  return 0;
}

/* A plugin that is reloaded asks again soon: until then its sources go on. And whoever asks us may
 * be in the middle of going through them. */
void wraps_unwatch(void *watch) {
  struct wrap *w = watch;
  w->left = true;
  if (!w->link)
    wrap_free(w);
}

void wraps_tick(struct watches *all) {
  for (struct wrap *w = all->wraps, *next; w; w = next) {
    next = w->next;
    if (w->left)
      wrap_free(w);
  }
}

static bool wrap_differs(const struct wrap *w, const struct config *old, const struct config *new) {
  char registry[256];
  snprintf(registry, sizeof registry, "%.*s", (int)strcspn(w->target, ":"), w->target);
  return !value_equal(value_get(value_get(old->root, "registries"), registry),
                      value_get(value_get(new->root, "registries"), registry));
}

void wraps_configure(struct watches *all, const struct config *old) {
  for (struct wrap *w = all->wraps; w; w = w->next) {
    const struct set_published unreachable = {.stale = true};
    struct fault f;
    if (!w->left && !wrap_differs(w, old, all->parts.config))
      continue;
    source_leave(&w->use);
    if (w->left || join(all, w, NULL, &f) == 0)
      continue;
    log_warn("a plugin's watch ends; what is known stays", LOG_S("target", w->target),
             LOG_S("error", f.text));
    w->told(w->to, &unreachable);
  }
}

void wraps_end(struct watches *all) {
  while (all->wraps) {
    struct wrap *w = all->wraps;
    all->wraps = w->next;
    source_leave(&w->use);
    w->next = NULL;
    w->link = NULL;
    if (w->left)
      wrap_free(w);
  }
}
