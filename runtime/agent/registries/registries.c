#include "agent/registries/registries.h"

#include "agent/plugins/plugins.h"
#include "base/backoff.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/text.h"
#include "base/value.h"
#include "config/config.h"
#include "config/source_address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const double ttl_s = 10; /* etcd's clients' and go-zero's */

static bool is_host_s(const char *key) {
  return strcmp(key, "adapter") == 0 || strcmp(key, "ttl") == 0 || strcmp(key, "retry") == 0;
}

/* All but what is the host's. NULL: out of memory. */
static struct value *options_of(const struct value *registry) {
  struct value *options = value_table();
  int r = options ? 0 : -ENOMEM;
  for (size_t i = 0; r == 0 && i < value_fields(registry); i++) {
    const char *key;
    const struct value *v = value_field(registry, i, &key);
    if (!is_host_s(key))
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

/* `seconds` stays as it is where nothing is said. */
static int read_duration(const struct value *registry, const char *key, double *seconds,
                         struct fault *f) {
  const struct value *v = value_get(registry, key);
  int64_t ns;
  if (!v)
    return 0;
  if (value_kind(v) != VALUE_TEXT || duration_parse(value_as_text(v, ""), &ns, NULL) != 0 ||
      ns < 1000000000)
    return fault_set(f, -EINVAL, "%s: expected a duration of at least \"1s\"", key);
  *seconds = (double)ns / 1e9;
  return 0;
}

int registries_find(const struct config *config, struct plugins *plugins, const char *scheme,
                    struct registry_use *out, struct fault *f) {
  const struct value *registry = value_get(value_get(config->root, "registries"), scheme);
  *out = (struct registry_use){.ttl_s = ttl_s, .retry_s = BACKOFF_LONGEST_S};
  snprintf(out->path, sizeof out->path, "registries.%.300s", scheme);
  int r = plugins_get(plugins, "registry", adapter_of(registry, scheme), &out->plugin, f);
  if (r == 0)
    r = read_duration(registry, "ttl", &out->ttl_s, f);
  if (r == 0)
    r = read_duration(registry, "retry", &out->retry_s, f);
  if (r == 0 && registry && !(out->options = options_of(registry)))
    r = fault_set(f, -ENOMEM, "out of memory");
  return r;
}

int registries_undeclared(const struct registry_use *use, struct fault *f) {
  struct attachment *attachment = NULL;
  struct findings findings = {0};
  int r = plugin_attach(use->plugin, NULL, use->path, &attachment, &findings);
  if (r != 0)
    fault_set(f, r, "%s%s%s: the registry has to be among `registries`",
              findings.count ? findings.items[0].path : use->path, findings.count ? ": " : "",
              findings.count ? findings.items[0].text : "");
  findings_free(&findings);
  attachment_free(attachment);
  return r;
}

/* "h1:80,h2" as a list. NULL: out of memory. */
static struct value *list_of(const char *authority) {
  struct value *all = value_table();
  for (const char *at = authority; all && *at;) {
    size_t length = strcspn(at, ",");
    value_append(all, value_text(at, length));
    at += length + (at[length] == ',');
  }
  return all;
}

/* Its adapter's own, where the configuration says none. */
static const struct value *default_servers(const struct registry_use *use) {
  const struct value *all = plugin_default(use->plugin, "endpoints");
  return all ? all : plugin_default(use->plugin, "address");
}

bool registries_is_here(const struct config *config, const struct registry_use *use,
                        const char *authority) {
  const struct value *fixed = default_servers(use), *own = registry_servers(use->options);
  struct value *named = *authority ? list_of(authority) : NULL;
  bool here = servers_are_here(named ? named
                               : own ? own
                                     : fixed,
                               servers_port(fixed), config->http);
  value_unref(named);
  return here;
}

static void verify_one(const struct config *config, struct plugins *plugins, const char *name,
                       const struct value *declared, struct findings *findings) {
  struct registry_use use;
  struct attachment *attachment = NULL;
  struct fault f;
  if (registries_find(config, plugins, name, &use, &f) != 0)
    findings_add(findings, declared, use.path, "%s", f.text);
  else if (plugin_attach(use.plugin, use.options, use.path, &attachment, findings) == 0 &&
           registries_is_here(config, &use, ""))
    findings_add(findings, declared, use.path, THIS_AGENT, config->http);
  attachment_free(attachment);
  value_unref(use.options);
}

/* A service is registered in what can register. */
static void verify_service(const struct config *config, struct plugins *plugins,
                           const struct value *name, const char *service,
                           struct findings *findings) {
  struct registry_use use;
  char path[320];
  if (strcmp(value_as_text(name, "embedded"), "embedded") == 0 ||
      registries_find(config, plugins, value_as_text(name, ""), &use, NULL) != 0)
    return; /* what is wrong with the registry is said of the registry */
  value_unref(use.options);
  snprintf(path, sizeof path, "services.%.280s.registry", service);
  if (!plugin_provides(use.plugin, "register"))
    findings_add(findings, name, path, "nothing can be registered with the adapter \"%s\"",
                 plugin_name(use.plugin));
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
  for (size_t i = 0; i < config->service_count; i++)
    for (size_t k = 0; k < value_length(config->service_registries[i]); k++)
      verify_service(config, plugins, value_at(config->service_registries[i], k),
                     config->services[i]->instance->service, findings);
  return findings->count - before;
}
