/* balancer: what a watch's `balancer` says: "name", { "name", option = ... } or a list of such
 * stages, modifiers first and in the order in which they are applied, the algorithm last. Pure. */
#pragma once

#include "catalog/rules.h"
#include "watch/outlier.h"

#include <stdbool.h>

struct value;
struct fault;
struct instance;

/* Which endpoints a watch is about. NULL: any. */
struct selection {
  const char *tag, *zone;
  const struct value *meta; /* pairs that must all be there */
};

/* A stage that is a plugin's: what it plans is worked out between `priority` and `subset`. */
struct balancer_plan {
  const char *name;
  const struct value *options; /* as written, without what is the host's; a plain value, or a table;
                                  NULL: none */
  bool shadow;                 /* it only says what it would change */
};

/* A plugin that picks, where the agent itself does; elsewhere the algorithm is its standin. */
struct balancer_chooser {
  const char *name;            /* NULL: there is none */
  const struct value *options; /* as of balancer_plan */
};

struct balancer {
  const char *algorithm; /* static; NULL = the default */
  struct balancer_chooser chooser;
  struct catalog_rules rules;
  struct selection select;
  struct outlier_rules outlier; /* interval_ns 0: no detection */
  struct balancer_plan *plans;  /* left to right */
  size_t plan_count;
  struct value *options;             /* what the texts above are parts of */
  struct catalog_zone_share *shares; /* the rules' */
};

/* What a plan may change. */
enum { PLAN_WEIGHT = 1, PLAN_TIER = 2, PLAN_DROP = 4, PLAN_ALL = 7 };

/* What a balancer's plugin does: it plans, or it picks. */
struct balancer_plugin {
  unsigned changes;       /* planning: what it may change */
  const char *moves_keys; /* planning: how its plans do that; NULL: they do not */
  bool picks;
  const struct value *standin; /* picking: what it names itself, as a stage; NULL: the default */
};

/* Where the agent is, "" or NULL: not known; and which plugins it has. */
struct balancer_host {
  const char *node, *zone;
  /* 0 and what the plugin does. -ENOENT: there is none of that name; else what is wrong with it.
   * The fault says it. NULL: there are no plugins. */
  int (*plugin)(void *arg, const char *name, struct balancer_plugin *out, struct fault *f);
  void *arg;
};

/* Reads it. -EINVAL: not of that form, no such stage or option, or stages that cannot work
 * together; the fault says why. `host` must live as long as the balancer. To be ended when 0 was
 * returned. */
int balancer_parse(const struct value *from, const struct balancer_host *host, struct balancer *out,
                   struct fault *f);
void balancer_end(struct balancer *b);

/* Whether it says anything. */
static inline bool selection_chooses(const struct selection *s) {
  return s->tag || s->zone || s->meta;
}
/* Whether an instance is one of those that a watch is about. */
bool selection_has(const struct selection *s, const struct instance *in);
