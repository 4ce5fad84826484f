/* watches_verify: a configuration's targets against what their registries' adapters say of them,
 * before anything starts. */
#include "agent/watches/watches.h"

#include "agent/registries/registries.h"
#include "agent/watches/watches_inside.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/value.h"
#include "config/config.h"

#include <errno.h>
#include <stdio.h>

/* The registry that a target names, and nothing of it that only the configuration could say. */
static int find_registry(const struct config *config, struct plugins *plugins,
                         const struct target *target, const char *text, struct registry_use *out,
                         struct fault *f) {
  struct fault why;
  int r = registries_find(config, plugins, target->registry, out, &why);
  if (r == -ENOENT)
    return target_refuse(text, text, f, "%s", why.text);
  if (r == 0 && !out->options)
    r = registries_undeclared(out, &why);
  return r == 0 ? 0 : fault_set(f, r, "%s", why.text);
}

static void verify_target(const struct config *config, struct plugins *plugins,
                          const struct config_watch *from, const char *field, const char *text,
                          struct findings *findings) {
  char path[600];
  struct fault f;
  struct target target;
  struct registry_use use = {0};
  int r = target_parse(text, &target, &f);
  if (r == 0 && !target_is_embedded(&target))
    r = find_registry(config, plugins, &target, text, &use, &f);
  if (r == 0 && use.plugin && !plugin_provides(use.plugin, "watch"))
    r = fault_set(&f, -ENOSYS, "the registry \"%s\" cannot be watched: its plugin has no `watch`",
                  target.registry);
  if (r == 0 && use.plugin)
    r = target_check(&target, text, plugin_target(use.plugin), &f);
  if (r == 0 && use.plugin && (*target.authority || !use.options) &&
      registries_is_here(config, &use, target.authority)) /* else the registry is told so */
    r = fault_set(&f, -EINVAL, THIS_AGENT, config->http);
  if (r != 0) {
    snprintf(path, sizeof path, "watches.%s.%s", from->service, field);
    findings_add(findings, value_get(from->declared, field), path, "%s", f.text);
  }
  value_unref(use.options);
  target_clear(&target);
}

static void verify_one(const struct config *config, struct plugins *plugins,
                       const struct config_watch *from, struct findings *findings) {
  verify_target(config, plugins, from, "target", from->target, findings);
  if (from->second)
    verify_target(config, plugins, from, from->merge == FEED_FALLBACK ? "fallback" : "also",
                  from->second, findings);
}

static void verify_resolve(const struct config *config, struct plugins *plugins,
                           struct findings *findings) {
  const char *registry = resolve_registry(config);
  struct registry_use use = {0};
  struct fault f;
  int r = registry ? registries_find(config, plugins, registry, &use, &f) : 0;
  if (r == 0 && use.plugin && !use.options)
    r = registries_undeclared(&use, &f);
  if (r == 0 && use.plugin && !plugin_provides(use.plugin, "watch"))
    r = fault_set(&f, -ENOSYS, "the registry \"%s\" cannot be watched", registry);
  if (r == 0 && use.plugin && !use.options && registries_is_here(config, &use, ""))
    r = fault_set(&f, -EINVAL, THIS_AGENT, config->http);
  if (r != 0)
    findings_add(findings, value_get(config->root, "resolve"), "resolve", "%s", f.text);
  value_unref(use.options);
}

size_t watches_verify(struct plugins *plugins, const struct config *config,
                      struct findings *findings) {
  size_t before = findings->count;
  registries_verify(config, plugins, findings);
  for (size_t i = 0; i < config->watch_count; i++)
    verify_one(config, plugins, &config->watches[i], findings);
  verify_resolve(config, plugins, findings);
  return findings->count - before;
}
