#include "agent/plugins.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/log.h"
#include "base/value.h"
#include "config/config.h"
#include "vm/grant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  struct plugin *plugin;
  struct quarantine quarantine;
};

struct plugins {
  struct vm *vm;
  const struct config *config;
  struct entry *items;
  size_t count;
};

struct plugins *plugins_new(struct vm *vm, const struct config *config) {
  struct plugins *all = calloc(1, sizeof *all);
  if (all)
    *all = (struct plugins){.vm = vm, .config = config};
  return all;
}

void plugins_free(struct plugins *all) {
  if (!all)
    return;
  for (size_t i = 0; i < all->count; i++)
    plugin_free(all->items[i].plugin);
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

static bool ships(const struct plugins *all, const char *path) {
  static const char below[] = "/plugins/";
  size_t length = strlen(all->config->library);
  return strncmp(path, all->config->library, length) == 0 &&
         strncmp(path + length, below, sizeof below - 1) == 0;
}

/* What ships does only what its options say, which the configuration's author wrote: it may do all
 * but ffi (NULL). All others may do what is granted. */
static int grant_of(const struct plugins *all, const char *kind, const char *path,
                    const struct value *settings, struct value **out) {
  *out = NULL;
  return ships(all, path) ? 0 : grant_value(kind, value_get(settings, "grant"), out);
}

static int plugin_open(struct plugins *all, const char *kind, const char *name, struct plugin **out,
                       struct fault *f) {
  const struct value *settings = settings_of(all, kind, name);
  const char *given = value_as_text(value_get(settings, "path"), NULL);
  char *path = given ? configured_path(all, given) : NULL;
  struct value *grant = NULL;
  int r = given ? (path ? 0 : fault_set(f, -ENOMEM, "out of memory"))
                : plugin_find((const char *const *)all->config->plugin_directories, kind, name,
                              &path, f);
  if (r == 0 && grant_of(all, kind, path, settings, &grant) != 0)
    r = fault_set(f, -ENOMEM, "out of memory");
  struct isolate_limits limits = {
      .memory_hard = (size_t)value_as_number(value_get(settings, "memory"), 0),
      .turn_ns = (int64_t)(value_as_number(value_get(settings, "turn"), 0) * 1e9),
      .grant = grant,
  };
  if (r == 0)
    r = plugin_load(all->vm, kind, name, path, &limits, out, f);
  value_unref(grant);
  free(path);
  return r;
}

int plugins_get(struct plugins *all, const char *kind, const char *name, struct plugin **out,
                struct fault *f) {
  for (size_t i = 0; i < all->count; i++) {
    struct plugin *p = all->items[i].plugin;
    if (strcmp(plugin_kind(p), kind) == 0 && strcmp(plugin_name(p), name) == 0) {
      *out = p;
      return 0;
    }
  }
  struct entry *items = realloc(all->items, (all->count + 1) * sizeof *items);
  if (!items)
    return fault_set(f, -ENOMEM, "out of memory");
  all->items = items;
  int r = plugin_open(all, kind, name, out, f);
  if (r != 0)
    return r;
  all->items[all->count++] = (struct entry){.plugin = *out};
  log_debug("plugin loaded", LOG_S("kind", kind), LOG_S("plugin", name),
            LOG_S("file", plugin_path(*out)));
  return 0;
}

static struct quarantine *quarantine_of(struct plugins *all, const struct plugin *p) {
  size_t i = 0;
  while (all->items[i].plugin != p)
    i++;
  return &all->items[i].quarantine;
}

bool plugins_allows(struct plugins *all, const struct plugin *p) {
  return quarantine_allows(quarantine_of(all, p), clock_now_ns());
}

void plugins_note(struct plugins *all, const struct plugin *p, bool fault) {
  struct quarantine *q = quarantine_of(all, p);
  bool was = q->until_ns != 0;
  if (quarantine_note(q, fault, clock_now_ns()))
    log_error("plugin keeps failing: it is in quarantine, and what it last said stays",
              LOG_S("kind", plugin_kind(p)), LOG_S("plugin", plugin_name(p)),
              LOG_N("seconds", (double)q->span_ns / 1e9));
  else if (was && q->until_ns == 0)
    log_info("plugin is well again", LOG_S("kind", plugin_kind(p)),
             LOG_S("plugin", plugin_name(p)));
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
