#include "agent/plugins/plugins.h"

#include "agent/plugins/plugins_inside.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/log.h"
#include "base/value.h"
#include "config/config.h"
#include "vm/isolate/grant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plugins *plugins_new(struct vm *vm, const struct config *config) {
  struct plugins *all = calloc(1, sizeof *all);
  if (all)
    *all = (struct plugins){.vm = vm, .config = config};
  return all;
}

void entry_clear(struct entry *e) {
  plugin_free(e->plugin);
  value_unref(e->settings);
  value_unref(e->next_settings);
  while (e->earlier_count > 0)
    value_unref(e->earlier[--e->earlier_count]);
  *e = (struct entry){0};
}

void plugins_free(struct plugins *all) {
  if (!all)
    return;
  for (size_t i = 0; i < all->count; i++)
    entry_clear(&all->items[i]);
  for (size_t i = 0; i < all->miss_count; i++) {
    free(all->misses[i].kind);
    free(all->misses[i].name);
  }
  plugins_unattend(all);
  value_unref(all->host);
  free(all->misses);
  free(all->items);
  free(all);
}

/* What the configuration says of it, by "KIND/NAME" or else by its name; NULL: nothing. */
static const struct value *settings_of(const struct plugins *all, const char *kind,
                                       const char *name) {
  const struct value *settings = value_get(all->config->root, "plugins");
  char both[200];
  snprintf(both, sizeof both, "%s/%s", kind, name);
  const struct value *own = value_get(settings, both);
  return own ? own : value_get(settings, name);
}

/* Relative to the configuration's file, as everything in it. */
static char *configured_path(const struct plugins *all, const char *path) {
  const char *file = all->config->file, *slash = file ? strrchr(file, '/') : NULL;
  char *whole = NULL;
  if (path[0] == '/' || !slash)
    return strdup(path);
  return asprintf(&whole, "%.*s/%s", (int)(slash - file), file, path) < 0 ? NULL : whole;
}

bool plugins_ship(const struct plugins *all, const char *path) {
  static const char below[] = "/plugins/";
  size_t length = strlen(all->config->library);
  return strncmp(path, all->config->library, length) == 0 &&
         strncmp(path + length, below, sizeof below - 1) == 0;
}

/* A registry that ships has one isolate for all services that are watched there: some 20 KiB, a
 * stream and three tasks for each, and they may be thousands. */
enum { MANY_BYTES = 64 << 20, MANY_HANDLES = 20000, MANY_TASKS = 2 * MANY_HANDLES };

/* What ships does only what its options say, which the configuration's author wrote: it may do all
 * but ffi (NULL). All others may do what is granted. */
static int grant_of(const struct plugins *all, const char *kind, const char *path,
                    const struct value *settings, struct value **out) {
  *out = NULL;
  return plugins_ship(all, path) ? 0 : grant_value(kind, value_get(settings, "grant"), out);
}

int plugins_load(const struct plugins *all, const char *kind, const char *name,
                 const struct value *parts, struct plugin **out, struct fault *f) {
  const struct value *settings = settings_of(all, kind, name);
  const char *given = value_as_text(value_get(settings, "path"), NULL);
  char *path = given ? configured_path(all, given) : NULL;
  struct value *grant = NULL;
  int r = given ? (path ? 0 : fault_set(f, -ENOMEM, "out of memory"))
                : plugin_find((const char *const *)all->config->plugin_directories, kind, name,
                              &path, f);
  if (r == 0 && grant_of(all, kind, path, settings, &grant) != 0)
    r = fault_set(f, -ENOMEM, "out of memory");
  bool many = r == 0 && strcmp(kind, "registry") == 0 && plugins_ship(all, path);
  struct isolate_limits limits = {
      .memory_hard = (size_t)value_as_number(value_get(settings, "memory"), many ? MANY_BYTES : 0),
      .max_handles = many ? MANY_HANDLES : 0,
      .max_tasks = many ? MANY_TASKS : 0,
      .turn_ns = (int64_t)(value_as_number(value_get(settings, "turn"), 0) * 1e9),
      .grant = grant,
      .elsewhere = strcmp(kind, "registry") == 0,
  };
  if (r == 0)
    r = plugin_load_parts(all->vm, kind, name, path, parts, &limits, out, f);
  if (r == 0 && all->host)
    isolate_host(plugin_isolate(*out), all->host);
  value_unref(grant);
  free(path);
  return r;
}

struct entry *plugins_entry(const struct plugins *all, const char *kind, const char *name) {
  for (size_t i = 0; i < all->count; i++) {
    struct plugin *p = all->items[i].plugin;
    if (strcmp(plugin_kind(p), kind) == 0 && strcmp(plugin_name(p), name) == 0)
      return &all->items[i];
  }
  return NULL;
}

int plugins_add(struct plugins *all, const struct entry *e) {
  struct entry *items = realloc(all->items, (all->count + 1) * sizeof *items);
  if (!items)
    return -ENOMEM;
  all->items = items;
  all->items[all->count++] = *e;
  plugins_observe(all, e->plugin);
  return 0;
}

static const struct miss *find_miss(const struct plugins *all, const char *kind, const char *name) {
  for (size_t i = 0; i < all->miss_count; i++)
    if (strcmp(all->misses[i].kind, kind) == 0 && strcmp(all->misses[i].name, name) == 0)
      return &all->misses[i];
  return NULL;
}

static void note_miss(struct plugins *all, const char *kind, const char *name,
                      const struct fault *f) {
  struct miss m = {strdup(kind), strdup(name), *f};
  struct miss *misses = realloc(all->misses, (all->miss_count + 1) * sizeof *misses);
  if (misses)
    all->misses = misses;
  if (misses && m.kind && m.name) {
    misses[all->miss_count++] = m;
    return;
  }
  free(m.kind);
  free(m.name);
}

int plugins_get(struct plugins *all, const char *kind, const char *name, struct plugin **out,
                struct fault *f) {
  struct entry *known = plugins_entry(all, kind, name);
  if (known) {
    known->unused = false;
    *out = known->plugin;
    return 0;
  }
  struct entry e = {0};
  const struct miss *m = find_miss(all, kind, name);
  int r = m ? fault_set(f, m->fault.code, "%s", m->fault.text)
            : plugins_load(all, kind, name, NULL, &e.plugin, f);
  if (r != 0 && !m && !all->due)
    note_miss(all, kind, name, f);
  if (r != 0)
    return r;
  e.settings = value_ref(settings_of(all, kind, name));
  e.since_us = clock_wall_us();
  if (plugins_add(all, &e) != 0) {
    entry_clear(&e);
    return fault_set(f, -ENOMEM, "out of memory");
  }
  *out = e.plugin;
  log_debug("plugin loaded", LOG_S("kind", kind), LOG_S("plugin", name),
            LOG_S("file", plugin_path(*out)));
  return 0;
}

static struct entry *entry_of(const struct plugins *all, const struct plugin *p) {
  size_t i = 0;
  while (all->items[i].plugin != p)
    i++;
  return &all->items[i];
}

bool plugins_allows(struct plugins *all, const struct plugin *p) {
  return quarantine_allows(&entry_of(all, p)->quarantine, clock_now_ns());
}

bool plugins_holds(struct plugins *all, const struct plugin *p) {
  const struct quarantine *q = &entry_of(all, p)->quarantine;
  return !q->on_trial && quarantine_holds(q, clock_now_ns());
}

void plugins_note(struct plugins *all, const struct plugin *p, bool fault) {
  struct entry *e = entry_of(all, p);
  struct quarantine *q = &e->quarantine;
  bool was = q->until_ns != 0;
  if (plugin_told_by_old(p))
    return;
  if (plugins_try(all, e, fault))
    return;
  if (quarantine_note(q, fault, clock_now_ns()))
    log_error("plugin keeps failing: it is in quarantine, and what it last said stays",
              LOG_S("kind", plugin_kind(p)), LOG_S("plugin", plugin_name(p)),
              LOG_N("seconds", (double)q->span_ns / 1e9));
  else if (was && q->until_ns == 0)
    log_info("plugin is well again", LOG_S("kind", plugin_kind(p)),
             LOG_S("plugin", plugin_name(p)));
}

const struct plugins_reloads *plugins_reloads(const struct plugins *all, const struct plugin *p) {
  return &plugins_entry(all, plugin_kind(p), plugin_name(p))->reloads;
}

bool plugins_on_probation(const struct plugins *all, const struct plugin *p) {
  return plugins_entry(all, plugin_kind(p), plugin_name(p))->probation.until_ns != 0;
}

size_t plugins_verify(const struct plugins *all, struct findings *findings) {
  const struct value *settings = value_get(all->config->root, "plugins");
  size_t before = findings->count;
  for (size_t i = 0; i < value_fields(settings); i++) {
    static const char *const kinds[] = {"check", "registry", "policy", "balancer", "hook", "route"};
    const char *key, *slash;
    const struct value *v = value_field(settings, i, &key);
    struct fault f = {.text = "there is no such plugin"};
    bool found = value_get(v, "path") != NULL;
    slash = strchr(key, '/');
    for (size_t k = 0; !found && k < sizeof kinds / sizeof *kinds; k++) {
      char *path = NULL;
      if (slash && (strncmp(kinds[k], key, (size_t)(slash - key)) != 0 ||
                    strlen(kinds[k]) != (size_t)(slash - key)))
        continue;
      found = plugin_find((const char *const *)all->config->plugin_directories, kinds[k],
                          slash ? slash + 1 : key, &path, &f) == 0;
      free(path);
    }
    char path[300];
    snprintf(path, sizeof path, "plugins.%.200s", key);
    if (!found)
      findings_add(findings, v, path,
                   slash ? "%.200s" : "no plugin \"%.200s\" of any kind is there",
                   slash ? f.text : key);
  }
  return findings->count - before;
}

void plugins_each(const struct plugins *all,
                  void (*each)(void *arg, struct plugin *p, const struct quarantine *q),
                  void *arg) {
  for (size_t i = 0; i < all->count; i++)
    each(arg, all->items[i].plugin, &all->items[i].quarantine);
}
