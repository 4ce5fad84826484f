/* One check: `{ http = "/healthz", interval = "2s" }`. Exactly one key is a check's name, and its
 * value that check's own options; the others are settings that every check has. */
#include "config/services.h"

#include "base/fault.h"
#include "base/text.h"
#include "base/value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const settings[] = {"id",   "name", "notes",   "interval",        "timeout",
                                       "rise", "fall", "initial", "deregister_after"};
enum { SETTINGS = sizeof settings / sizeof *settings };

bool check_has_setting(const char *key) {
  for (size_t i = 0; i < SETTINGS; i++)
    if (strcmp(settings[i], key) == 0)
      return true;
  return false;
}

static bool ships(const char *plugin) {
  static const char *const shipped[] = {"http", "tcp", "ttl", "postgres", NULL};
  return word_is_one_of(plugin, shipped);
}

static size_t others_than_settings(const struct value *declared) {
  size_t n = 0;
  for (size_t i = 0; i < value_fields(declared); i++) {
    const char *key;
    value_field(declared, i, &key);
    n += !check_has_setting(key);
  }
  return n;
}

/* The check's name and its options. Of several keys one that is nearly a setting is a misspelt one;
 * a single key names the check, whatever it is called. */
static const struct value *find_plugin(const struct value *declared, const char *path,
                                       const char **plugin, struct findings *findings) {
  const struct value *options = NULL;
  size_t before = findings->count;
  bool single = others_than_settings(declared) == 1;
  for (size_t i = 0; i < value_fields(declared); i++) {
    const char *key;
    const struct value *v = value_field(declared, i, &key);
    const char *near = single || ships(key) ? NULL : nearest_word(key, settings, SETTINGS);
    if (check_has_setting(key))
      continue;
    if (near)
      findings_add(findings, v, path, "unknown key \"%s\"; did you mean \"%s\"?", key, near);
    else if (options)
      findings_add(findings, v, path,
                   "two checks in one, \"%s\" and \"%s\": an option of a check goes into its own "
                   "table, %s = { ... }; several are checks = { { ... }, { ... } }",
                   *plugin, key, *plugin);
    else {
      options = v;
      *plugin = key;
    }
  }
  if (!options && findings->count == before)
    findings_add(findings, declared, path,
                 "no check in it: expected one check's name, as in { http = \"/healthz\" }; http, "
                 "tcp, ttl and postgres ship with perigee");
  return options;
}

/* What is left without the check's own key, for the schema of settings. */
static struct value *settings_of(const struct value *declared) {
  struct value *t = value_table();
  value_place(t, value_file(declared), value_line(declared));
  for (size_t i = 0; i < value_fields(declared); i++) {
    const char *key;
    const struct value *v = value_field(declared, i, &key);
    if (check_has_setting(key))
      value_set(t, key, value_ref(v));
  }
  return t;
}

static int64_t to_ns(const struct value *seconds) {
  return (int64_t)(value_as_number(seconds, 0) * 1e9 + 0.5);
}

static char *text_of(const struct value *v, const char *otherwise) {
  return strdup(value_as_text(v, otherwise));
}

static char *check_id(const char *instance_id, unsigned number) {
  char *id;
  int n = number ? asprintf(&id, "service:%s:%u", instance_id, number)
                 : asprintf(&id, "service:%s", instance_id);
  return n < 0 ? NULL : id;
}

static void fill(struct check_definition *out, const struct value *set, const char *service,
                 const char *instance_id, unsigned number) {
  char *name;
  const char *id = value_as_text(value_get(set, "id"), NULL);
  out->id = id ? strdup(id) : check_id(instance_id, number);
  if (asprintf(&name, "Service '%s' check", service) < 0)
    name = NULL;
  out->name = name && value_get(set, "name") ? text_of(value_get(set, "name"), "") : name;
  if (out->name != name)
    free(name);
  out->notes = text_of(value_get(set, "notes"), "");
  out->interval_ns = to_ns(value_get(set, "interval"));
  out->timeout_ns = to_ns(value_get(set, "timeout"));
  out->deregister_after_ns = to_ns(value_get(set, "deregister_after"));
  out->rise = (int)value_as_number(value_get(set, "rise"), 2);
  out->fall = (int)value_as_number(value_get(set, "fall"), 3);
  status_parse(value_as_text(value_get(set, "initial"), "critical"), &out->initial);
}

int check_read(const struct shape *shape, const struct value *declared, const char *path,
               const char *service, const char *instance_id, unsigned number,
               struct check_definition *out, struct findings *findings) {
  size_t before = findings->count;
  const char *plugin = NULL;
  *out = (struct check_definition){0};
  if (value_kind(declared) != VALUE_TABLE || value_length(declared)) {
    findings_add(findings, declared, path,
                 "expected one check, as in { http = \"/healthz\", interval = \"2s\" }");
    return -EINVAL;
  }
  const struct value *options = find_plugin(declared, path, &plugin, findings);
  struct value *written = settings_of(declared), *set = NULL, *ttl = NULL;
  schema_check(shape->settings, written, path, findings, &set);
  value_unref(written);
  char options_path[700];
  snprintf(options_path, sizeof options_path, "%s.%s", path, plugin ? plugin : "");
  if (plugin && strcmp(plugin, "ttl") == 0)
    schema_check(shape->ttl, options, options_path, findings, &ttl);
  if (plugin && set && findings->count == before) {
    fill(out, set, service, instance_id, number);
    out->plugin = strdup(plugin);
    out->options = value_ref(options);
    if (ttl) {
      out->ttl_ns = to_ns(value_get(ttl, "ttl"));
      out->interval_ns = 0;
    }
    if (!out->id || !out->name || !out->notes || !out->plugin)
      findings->failed = 1;
  }
  value_unref(set);
  value_unref(ttl);
  return findings->count == before && !findings->failed ? 0 : -EINVAL;
}
