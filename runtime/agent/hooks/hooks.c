#include "agent/hooks/hooks.h"

#include "agent/plugins/uses.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/value.h"
#include "config/config.h"
#include "config/use.h"
#include "watch/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What hooks were told last of a service (its version) or an instance (its status). */
struct known {
  uint64_t value;
  char name[];
};

struct hooks {
  struct hook_parts parts;
  struct hook **items;
  size_t count, running; /* while stopping: that have not been told yet */
  struct table services, instances;
  void (*stopped)(void *arg);
  void *stopped_arg;
};

static const char *known_key(const void *item) {
  return ((const struct known *)item)->name;
}

struct hooks *hooks_new(const struct hook_parts *parts) {
  struct hooks *all = calloc(1, sizeof *all);
  if (all)
    *all = (struct hooks){
        .parts = *parts, .services = {.key = known_key}, .instances = {.key = known_key}};
  return all;
}

static void forget_all(struct table *t) {
  for (uint32_t i = 0; i < t->count; i++)
    free(t->items[i]);
  table_free(t);
}

void hooks_free(struct hooks *all) {
  if (!all)
    return;
  for (size_t i = 0; i < all->count; i++)
    hook_free(all->items[i]);
  forget_all(&all->services);
  forget_all(&all->instances);
  free(all->items);
  free(all);
}

/* ---- the configuration ---- */

static int attach(struct plugins *plugins, const struct value *use, size_t number,
                  struct attachment **out, struct findings *findings) {
  char path[40];
  snprintf(path, sizeof path, "hooks[%zu]", number + 1);
  if (use_name(use))
    return use_attach(plugins, "hook", use_name(use), use, path, out, findings);
  findings_add(findings, use, path, "expected the name of a hook, or { NAME, OPTION = ... }");
  return -EINVAL;
}

size_t hooks_verify(struct plugins *plugins, const struct config *config,
                    struct findings *findings) {
  const struct value *list = value_get(config->root, "hooks");
  size_t before = findings->count;
  for (size_t i = 0; i < value_length(list); i++) {
    struct attachment *a = NULL;
    if (attach(plugins, value_at(list, i), i, &a, findings) == 0)
      attachment_free(a);
  }
  return findings->count - before;
}

/* Out of the old ones: each is taken once. */
static struct hook *take(struct hook **items, size_t count, const struct value *use) {
  for (size_t i = 0; i < count; i++)
    if (items[i] && value_equal(hook_use(items[i]), use)) {
      struct hook *h = items[i];
      items[i] = NULL;
      return h;
    }
  return NULL;
}

static void tell_all_services(const struct hooks *all, struct hook *h) {
  for (uint32_t i = 0; i < all->services.count; i++)
    hook_note(h,
              &(struct event){.kind = EVENT_CHANGE, .service = known_key(all->services.items[i])});
}

int hooks_configure(struct hooks *all, const struct config *config, struct fault *f) {
  const struct value *list = value_get(config->root, "hooks");
  struct hook **items = calloc(value_length(list) + 1, sizeof *items), **old = all->items;
  struct findings findings = {0};
  size_t old_count = all->count, count = 0;
  if (!items)
    return fault_set(f, -ENOMEM, "out of memory");
  for (size_t i = 0; i < value_length(list); i++) {
    const struct value *use = value_at(list, i);
    struct hook *h = take(old, old_count, use);
    struct attachment *a;
    if (!h && attach(all->parts.plugins, use, i, &a, &findings) == 0 &&
        (h = hook_new(&all->parts, use, a)))
      tell_all_services(all, h);
    if (h)
      items[count++] = h;
  }
  for (size_t i = 0; i < old_count; i++)
    hook_free(old[i]);
  free(old);
  all->items = items;
  all->count = count;
  int r = findings.count ? fault_set(f, -EINVAL, "%s", findings.items[0].text) : 0;
  findings_free(&findings);
  return r;
}

/* ---- what happened ---- */

static void note(struct hooks *all, const struct event *e) {
  for (size_t i = 0; i < all->count; i++)
    hook_note(all->items[i], e);
}

static struct known *recall(struct table *t, const char *name, bool *is_new) {
  struct known *k = table_find(t, name);
  *is_new = !k;
  if (k)
    return k;
  k = calloc(1, sizeof *k + strlen(name) + 1);
  if (!k)
    return NULL;
  memcpy(k->name, name, strlen(name) + 1);
  if (table_add(t, k) == 0)
    return k;
  free(k);
  return NULL;
}

static void forget(struct table *t, const char *name) {
  struct known *k = table_find(t, name);
  if (k)
    table_remove(t, k);
  free(k);
}

void hooks_started(struct hooks *all) {
  note(all, &(struct event){.kind = EVENT_START});
}

void hooks_reloaded(struct hooks *all, bool ok, const char *message) {
  note(all, &(struct event){.kind = EVENT_RELOAD, .ok = ok, .message = message});
}

/* What is published again without a new version (a slow start's steps) is no change. */
void hooks_published(struct hooks *all, const struct set_published *what) {
  bool is_new;
  struct known *k = recall(&all->services, what->service, &is_new);
  bool news = !k || is_new || what->gone || k->value != what->version;
  if (k)
    k->value = what->version;
  if (news)
    note(all, &(struct event){.kind = EVENT_CHANGE, .service = what->service});
  if (what->gone)
    forget(&all->services, what->service);
}

/* The status that an instance comes with is no change. */
void hooks_local(struct hooks *all, const struct registration_state *state, bool gone) {
  const struct instance *in = state->registration->instance;
  bool is_new;
  if (gone) {
    forget(&all->instances, in->id);
    return;
  }
  struct known *k = recall(&all->instances, in->id, &is_new);
  if (k && !is_new && k->value != state->status)
    note(all, &(struct event){.kind = EVENT_STATUS,
                              .service = in->service,
                              .state = state,
                              .from = (enum status)k->value});
  if (k)
    k->value = state->status;
}

static void on_one_stopped(void *arg) {
  struct hooks *all = arg;
  if (--all->running == 0)
    all->stopped(all->stopped_arg);
}

void hooks_stop(struct hooks *all, bool leaving, void (*stopped)(void *arg), void *arg) {
  all->stopped = stopped;
  all->stopped_arg = arg;
  all->running = 1;
  for (size_t i = 0; i < all->count; i++)
    all->running += hook_stop(all->items[i], leaving, on_one_stopped, all) == 0;
  on_one_stopped(all);
}

/* ---- metrics ---- */

void hooks_metrics(const struct hooks *all, struct buf *out) {
  struct hook_stats sum = {0};
  for (size_t i = 0; i < all->count; i++)
    hook_add_stats(all->items[i], &sum);
  metric_gauge(out, "perigee_hook_notes", "Events that hooks are still to be told.",
               (double)sum.notes);
  metric_counter(out, "perigee_hook_told_total", "Events that hooks were told.", sum.told);
  metric_counter(out, "perigee_hook_failures_total", "Events told in vain; told again later.",
                 sum.failed);
  metric_counter(out, "perigee_hook_abandoned_total", "Events given up after ten failures.",
                 sum.abandoned);
}
