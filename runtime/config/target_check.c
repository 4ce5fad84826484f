/* A target against what its registry's adapter says that its targets may have. */
#include "base/fault.h"
#include "base/findings.h"
#include "base/schema.h"
#include "base/server.h"
#include "base/value.h"
#include "config/target.h"
#include "vm/plugin/target_form.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool part_is_right(enum target_part part, const char *text, bool needs_port,
                          struct server_wrong *w) {
  switch (part) {
  case TARGET_NONE:
    return !*text;
  case TARGET_ANY:
    return true;
  case TARGET_ADDRESS:
  case TARGET_ADDRESSES:
    return (!*text && !needs_port) ||
           servers_are_right(text, part == TARGET_ADDRESSES, needs_port, w);
  }
  return true;
}

/* Where in the text the i-th character of a part is. What is encoded is pointed at as a whole. */
static const char *character(const char *text, size_t part_at, const char *part, size_t i) {
  bool plain = strncmp(text + part_at, part, strlen(part)) == 0;
  return text + part_at + (plain ? i : 0);
}

static const char *option_at(const struct target *t, const char *text, const char *path) {
  for (size_t i = 0; i < t->option_count; i++) {
    const struct target_option *o = &t->options[i];
    if (strcmp(o->key, path) == 0)
      return text + o->at;
  }
  return text + strlen(text); /* one that is missing */
}

/* The option that a finding is about: its path is NAME, NAME[2] or ["na.me"]. */
static void name_of(const char *path, char *name, size_t size) {
  bool quoted = strncmp(path, "[\"", 2) == 0;
  const char *start = quoted ? path + 2 : path;
  snprintf(name, size, "%.*s", (int)strcspn(start, quoted ? "\"" : ".["), start);
}

static int check_options(const struct target *t, const char *text, const struct schema *schema,
                         struct fault *f) {
  struct value *written = value_table(), *read = NULL;
  struct findings findings = {0};
  int r = written ? 0 : -ENOMEM;
  for (size_t i = 0; r == 0 && i < t->option_count; i++)
    r = value_set(written, t->options[i].key,
                  schema_value_of_text(schema, t->options[i].key, t->options[i].value));
  bool refused = r == 0 && schema_check(schema, written, "", &findings, &read) != 0;
  if (refused && findings.items) {
    const struct finding *first = &findings.items[0];
    char name[200];
    name_of(first->path, name, sizeof name);
    r = target_refuse(text, option_at(t, text, name), f, "the option \"%s\": %s", name,
                      first->text);
  } else if (refused || r != 0) {
    r = fault_set(f, -ENOMEM, "out of memory");
  }
  findings_free(&findings);
  value_unref(read);
  value_unref(written);
  return r;
}

/* One that is about servers that the target does not name; NULL: there is none. */
static const struct target_option *without_servers(const struct target *t,
                                                   const struct target_form *form) {
  size_t i = *t->authority ? t->option_count : 0;
  while (i < t->option_count && !value_get(form->servers, t->options[i].key))
    i++;
  return i < t->option_count ? &t->options[i] : NULL;
}

int target_check(const struct target *t, const char *text, const struct target_form *form,
                 struct fault *f) {
  struct server_wrong w = {0};
  if (!form)
    return 0;
  if (!part_is_right(form->authority, t->authority, false, &w)) {
    if (form->authority != TARGET_NONE)
      return target_refuse(text, character(text, t->authority_at, t->authority, w.at), f, "%s",
                           w.what);
    return target_refuse(text, text + t->authority_at, f,
                         "%s has no server to choose: expected a third \"/\", as in %s:///%s",
                         t->registry, t->registry, t->name);
  }
  if (!part_is_right(form->name, t->name, true, &w))
    return target_refuse(text, character(text, t->name_at, t->name, w.at), f, "%s", w.what);
  const struct target_option *lost = without_servers(t, form);
  if (lost)
    return target_refuse(text, text + lost->at, f,
                         "the option \"%s\" is about servers that the target names, as in "
                         "%s://host/%s; those of the registry have it in its options",
                         lost->key, t->registry, t->name);
  return check_options(t, text, form->options, f);
}
