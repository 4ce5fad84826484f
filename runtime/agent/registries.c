#include "agent/registries.h"

#include "agent/plugins.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/value.h"
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* All but `adapter`, which is the host's. NULL: out of memory. */
static struct value *options_of(const struct value *registry) {
  struct value *options = value_table();
  int r = options ? 0 : -ENOMEM;
  for (size_t i = 0; r == 0 && i < value_fields(registry); i++) {
    const char *key;
    const struct value *v = value_field(registry, i, &key);
    if (strcmp(key, "adapter") != 0)
      r = value_set(options, key, value_ref(v));
  }
  for (size_t i = 0; r == 0 && i < value_length(registry); i++)
    r = value_append(options, value_ref(value_at(registry, i)));
  if (r == 0) {
    value_place(options, value_file(registry), value_line(registry));
    return options;
  }
  value_unref(options);
  return NULL;
}

/* `direct` is go-zero's word for static. */
static const char *adapter_of(const struct value *registry, const char *scheme) {
  const char *adapter = strcmp(scheme, "direct") == 0 ? "static" : scheme;
  return value_as_text(value_get(registry, "adapter"), adapter);
}

int registries_find(const struct config *config, struct plugins *plugins, const char *scheme,
                    struct registry_use *out, struct fault *f) {
  const struct value *registry = value_get(value_get(config->root, "registries"), scheme);
  *out = (struct registry_use){0};
  snprintf(out->path, sizeof out->path, "registries.%.300s", scheme);
  int r = plugins_get(plugins, "registry", adapter_of(registry, scheme), &out->plugin, f);
  if (r == 0 && registry && !(out->options = options_of(registry)))
    r = fault_set(f, -ENOMEM, "out of memory");
  return r;
}

static void verify_one(const struct config *config, struct plugins *plugins, const char *name,
                       const struct value *declared, struct findings *findings) {
  struct registry_use use;
  struct attachment *attachment = NULL;
  struct fault f;
  if (registries_find(config, plugins, name, &use, &f) != 0)
    findings_add(findings, declared, use.path, "%s", f.text);
  else if (plugin_attach(use.plugin, use.options, use.path, &attachment, findings) == 0)
    attachment_free(attachment);
  value_unref(use.options);
}

size_t registries_verify(const struct config *config, struct plugins *plugins,
                         struct findings *findings) {
  size_t before = findings->count;
  const struct value *all = value_get(config->root, "registries");
  for (size_t i = 0; i < value_fields(all); i++) {
    const char *name;
    const struct value *declared = value_field(all, i, &name);
    verify_one(config, plugins, name, declared, findings);
  }
  return findings->count - before;
}
