#include "config/services.h"

#include "base/fault.h"
#include "base/value.h"
#include "config/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The two that need no adapter are checked whole; of others, only the adapter knows. */
static int check_target(const struct target *t, struct fault *f) {
  bool embedded = strcmp(t->registry, "embedded") == 0;
  if (embedded && *t->authority) /* another perigee's */
    return 0;
  if (!embedded && strcmp(t->registry, "static") != 0 && strcmp(t->registry, "direct") != 0)
    return 0;
  if (*t->authority)
    return fault_set(f, -EINVAL, "%s has no authority: write %s:///%s", t->registry, t->registry,
                     t->name);
  if (t->option_count)
    return fault_set(f, -EINVAL, "%s knows no option \"%s\"", t->registry, t->options[0].key);
  if (!embedded)
    return target_each_address(t->name, NULL, NULL, f);
  return name_valid(t->name, strlen(t->name))
             ? 0
             : fault_set(f, -EINVAL, "a service's name is 1 to 255 bytes of UTF-8");
}

/* "name", { "name", ... } or a list of those; what they mean is the balancers' own business. */
static bool is_stage(const struct value *v) {
  return value_kind(v) == VALUE_TEXT || value_kind(value_at(v, 0)) == VALUE_TEXT;
}

static bool is_balancer(const struct value *v) {
  bool list = value_length(v) > 0 && !value_fields(v);
  for (size_t i = 0; list && i < value_length(v); i++)
    list = is_stage(value_at(v, i));
  return list || is_stage(v);
}

static void add_watch(struct config *c, const char *name, const struct value *declared,
                      struct findings *findings) {
  struct config_watch *more = realloc(c->watches, (c->watch_count + 1) * sizeof *more);
  struct config_watch w = {.service = strdup(name),
                           .target = strdup(value_as_text(value_get(declared, "target"), "")),
                           .balancer = value_ref(value_get(declared, "balancer")),
                           .declared = declared};
  if (more)
    c->watches = more;
  if (!more || !w.service || !w.target) {
    free(w.service);
    free(w.target);
    value_unref(w.balancer);
    findings->failed = 1;
    return;
  }
  c->watches[c->watch_count++] = w;
}

void watches_read(struct config *c, const struct value *watches, struct findings *findings) {
  for (size_t i = 0; i < value_fields(watches); i++) {
    const char *name;
    const struct value *w = value_field(watches, i, &name), *balancer = value_get(w, "balancer");
    struct target target;
    struct fault f = {0};
    char path[400];
    snprintf(path, sizeof path, "watches.%.300s", name);
    if (!name_valid(name, strlen(name)))
      findings_add(findings, w, path,
                   "a service's name is 1 to 255 bytes of UTF-8 without control characters");
    if (balancer && !is_balancer(balancer)) {
      snprintf(path, sizeof path, "watches.%.300s.balancer", name);
      findings_add(findings, balancer, path,
                   "expected a balancer's name, { name, option = ... } or a list of those");
    }
    snprintf(path, sizeof path, "watches.%.300s.target", name);
    if (is_flawed(findings, path))
      continue;
    int status = target_parse(value_as_text(value_get(w, "target"), ""), &target, &f);
    if (!status) {
      status = check_target(&target, &f);
      target_clear(&target);
    }
    if (status)
      findings_add(findings, value_get(w, "target"), path, "%s", f.text);
    else
      add_watch(c, name, w, findings);
  }
}
