#include "config/services.h"

#include "base/fault.h"
#include "base/value.h"
#include "config/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* This agent's own registry needs no adapter; of all others, that knows (target_check). */
static int check_target(const struct target *t, const char *text, struct fault *f) {
  if (strcmp(t->registry, "embedded") != 0 || *t->authority) /* another perigee's */
    return 0;
  if (t->option_count)
    return target_refuse(text, text + t->options[0].at, f, "%s has no options", t->registry);
  return name_valid(t->name, strlen(t->name))
             ? 0
             : target_refuse(text, text + t->name_at, f,
                             "a service's name is 1 to 255 bytes of UTF-8");
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

static enum feed_merge merge_of(const struct value *declared) {
  const char *word = value_as_text(value_get(declared, "merge"), "union");
  if (!value_get(declared, "also") || strcmp(word, "prefer") == 0)
    return FEED_FALLBACK;
  return strcmp(word, "compare") == 0 ? FEED_COMPARE : FEED_UNION;
}

/* Whether it has a second target to go to. */
static bool can_switch(const struct value *declared) {
  return (value_get(declared, "fallback") || value_get(declared, "also")) &&
         merge_of(declared) == FEED_FALLBACK;
}

static enum feed_on_empty on_empty_of(const struct value *declared) {
  const char *word =
      value_as_text(value_get(declared, "on_empty"), can_switch(declared) ? "fallback" : "empty");
  return strcmp(word, "keep") == 0    ? FEED_KEEP
         : strcmp(word, "empty") == 0 ? FEED_EMPTY
                                      : FEED_SWITCH;
}

/* Of two that are to say the same, the one that can be reached knows better than the other one's
 * last word; a `fallback` may be worse than that. */
static int64_t stale_after_of(const struct value *declared) {
  bool prefers = value_get(declared, "also") && merge_of(declared) == FEED_FALLBACK;
  return (int64_t)(value_as_number(value_get(declared, "stale_after"), prefers ? 30 : 0) * 1e9);
}

/* The second target, which must be one that a plugin watches: what this agent has itself it can
 * name as the first. */
static void check_second(const struct value *w, const char *service, struct findings *findings) {
  const struct value *fallback = value_get(w, "fallback"), *also = value_get(w, "also");
  struct target target;
  struct fault f = {0};
  char path[400];
  snprintf(path, sizeof path, "watches.%.300s.%s", service, also ? "also" : "fallback");
  if (fallback && also)
    findings_add(findings, also, path, "both `also` and `fallback`: a watch has two targets");
  if (!can_switch(w) && strcmp(value_as_text(value_get(w, "on_empty"), ""), "fallback") == 0)
    findings_add(findings, w, path, "missing: on_empty = \"fallback\" needs %s",
                 also ? "merge = \"prefer\"" : "it");
  const char *on_empty = value_as_text(value_get(w, "on_empty"), "fallback");
  if (can_switch(w) && strcmp(on_empty, "fallback") != 0)
    findings_add(findings, also ? also : fallback, path,
                 "with on_empty = \"%s\" it would never be used: leave out one of the two",
                 on_empty);
  if (!also && value_get(w, "merge"))
    findings_add(findings, w, path, "missing: `merge` needs `also`, a second target");
  if (!fallback && !also)
    return;
  const char *text = value_as_text(also ? also : fallback, "");
  int status = target_parse(text, &target, &f);
  if (status == 0) {
    status = check_target(&target, text, &f);
    if (status == 0 && strcmp(target.registry, "embedded") == 0 && !*target.authority)
      status = fault_set(&f, -EINVAL, "this agent's own registry is watched alone");
    target_clear(&target);
  }
  if (status != 0)
    findings_add(findings, also ? also : fallback, path, "%s", f.text);
}

static char *second_of(const struct value *declared) {
  const struct value *second = value_get(declared, "also");
  if (!second)
    second = value_get(declared, "fallback");
  return second ? strdup(value_as_text(second, "")) : NULL;
}

static void add_watch(struct config *c, const char *name, const struct value *declared,
                      struct findings *findings) {
  struct config_watch *more = realloc(c->watches, (c->watch_count + 1) * sizeof *more);
  struct config_watch w = {.service = strdup(name),
                           .target = strdup(value_as_text(value_get(declared, "target"), "")),
                           .second = second_of(declared),
                           .merge = merge_of(declared),
                           .balancer = value_ref(value_get(declared, "balancer")),
                           .declared = declared};
  w.on_empty = on_empty_of(declared);
  w.min_endpoints = (uint32_t)value_as_number(value_get(declared, "min_endpoints"), 1);
  w.stale_after_ns = stale_after_of(declared);
  w.hold_ns = (int64_t)(value_as_number(value_get(declared, "hold"), 0) * 1e9);
  if (more)
    c->watches = more;
  if (!more || !w.service || !w.target) {
    free(w.service);
    free(w.target);
    free(w.second);
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
    check_second(w, name, findings);
    const char *text = value_as_text(value_get(w, "target"), "");
    int status = target_parse(text, &target, &f);
    if (!status) {
      status = check_target(&target, text, &f);
      if (!status && strcmp(target.registry, "embedded") == 0 && !*target.authority &&
          (value_get(w, "fallback") || value_get(w, "also")))
        status = fault_set(&f, -EINVAL,
                           "this agent's own registry is never unreachable: no second target");
      target_clear(&target);
    }
    if (status)
      findings_add(findings, value_get(w, "target"), path, "%s", f.text);
    else
      add_watch(c, name, w, findings);
  }
}
