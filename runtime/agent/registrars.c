#include "agent/registrars.h"

#include "agent/registrar.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/value.h"
#include "config/config.h"
#include "registry/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So long a plain stop leaves for the next agent; and so long the stop itself may take. */
static const double restart_within_s = 30;
enum { STOP_MS = 5000 };

/* Where an instance of the configuration is registered. */
struct placement {
  const char *id;                 /* the configuration's */
  const struct value *registries; /* a list of names, of the configuration */
};

struct registrars {
  struct registrar **items;
  size_t count;
  struct placement *placements; /* by id */
  size_t placement_count;
  size_t running; /* while stopping: that have not told yet */
  bool stopping;
  uv_timer_t later; /* tells `stopped` when there is nobody to wait for */
  void (*stopped)(void *arg);
  void *stopped_arg;
};

/* What marks our entries in every registry: the node's name and, so that two agents of one name do
 * not sweep each other's, a number that the data directory keeps. */
struct identity {
  uint64_t number;
  bool known;
};

static int read_identity(void *arg, const char *key, const void *value, size_t length) {
  struct identity *i = arg;
  if (strcmp(key, "owner") == 0 && length == sizeof i->number) {
    memcpy(&i->number, value, sizeof i->number);
    i->known = true;
  }
  return 0;
}

static void owner_make(const struct config *config, struct store *store, char *out, size_t size) {
  struct identity own = {0};
  store_each(store, "meta", read_identity, &own);
  if (!own.known) {
    own.number = clock_random();
    store_put(store, "meta", "owner", &own.number, sizeof own.number, NULL, NULL);
  }
  snprintf(out, size, "%s/%016llx", config->node, (unsigned long long)own.number);
}

static struct registrar *find(const struct registrars *all, const char *name) {
  for (size_t i = 0; i < all->count; i++)
    if (strcmp(registrar_name(all->items[i]), name) == 0)
      return all->items[i];
  return NULL;
}

static int add_registry(struct registrars *all, uv_loop_t *loop, struct plugins *plugins,
                        const struct config *config, struct store *store, const char *owner,
                        const char *name, struct fault *f) {
  if (strcmp(name, "embedded") == 0 || find(all, name))
    return 0;
  struct registry_use use;
  int rc = registries_find(config, plugins, name, &use, f);
  if (rc != 0)
    return rc;
  struct registrar **items = realloc(all->items, (all->count + 1) * sizeof *items);
  struct registrar *r = NULL;
  if (items) {
    all->items = items;
    r = registrar_new(loop, name, &use, owner, use.ttl_s, store);
  }
  value_unref(use.options);
  if (!r)
    return fault_set(f, -ENOMEM, "out of memory");
  all->items[all->count++] = r;
  return 0;
}

static int by_id(const void *a, const void *b) {
  return strcmp(((const struct placement *)a)->id, ((const struct placement *)b)->id);
}

static void later_closed(uv_handle_t *timer) {
  free(timer->data);
}

struct registrars *registrars_new(uv_loop_t *loop, struct plugins *plugins,
                                  const struct config *config, struct store *store,
                                  struct fault *f) {
  char owner[300];
  struct registrars *all = calloc(1, sizeof *all);
  if (!all || uv_timer_init(loop, &all->later) != 0) {
    free(all);
    fault_set(f, -ENOMEM, "out of memory");
    return NULL;
  }
  all->later.data = all;
  all->placements = calloc(config->service_count + 1, sizeof *all->placements);
  int rc = all->placements ? 0 : fault_set(f, -ENOMEM, "out of memory");
  owner_make(config, store, owner, sizeof owner);
  for (size_t i = 0; rc == 0 && i < config->service_count; i++) {
    const struct value *names = config->service_registries[i];
    all->placements[all->placement_count++] =
        (struct placement){config->services[i]->instance->id, names};
    for (size_t k = 0; rc == 0 && k < value_length(names); k++)
      rc = add_registry(all, loop, plugins, config, store, owner,
                        value_as_text(value_at(names, k), ""), f);
  }
  if (rc != 0) {
    registrars_free(all);
    return NULL;
  }
  qsort(all->placements, all->placement_count, sizeof *all->placements, by_id);
  return all;
}

void registrars_free(struct registrars *all) {
  if (!all)
    return;
  for (size_t i = 0; i < all->count; i++)
    registrar_free(all->items[i]);
  free(all->items);
  free(all->placements);
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
  const struct placement wanted = {.id = in->id};
  const struct placement *place =
      bsearch(&wanted, all->placements, all->placement_count, sizeof *all->placements, by_id);
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
  all->stopped(all->stopped_arg);
}

static void on_later(uv_timer_t *timer) {
  on_stopped(timer->data);
}

void registrars_stop(struct registrars *all, bool leave, void (*stopped)(void *arg), void *arg) {
  all->stopping = true;
  all->stopped = stopped;
  all->stopped_arg = arg;
  all->running = all->count;
  if (all->count == 0)
    uv_timer_start(&all->later, on_later, 0, 0);
  for (size_t i = 0; i < all->count; i++)
    reconciler_stop(registrar_reconciler(all->items[i]), leave, restart_within_s, STOP_MS,
                    on_stopped, all);
}

bool registrars_withdrew(const struct registrars *all, const char *service, const char *id) {
  for (size_t i = 0; i < all->count; i++)
    if (reconciler_withdrew(registrar_reconciler(all->items[i]), service, id))
      return true;
  return false;
}

/* ---- metrics ---- */

static const struct {
  const char *name, *type, *help;
  size_t offset;
} families[] = {
#define FAMILY(field, suffix, type, help)                                                          \
  { "perigee_registry_" suffix, type, help, offsetof(struct reconciler_stats, field) }
    FAMILY(wanted, "wanted", "gauge", "Instances that should be registered there."),
    FAMILY(held, "held", "gauge", "Of these, registered as they are now."),
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
    buf_format(out, "# HELP %s %s\n# TYPE %s %s\n", families[k].name, families[k].help,
               families[k].name, families[k].type);
    for (size_t i = 0; i < all->count; i++) {
      struct reconciler_stats s;
      reconciler_stats(registrar_reconciler(all->items[i]), &s);
      buf_format(out, "%s{registry=\"%s\"} %llu\n", families[k].name, registrar_name(all->items[i]),
                 (unsigned long long)*(const uint64_t *)((const char *)&s + families[k].offset));
    }
  }
}
