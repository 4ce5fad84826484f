#include "agent/plugins.h"

#include "base/fault.h"
#include "base/log.h"
#include "config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct plugins {
  struct vm *vm;
  const struct config *config;
  struct plugin **items;
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
    plugin_free(all->items[i]);
  free(all->items);
  free(all);
}

static int plugin_open(struct plugins *all, const char *kind, const char *name, struct plugin **out,
                       struct fault *f) {
  char *path = NULL;
  int r = plugin_find((const char *const *)all->config->plugin_directories, kind, name, &path, f);
  if (r != 0)
    return r;
  r = plugin_load(all->vm, kind, name, path, NULL, out, f);
  free(path);
  return r;
}

int plugins_get(struct plugins *all, const char *kind, const char *name, struct plugin **out,
                struct fault *f) {
  for (size_t i = 0; i < all->count; i++)
    if (strcmp(plugin_kind(all->items[i]), kind) == 0 &&
        strcmp(plugin_name(all->items[i]), name) == 0) {
      *out = all->items[i];
      return 0;
    }
  struct plugin **items = realloc(all->items, (all->count + 1) * sizeof *items);
  if (!items)
    return fault_set(f, -ENOMEM, "out of memory");
  all->items = items;
  int r = plugin_open(all, kind, name, out, f);
  if (r != 0)
    return r;
  all->items[all->count++] = *out;
  log_debug("plugin loaded", LOG_S("kind", kind), LOG_S("plugin", name),
            LOG_S("file", plugin_path(*out)));
  return 0;
}

void plugins_each(const struct plugins *all, void (*each)(void *arg, struct plugin *p), void *arg) {
  for (size_t i = 0; i < all->count; i++)
    each(arg, all->items[i]);
}
