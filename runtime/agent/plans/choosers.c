#include "agent/plans/choosers.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/value.h"
#include "config/config.h"
#include "vm/pick/pick_rules.h"
#include "vm/pick/picker.h"
#include "watch/balancer.h"
#include "watch/stage.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTED_MOST = 16 /* calls of one look: more say no more */ };
#define AGAIN_NS (INT64_C(10) * 1000000000)

/* A service that a plugin picks for. */
struct chooser {
  char *service;
  struct attachment *attachment;
  struct pick_rule *rule; /* shared by those of one plugin with the same options */
};

/* A rule, and what was counted of it when it was last looked at. */
struct watched_rule {
  struct pick_rule *rule;
  struct plugin *plugin;
  struct chooser_sums seen;
  int64_t told_ns;
  char told[300];
};

struct choosers {
  struct vm *vm;
  struct plugins *plugins;
  struct pick_rules *rules;
  struct pickers *pickers; /* the control thread's */
  struct chooser *items;   /* by service's place in the configuration */
  size_t count;
  struct watched_rule *watched;
  size_t watched_count;
  uv_async_t bell; /* a pick failed, on whatever thread */
};

static struct chooser_sums sums_of(const struct pick_rule *r) {
  struct chooser_sums s = {0};
  for (int i = 0; i < PICK_THREADS; i++) {
    s.picks += atomic_load_explicit(&r->counts[i].picks, memory_order_relaxed);
    s.faults += atomic_load_explicit(&r->counts[i].faults, memory_order_relaxed);
    s.killed += atomic_load_explicit(&r->counts[i].killed, memory_order_relaxed);
    s.memory += atomic_load_explicit(&r->counts[i].memory, memory_order_relaxed);
  }
  return s;
}

/* ---- those that keep failing ---- */

static void tell(struct watched_rule *w, uint64_t faults) {
  char text[300];
  int64_t now = clock_now_ns();
  pick_rule_blamed(w->rule, text, sizeof text);
  if (strcmp(text, w->told) == 0 && now - w->told_ns < AGAIN_NS)
    return;
  w->told_ns = now;
  memcpy(w->told, text, sizeof text);
  log_error("plugin failed to pick: its standin did", LOG_S("plugin", w->rule->plugin),
            LOG_I("faults", faults), LOG_S("error", text));
}

/* Notes what was counted since the last look, as a few calls in which as large a part failed. */
static void look_at(struct choosers *all, struct watched_rule *w) {
  struct chooser_sums now = sums_of(w->rule);
  uint64_t faults = now.faults - w->seen.faults, picks = now.picks - w->seen.picks;
  if (picks < faults)
    picks = faults; /* one that did not load has not picked */
  w->seen = now;
  if (faults)
    tell(w, faults);
  uint64_t calls = picks < NOTED_MOST ? picks : NOTED_MOST,
           failed = picks ? (faults * calls + picks - 1) / picks : 0;
  for (uint64_t i = 0; i < calls; i++)
    plugins_note(all->plugins, w->plugin, i >= calls - failed);
  bool held = atomic_load(&w->rule->held);
  if (!held && plugins_holds(all->plugins, w->plugin))
    atomic_store(&w->rule->held, true);
  else if (held && plugins_allows(all->plugins, w->plugin))
    atomic_store(&w->rule->held, false);
}

static void on_bell(uv_async_t *bell) {
  struct choosers *all = bell->data;
  for (size_t i = 0; i < all->watched_count; i++)
    if (sums_of(all->watched[i].rule).faults != all->watched[i].seen.faults)
      look_at(all, &all->watched[i]);
}

void choosers_tick(struct choosers *all) {
  for (size_t i = 0; i < all->watched_count; i++)
    look_at(all, &all->watched[i]);
}

static void on_fault(void *arg) {
  struct choosers *all = arg;
  uv_async_send(&all->bell);
}

/* ---- the beginning and the end ---- */

static void on_bell_closed(uv_handle_t *bell) {
  free(bell->data);
}

struct choosers *choosers_new(uv_loop_t *loop, struct vm *vm, struct plugins *plugins,
                              const char *library) {
  struct choosers *all = calloc(1, sizeof *all);
  if (!all)
    return NULL;
  *all = (struct choosers){.vm = vm, .plugins = plugins};
  all->rules = pick_rules_new(on_fault, all);
  const struct pickers_with with = {
      .rules = all->rules, .thread = PICK_THREADS - 1, .loop = loop, .library = library, .vm = vm};
  all->pickers = all->rules ? pickers_new(&with) : NULL;
  if (!all->pickers || uv_async_init(loop, &all->bell, on_bell) != 0) {
    pickers_free(all->pickers);
    pick_rules_free(all->rules);
    free(all);
    return NULL;
  }
  all->bell.data = all;
  uv_unref((uv_handle_t *)&all->bell);
  vm_pick_by(vm, all->pickers);
  return all;
}

struct pick_rules *choosers_rules(const struct choosers *all) {
  return all->rules;
}

static void items_free(struct chooser *items, size_t count) {
  for (size_t i = 0; i < count; i++) {
    attachment_free(items[i].attachment);
    pick_rule_unref(items[i].rule);
    free(items[i].service);
  }
  free(items);
}

void choosers_end(struct choosers *all) {
  if (!all)
    return;
  pickers_end(all->pickers);
  items_free(all->items, all->count);
  free(all->watched);
  all->items = NULL;
  all->watched = NULL;
  all->count = all->watched_count = 0;
}

void choosers_free(struct choosers *all) {
  if (!all)
    return;
  pickers_free(all->pickers);
  pick_rules_free(all->rules);
  uv_close((uv_handle_t *)&all->bell, on_bell_closed);
}

/* ---- from attachments to what is published ---- */

static bool rule_is(const struct pick_rule *r, const struct chooser *c) {
  const struct plugin *p = attachment_plugin(c->attachment);
  const struct isolate_limits *l = isolate_limits(plugin_isolate(p));
  return r && strcmp(r->plugin, plugin_name(p)) == 0 && strcmp(r->hash, plugin_version(p)) == 0 &&
         r->limits.memory_hard == l->memory_hard && r->limits.turn_ns == l->turn_ns &&
         value_equal(r->limits.grant, l->grant) &&
         value_equal(r->options, attachment_written(c->attachment));
}

/* The rule of what the attachment is now: one that is there, or a new one. */
static struct pick_rule *rule_of(const struct choosers *all, const struct chooser *items,
                                 size_t before, const struct chooser *c) {
  const struct plugin *p = attachment_plugin(c->attachment);
  for (size_t i = 0; i < before; i++)
    if (rule_is(items[i].rule, c))
      return pick_rule_ref(items[i].rule);
  for (size_t i = 0; i < all->watched_count; i++)
    if (rule_is(all->watched[i].rule, c))
      return pick_rule_ref(all->watched[i].rule);
  return pick_rule_new(plugin_name(p), plugin_path(p), plugin_parts(p), plugin_version(p),
                       isolate_limits(plugin_isolate(p)), attachment_written(c->attachment));
}

static void watch_rule(struct watched_rule *list, size_t *count, const struct choosers *all,
                       const struct chooser *c) {
  for (size_t i = 0; i < *count; i++)
    if (list[i].rule == c->rule)
      return;
  struct watched_rule *w = &list[(*count)++];
  *w = (struct watched_rule){.rule = c->rule, .plugin = attachment_plugin(c->attachment)};
  for (size_t i = 0; i < all->watched_count; i++)
    if (all->watched[i].rule == c->rule)
      *w = all->watched[i];
}

/* Publishes `items`, whose rules are the caller's. 0 or -ENOMEM: nothing has changed. */
static int publish(struct choosers *all, const struct chooser *items, size_t count) {
  struct watched_rule *watched = calloc(count + 1, sizeof *watched);
  struct pick_use *uses = calloc(count + 1, sizeof *uses);
  size_t rules = 0;
  int r = watched && uses ? 0 : -ENOMEM;
  for (size_t i = 0; r == 0 && i < count; i++) {
    watch_rule(watched, &rules, all, &items[i]);
    uses[i] = (struct pick_use){items[i].service, items[i].rule};
  }
  if (r == 0)
    r = pick_rules_publish(all->rules, uses, count);
  free(uses);
  if (r != 0) {
    free(watched);
    return r;
  }
  free(all->watched);
  all->watched = watched;
  all->watched_count = rules;
  return 0;
}

/* A plugin was reloaded: the threads take its new version between two of their picks. */
static void on_reloaded(void *arg) {
  struct choosers *all = arg;
  struct pick_rule **old = calloc(all->count + 1, sizeof(struct pick_rule *));
  int r = old ? 0 : -ENOMEM;
  for (size_t i = 0; r == 0 && i < all->count; i++) {
    old[i] = all->items[i].rule;
    all->items[i].rule = rule_of(all, all->items, i, &all->items[i]);
    r = all->items[i].rule ? 0 : -ENOMEM;
  }
  if (r == 0)
    r = publish(all, all->items, all->count);
  if (r != 0)
    log_error("picks go on by the old version of a plugin: out of memory");
  for (size_t i = 0; old && i < all->count && old[i]; i++) {
    struct pick_rule **now = &all->items[i].rule, *other = r == 0 ? old[i] : *now;
    if (r != 0)
      *now = old[i];
    pick_rule_unref(other);
  }
  free(old);
}

static const struct attachment_events events = {.arrived = on_reloaded};

/* ---- the configuration ---- */

/* The watch's plugin, attached; none of it where no plugin picks. */
static int attach(struct plugins *plugins, const struct config_watch *watch,
                  const struct balancer_host *host, struct attachment **out,
                  struct findings *findings) {
  struct balancer rules;
  struct plugin *plugin;
  struct fault f = {0};
  char path[300];
  *out = NULL;
  if (balancer_parse(watch->balancer, host, &rules, &f) != 0)
    return 0;
  int r = rules.chooser.name ? plugins_get(plugins, "balancer", rules.chooser.name, &plugin, &f)
                             : -ENOENT;
  if (r == 0) {
    snprintf(path, sizeof path, "watches.%.250s.balancer", watch->service);
    r = plugin_attach(plugin, rules.chooser.options, path, out, findings);
  } else {
    r = 0;
  }
  balancer_end(&rules);
  return r;
}

/* Files that nobody could mean, since the name is an algorithm's. */
static void verify_names(const struct config *config, struct findings *findings) {
  for (size_t i = 0; stage_at(i); i++) {
    const char *name = stage_name(stage_at(i));
    struct fault none;
    char *path;
    if (plugin_find((const char *const *)config->plugin_directories, "balancer", name, &path,
                    &none) != 0)
      continue;
    findings_add(findings, NULL, "watches",
                 "%s: %s is a balancer of perigee's own: give the file another name", path, name);
    free(path);
  }
}

size_t choosers_verify(struct plugins *plugins, const struct config *config,
                       const struct balancer_host *host, struct findings *findings) {
  size_t before = findings->count;
  for (size_t i = 0; i < config->watch_count; i++) {
    struct attachment *a;
    if (attach(plugins, &config->watches[i], host, &a, findings) == 0)
      attachment_free(a);
  }
  verify_names(config, findings);
  return findings->count - before;
}

static int add(struct choosers *all, struct chooser *items, size_t *count,
               const struct config_watch *watch, const struct balancer_host *host,
               struct findings *findings) {
  struct chooser *c = &items[*count];
  *c = (struct chooser){0};
  int r = attach(all->plugins, watch, host, &c->attachment, findings);
  if (r != 0 || !c->attachment)
    return r;
  (*count)++;
  c->service = strdup(watch->service);
  c->rule = c->service ? rule_of(all, items, *count - 1, c) : NULL;
  return c->rule ? 0 : -ENOMEM;
}

int choosers_configure(struct choosers *all, const struct config *config,
                       const struct balancer_host *host, struct fault *f) {
  struct findings findings = {0};
  struct chooser *items = calloc(config->watch_count + 1, sizeof *items);
  size_t count = 0;
  int r = items ? 0 : -ENOMEM;
  for (size_t i = 0; r == 0 && i < config->watch_count; i++)
    r = add(all, items, &count, &config->watches[i], host, &findings);
  if (r == 0)
    r = publish(all, items, count);
  if (r != 0) {
    fault_set(f, r, "%s", findings.count ? findings.items[0].text : "out of memory");
    items_free(items, count);
  } else {
    items_free(all->items, all->count);
    all->items = items;
    all->count = count;
    for (size_t i = 0; i < count; i++)
      attachment_follow(items[i].attachment, &events, all);
  }
  findings_free(&findings);
  return r;
}

/* ---- for those who look ---- */

bool choosers_sums(const struct choosers *all, const struct plugin *p, struct chooser_sums *out) {
  bool any = false;
  *out = (struct chooser_sums){0};
  for (size_t i = 0; i < all->watched_count; i++) {
    if (all->watched[i].plugin != p)
      continue;
    struct chooser_sums one = sums_of(all->watched[i].rule);
    out->picks += one.picks;
    out->faults += one.faults;
    out->killed += one.killed;
    out->memory += one.memory;
    any = true;
  }
  return any;
}

void choosers_metrics(const struct choosers *all, struct buf *out) {
  static const struct {
    const char *name, *type, *help;
    size_t at;
  } metrics[] = {
      {"perigee_plugin_picks_total", "counter", "Picks that plugins were asked for.",
       offsetof(struct chooser_sums, picks)},
      {"perigee_plugin_pick_faults_total", "counter", "Those that failed: the standin picked.",
       offsetof(struct chooser_sums, faults)},
      {"perigee_plugin_pick_killed_total", "counter", "Those that took too long.",
       offsetof(struct chooser_sums, killed)},
      {"perigee_plugin_pick_memory_bytes", "gauge", "What the picking isolates hold, all threads'.",
       offsetof(struct chooser_sums, memory)},
  };
  for (size_t i = 0; i < sizeof metrics / sizeof *metrics && all->watched_count; i++) {
    metric_family(out, metrics[i].name, metrics[i].type, metrics[i].help);
    for (size_t k = 0; k < all->watched_count; k++) {
      struct chooser_sums s;
      uint64_t n;
      bool again = false;
      for (size_t before = 0; before < k; before++)
        again = again || all->watched[before].plugin == all->watched[k].plugin;
      if (again)
        continue;
      choosers_sums(all, all->watched[k].plugin, &s);
      memcpy(&n, (const char *)&s + metrics[i].at, sizeof n);
      metric_sample(out, metrics[i].name, "plugin", plugin_name(all->watched[k].plugin), (double)n);
    }
  }
}
