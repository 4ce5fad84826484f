#include "agent/registries/registrars.h"

#include "agent/policies/policies.h"
#include "agent/registries/ownership.h"
#include "agent/registries/placements.h"
#include "agent/registries/registrar.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/value.h"
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So long a plain stop leaves for the next agent; and so long the stop itself may take. */
static const double restart_within_s = 30;
enum { STOP_MS = 5000 };

/* A registry that no service names any more: what it has of ours is being deregistered. */
struct leaving {
  struct leaving *next;
  struct registrars *all;
  struct registrar *registrar;
  bool done;
};

struct registrars {
  uv_loop_t *loop;
  struct plugins *plugins;
  struct store *store;
  const struct policies *shown;
  struct ownership ownership;
  struct registrar **items;
  size_t count;
  struct leaving *leaving;
  struct withdrawn withdrawn;
  struct placements placements;
  size_t running; /* while stopping: that have not told yet */
  size_t left;    /* registrations that were to be taken back and were not, of who is gone */
  bool stopping, recalled;
  uv_timer_t later; /* frees who has left, and tells `stopped` when there is nobody to wait for */
  void (*stopped)(void *arg);
  void *stopped_arg;
};

static struct registrar *find(const struct registrars *all, const char *name) {
  for (size_t i = 0; i < all->count; i++)
    if (strcmp(registrar_name(all->items[i]), name) == 0)
      return all->items[i];
  return NULL;
}

/* ---- its beginning and its end ---- */

struct registrars *registrars_new(uv_loop_t *loop, struct plugins *plugins, struct store *store,
                                  const struct policies *shown, const char *node) {
  struct registrars *all = calloc(1, sizeof *all);
  if (!all || uv_timer_init(loop, &all->later) != 0) {
    free(all);
    return NULL;
  }
  all->loop = loop;
  all->plugins = plugins;
  all->store = store;
  all->shown = shown;
  all->later.data = all;
  withdrawn_init(&all->withdrawn, 60);
  ownership_recall(&all->ownership, store, node);
  return all;
}

static void later_closed(uv_handle_t *timer) {
  free(timer->data);
}

void registrars_free(struct registrars *all) {
  if (!all)
    return;
  for (size_t i = 0; i < all->count; i++)
    registrar_free(all->items[i]);
  while (all->leaving) {
    struct leaving *l = all->leaving;
    all->leaving = l->next;
    registrar_free(l->registrar);
    free(l);
  }
  placements_free(&all->placements);
  withdrawn_end(&all->withdrawn);
  free(all->items);
  uv_close((uv_handle_t *)&all->later, later_closed);
}

/* Whether a check has said anything yet: until then `critical` only means "unknown". */
static bool heard(const struct registration_state *state) {
  for (uint32_t i = 0; i < state->registration->check_count; i++)
    if (state->checks[i].status == STATUS_CRITICAL && state->checks[i].changed_us == 0 &&
        state->checks[i].output[0] == '\0')
      return false;
  return true;
}

void registrars_local(struct registrars *all, const struct registration_state *state, bool gone) {
  const struct instance *in = state->registration->instance;
  if (!all || all->stopping || state->registration->origin != ORIGIN_CONFIGURATION)
    return;
  const struct placement *place = placement_find(&all->placements, in->id);
  for (size_t i = 0; place && i < value_length(place->registries); i++) {
    struct registrar *r = find(all, value_as_text(value_at(place->registries, i), ""));
    if (!r)
      continue; /* the embedded one, which has it */
    if (gone)
      reconciler_unwant(registrar_reconciler(r), in->service, in->id);
    else
      reconciler_want(registrar_reconciler(r), in, state->status, heard(state));
  }
}

static void on_stopped(void *arg) {
  struct registrars *all = arg;
  if (all->running > 0 && --all->running > 0)
    return;
  void (*stopped)(void *arg) = all->stopped;
  all->stopped = NULL;
  stopped(all->stopped_arg);
}

static void free_left(struct registrars *all) {
  for (struct leaving **link = &all->leaving; *link;) {
    struct leaving *l = *link;
    if (!l->done) {
      link = &l->next;
      continue;
    }
    *link = l->next;
    registrar_free(l->registrar);
    free(l);
  }
}

static void on_later(uv_timer_t *timer) {
  struct registrars *all = timer->data;
  free_left(all);
  if (all->stopping && all->running == 0 && all->stopped)
    on_stopped(all);
}

void registrars_stop(struct registrars *all, bool leave, void (*stopped)(void *arg), void *arg) {
  all->stopping = true;
  all->stopped = stopped;
  all->stopped_arg = arg;
  all->running = all->count;
  all->left = 0; /* of before: its leases have had their time */
  for (const struct leaving *l = all->leaving; l; l = l->next)
    all->running += !l->done;
  if (all->running == 0)
    uv_timer_start(&all->later, on_later, 0, 0);
  for (size_t i = 0; i < all->count; i++)
    reconciler_stop(registrar_reconciler(all->items[i]), leave, restart_within_s, STOP_MS,
                    on_stopped, all);
}

/* ---- the configuration ---- */

static int want_registry(struct registrars *all, const struct config *config, const char *name,
                         struct fault *f) {
  struct registrar **items, *r = find(all, name);
  struct registry_use use;
  if (strcmp(name, "embedded") == 0)
    return 0;
  int rc = registries_find(config, all->plugins, name, &use, f);
  if (rc != 0)
    return rc;
  if (r) {
    registrar_configure(r, &use);
  } else if ((items = realloc(all->items, (all->count + 1) * sizeof(struct registrar *)))) {
    all->items = items;
    r = registrar_new(all->loop, name, &use, all->ownership.owner, use.ttl_s, all->store,
                      &all->withdrawn);
    if (r)
      all->items[all->count++] = r;
    if (r && all->ownership.copied && !all->recalled)
      reconciler_disown(registrar_reconciler(r));
  }
  value_unref(use.options);
  return r ? 0 : fault_set(f, -ENOMEM, "out of memory");
}

static bool is_named(const struct config *config, const char *registry) {
  for (size_t i = 0; i < config->service_count; i++)
    for (size_t k = 0; k < value_length(config->service_registries[i]); k++)
      if (strcmp(value_as_text(value_at(config->service_registries[i], k), ""), registry) == 0)
        return true;
  return false;
}

size_t registrars_refuse(const struct registrars *all, struct plugins *plugins,
                         const struct config *config, struct findings *findings) {
  size_t before = findings->count;
  for (size_t i = 0; i < all->count; i++) {
    const char *name = registrar_name(all->items[i]), *was = registrar_adapter(all->items[i]);
    struct registry_use use = {0};
    if (is_named(config, name) && registries_find(config, plugins, name, &use, NULL) == 0 &&
        strcmp(was, plugin_name(use.plugin)) != 0)
      findings_add(
          findings, value_get(value_get(config->root, "registries"), name), use.path,
          "its adapter cannot change from \"%s\" to \"%s\" while services are registered in "
          "it: give it another name",
          was, plugin_name(use.plugin));
    value_unref(use.options);
  }
  return findings->count - before;
}

/* What an instance was registered in and is not any more. */
static void take_back(struct registrars *all, const struct placements *before) {
  for (size_t i = 0; i < before->count; i++) {
    const struct placement *was = &before->items[i];
    const struct placement *is = placement_find(&all->placements, was->id);
    bool same = is && strcmp(is->service, was->service) == 0;
    for (size_t k = 0; k < value_length(was->registries); k++) {
      const char *name = value_as_text(value_at(was->registries, k), "");
      struct registrar *r = find(all, name);
      if (r && !(same && placement_names(is, name)))
        reconciler_unwant(registrar_reconciler(r), was->service, was->id);
    }
  }
}

static void on_left(void *arg) {
  struct leaving *l = arg;
  struct registrars *all = l->all;
  l->done = true;
  all->left += reconciler_left(registrar_reconciler(l->registrar));
  uv_timer_start(&all->later, on_later, 0, 0); /* this is one of the registrar's own callbacks */
  if (all->stopping && all->stopped)
    on_stopped(all);
}

static void leave_unnamed(struct registrars *all) {
  size_t kept = 0;
  for (size_t i = 0; i < all->count; i++) {
    struct registrar *r = all->items[i];
    struct leaving *l = NULL;
    if (!placements_name(&all->placements, registrar_name(r)))
      l = malloc(sizeof *l);
    if (!l) {
      all->items[kept++] = r;
      continue;
    }
    *l = (struct leaving){all->leaving, all, r, false};
    all->leaving = l;
    reconciler_stop(registrar_reconciler(r), true, 0, STOP_MS, on_left, l);
  }
  all->count = kept;
}

size_t registrars_left(const struct registrars *all) {
  size_t left = all->left;
  for (size_t i = 0; i < all->count; i++)
    left += reconciler_left(registrar_reconciler(all->items[i]));
  return left;
}

struct recalling {
  struct registrars *all;
  const struct config *config;
  struct fault f;
  char told[64]; /* the registry that was told of last: those of one come together */
};

static bool recall_one(void *arg, const char *registry) {
  struct recalling *r = arg;
  if (value_get(value_get(r->config->root, "registries"), registry) &&
      want_registry(r->all, r->config, registry, &r->f) == 0)
    return true;
  if (strncmp(r->told, registry, sizeof r->told - 1) != 0)
    log_warn("a registry that is configured no more; what was registered there ends with its "
             "leases",
             LOG_S("registry", registry));
  snprintf(r->told, sizeof r->told, "%s", registry);
  return false;
}

static bool forget_one(void *arg, const char *registry) {
  return false;
}

/* At the start: registries that no service names, and in which the agent before had something. */
static void recall_left(struct registrars *all, const struct config *config) {
  struct recalling r = {.all = all, .config = config};
  if (!all->recalled)
    desired_recall_registries(all->store, all->ownership.copied ? forget_one : recall_one, &r);
  all->recalled = true;
}

static void show_again(void *arg, const struct registration_state *state) {
  registrars_local(arg, state, false);
}

int registrars_configure(struct registrars *all, const struct config *config, struct fault *f) {
  struct placements before = all->placements, after;
  int rc = placements_of(config, &after, f);
  if (rc != 0)
    return rc;
  all->placements = after;
  ownership_rename(&all->ownership, config->node);
  for (size_t i = 0; rc == 0 && i < config->service_count; i++) {
    const struct value *names = config->service_registries[i];
    for (size_t k = 0; rc == 0 && k < value_length(names); k++)
      rc = want_registry(all, config, value_as_text(value_at(names, k), ""), f);
  }
  recall_left(all, config);
  take_back(all, &before);
  leave_unnamed(all);
  placements_free(&before);
  policies_each_shown(all->shown, show_again, all);
  return rc;
}

bool registrars_withdrew(const struct registrars *all, const char *service, const char *id) {
  for (size_t i = 0; i < all->count; i++)
    if (reconciler_withdrew(registrar_reconciler(all->items[i]), service, id))
      return true;
  for (const struct leaving *l = all->leaving; l; l = l->next)
    if (reconciler_withdrew(registrar_reconciler(l->registrar), service, id))
      return true;
  return withdrawn_has(&all->withdrawn, service, id);
}

/* ---- what it says of itself ---- */

struct showing {
  const char *service, *registry;
  struct buf *out;
  bool begun;
};

static void show_taken(void *arg, const struct desired_entry *e) {
  struct showing *s = arg;
  if (strcmp(e->instance->service, s->service) != 0)
    return;
  buf_text(s->out, s->begun ? ",{\"id\":" : ",\"taken\":[{\"id\":");
  buf_json_text(s->out, e->instance->id);
  buf_text(s->out, ",\"registry\":");
  buf_json_text(s->out, s->registry);
  buf_text(s->out, ",\"reason\":");
  buf_json_text(s->out, e->taken);
  buf_char(s->out, '}');
  s->begun = true;
}

size_t registrars_taken(const struct registrars *all) {
  size_t sum = 0;
  for (size_t i = 0; i < all->count; i++) {
    struct reconciler_stats s;
    reconciler_stats(registrar_reconciler(all->items[i]), &s);
    sum += s.taken;
  }
  return sum;
}

void registrars_show_taken(const struct registrars *all, const char *service, struct buf *out) {
  struct showing s = {.service = service, .out = out};
  for (size_t i = 0; i < all->count; i++) {
    s.registry = registrar_name(all->items[i]);
    reconciler_each_taken(registrar_reconciler(all->items[i]), show_taken, &s);
  }
  if (s.begun)
    buf_char(out, ']');
}

static void show_held(struct registrar *r, const struct instance *in, struct buf *out) {
  if (!reconciler_holds(registrar_reconciler(r), in->service, in->id))
    return;
  buf_json_next(out);
  buf_json_text(out, registrar_name(r));
}

void registrars_show_held(const struct registrars *all, const struct instance *in,
                          struct buf *out) {
  for (size_t i = 0; i < all->count; i++)
    show_held(all->items[i], in, out);
  for (const struct leaving *l = all->leaving; l; l = l->next)
    show_held(l->registrar, in, out);
}

static const struct {
  const char *name, *type, *help;
  size_t offset;
} families[] = {
#define FAMILY(field, suffix, type, help)                                                          \
  { "perigee_registry_" suffix, type, help, offsetof(struct reconciler_stats, field) }
    FAMILY(wanted, "wanted", "gauge", "Instances that should be registered there."),
    FAMILY(held, "held", "gauge", "Of these, registered as they are now."),
    FAMILY(taken, "taken", "gauge", "Of these, somebody else's there, under the same id."),
    FAMILY(registered, "registers_total", "counter", "Registrations made."),
    FAMILY(renewed, "renewals_total", "counter", "Leases renewed."),
    FAMILY(deregistered, "deregisters_total", "counter", "Registrations taken back."),
    FAMILY(lost, "lost_total", "counter", "Registrations that the registry had lost."),
    FAMILY(orphans, "orphans_total", "counter", "Entries of ours that nobody wanted any more."),
    FAMILY(audits, "audits_total", "counter", "Audits of what the registry has as ours."),
    FAMILY(failures, "failures_total", "counter", "Operations that failed."),
#undef FAMILY
};

void registrars_metrics(const struct registrars *all, struct buf *out) {
  for (size_t k = 0; all->count && k < sizeof families / sizeof *families; k++) {
    metric_family(out, families[k].name, families[k].type, families[k].help);
    for (size_t i = 0; i < all->count; i++) {
      struct reconciler_stats s;
      reconciler_stats(registrar_reconciler(all->items[i]), &s);
      metric_sample(out, families[k].name, "registry", registrar_name(all->items[i]),
                    (double)*(const uint64_t *)((const char *)&s + families[k].offset));
    }
  }
}
