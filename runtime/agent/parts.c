#include "agent/parts.h"

#include "agent/builds.h"
#include "agent/checks.h"
#include "agent/consoles.h"
#include "agent/feedback.h"
#include "agent/hooks/hooks.h"
#include "agent/lag.h"
#include "agent/live.h"
#include "agent/node.h"
#include "agent/plans/choosers.h"
#include "agent/plans/plans.h"
#include "agent/plugins/plugins.h"
#include "agent/plugins/plugins_reload.h"
#include "agent/policies/policies.h"
#include "agent/registries/registrars.h"
#include "agent/reload.h"
#include "agent/requests.h"
#include "agent/routes/routes.h"
#include "agent/watches/watches.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/value.h"
#include "catalog/writer.h"
#include "config/config.h"
#include "io/io.h"
#include "registry/embedded.h"
#include "registry/store.h"
#include "serve/server.h"
#include "watch/balancer.h"
#include "watch/set.h"

#include <errno.h>
#include <string.h>

/* ---- what the parts tell each other ---- */

static void on_published(void *arg, const struct set_published *what) {
  struct agent *a = arg;
  if (view_publish_service(a->view, what) != 0)
    log_error("view not updated: out of memory", LOG_S("service", what->service));
  live_published(a->live, what);
  watches_published(a->watches, what);
  policies_published(a->policies, what);
  hooks_published(a->hooks, what);
}

/* What policies let through is what everybody else sees of a registration. */
static void on_shown(void *arg, const struct registration_state *state, bool gone) {
  struct agent *a = arg;
  watches_local(a->watches, state, gone);
  registrars_local(a->registrars, state, gone);
}

static void on_changed(void *arg, const struct registration_state *state, bool gone) {
  struct agent *a = arg;
  if (view_publish_registration(a->view, state, gone) != 0)
    log_error("view not updated: out of memory",
              LOG_S("instance", state->registration->instance->id));
  policies_local(a->policies, state, gone);
  hooks_local(a->hooks, state, gone);
}

static bool withdrew(void *arg, const struct instance *in) {
  const struct agent *a = arg;
  return a->registrars && registrars_withdrew(a->registrars, in->service, in->id);
}

static int64_t used(void *arg, const char *service) {
  const struct agent *a = arg;
  return view_used(a->view, service);
}

static void on_check_start(void *arg, uint64_t handle, const struct registration *r, uint32_t i) {
  struct agent *a = arg;
  checks_start(a->checks, handle, r, i);
}

static void on_check_stop(void *arg, uint64_t handle) {
  struct agent *a = arg;
  checks_stop(a->checks, handle);
}

static const struct embedded_events registry_events = {
    .changed = on_changed, .check_start = on_check_start, .check_stop = on_check_stop};

/* ---- making ---- */

int cannot_start(const struct fault *f) {
  log_error("cannot start", LOG_S("error", f->text));
  return 1;
}

int parts_make_lua(struct agent *a) {
  struct fault f = {.text = "out of memory"};
  if (io_new(&a->loop, &a->io) != 0)
    return cannot_start(&f);
  struct value *host = node_facts(a->config);
  a->registry = agent_registry(a);
  const struct vm_config vm = {.loop = &a->loop,
                               .io = a->io,
                               .library = a->config->library,
                               .host = host,
                               .registry = &a->registry,
                               .run_dir = a->config->run_dir};
  int r = vm_new(&vm, &a->vm, &f);
  value_unref(host);
  if (r != 0)
    return cannot_start(&f);
  a->plugins = plugins_new(a->vm, a->config);
  a->consoles = a->plugins ? consoles_new(a->vm, a->plugins) : NULL;
  return a->consoles ? 0 : cannot_start(&f);
}

static int open_catalog(struct agent *a) {
  struct fault f = {0};
  int pid = 0;
  int r = catalog_writer_open(a->config->run_dir, &a->catalog, &pid);
  if (r == 0)
    return 0;
  if (r == -EBUSY)
    fault_set(&f, r,
              "another agent (pid %d) runs on %s: stop it, or give this one its own --run-dir", pid,
              a->config->run_dir);
  else if (r == -ENOSPC)
    fault_set(&f, r,
              "no room for the catalog in %s: it takes 4 MiB at least; free some, or choose "
              "another --run-dir",
              a->config->run_dir);
  else
    fault_set(&f, r, "cannot write in the run directory %s: %s; choose another with --run-dir",
              a->config->run_dir, strerror(-r));
  return cannot_start(&f);
}

static int open_store(struct agent *a) {
  struct fault f = {0};
  if (store_open(&a->loop, a->config->data_dir, &a->store, &f) == 0)
    return 0;
  log_warn("nothing is kept over a restart: the data directory cannot be used",
           LOG_S("data_dir", a->config->data_dir), LOG_S("error", f.text));
  return store_open(&a->loop, NULL, &a->store, &f) == 0 ? 0 : cannot_start(&f);
}

static int read_version(void *arg, const char *key, const void *value, size_t length) {
  struct agent *a = arg;
  uint64_t version;
  if (strcmp(key, "version") == 0 && length == sizeof version) {
    memcpy(&version, value, sizeof version);
    catalog_version_raise(a->catalog, version);
  }
  return 0;
}

int parts_make(struct agent *a) {
  struct config *c = a->config;
  struct fault f = {.text = "out of memory"};
  struct view_node node = {0};
  node_describe(c, &node);
  if (open_catalog(a) != 0 || open_store(a) != 0)
    return 1;
  plugins_recall(a->plugins, a->store);
  store_each(a->store, "meta", read_version, a);
  a->sets = sets_new(a->catalog, on_published, a);
  if (a->sets)
    builds_elsewhere(&a->loop, a->sets);
  a->checks = checks_new(&a->loop, a->plugins);
  a->lag = lag_new(&a->loop);
  a->choosers = choosers_new(&a->loop, a->vm, a->plugins, c->library);
  a->live = a->sets ? live_new(&a->loop, a->catalog, a->sets) : NULL;
  const struct watches_with with = {.loop = &a->loop,
                                    .io = a->io,
                                    .store = a->store,
                                    .sets = a->sets,
                                    .plugins = a->plugins,
                                    .withdrew = withdrew,
                                    .used = used,
                                    .arg = a};
  const struct plans_with planning = {
      .loop = &a->loop, .plugins = a->plugins, .sets = a->sets, .store = a->store};
  const struct balancer_host place = plans_host(c, a->plugins);
  if (a->live && sets_place(a->sets, &place) == 0)
    a->plans = plans_new(&planning);
  if (a->plans) {
    sets_plan_by(a->sets, plans_planner(a->plans));
    a->watches = watches_new(&with);
  }
  if (!a->watches || !a->checks || !a->lag || !a->choosers ||
      view_new(&node, SERVER_WORKERS_MAX, &a->view) != 0 ||
      embedded_new(&a->loop, a->store, &registry_events, a, &a->embedded) != 0)
    return cannot_start(&f);
  view_begin(a->view, catalog_version(a->catalog));
  const struct policies_with deciding = {.loop = &a->loop,
                                         .plugins = a->plugins,
                                         .store = a->store,
                                         .sets = a->sets,
                                         .shown = on_shown,
                                         .arg = a};
  a->policies = policies_new(&deciding, a->embedded);
  if (a->policies)
    a->registrars = registrars_new(&a->loop, a->plugins, a->store, a->policies, c->node);
  const struct hook_parts telling = {.loop = &a->loop, .plugins = a->plugins, .sets = a->sets};
  a->hooks = hooks_new(&telling);
  a->routes = routes_new(&a->loop, a->plugins);
  if (!a->registrars || !a->hooks || !a->routes)
    return cannot_start(&f);
  checks_report_to(a->checks, a->embedded);
  watches_follow(a->watches, a->policies);
  embedded_index_raise(a->embedded, catalog_version(a->catalog));
  return 0;
}

/* ---- ending ---- */

void parts_end(struct agent *a) {
  reload_free(a->reload);
  routes_free(a->routes);
  hooks_free(a->hooks);
  policies_free(a->policies);
  registrars_free(a->registrars);
  watches_free(a->watches);
  plans_free(a->plans);
  checks_free(a->checks);
  consoles_free(a->consoles);
  choosers_end(a->choosers);
  plugins_free(a->plugins);
  embedded_free(a->embedded); /* answers what is pending: no plugin may be there to ask again */
  vm_free(a->vm);
  choosers_free(a->choosers);
  io_free(a->io);
  lag_free(a->lag);
  feedback_free(a->feedback);
  live_free(a->live);
  sets_free(a->sets);
  view_free(a->view);
  if (a->store) /* it did not start: nothing has closed it */
    store_close(a->store, NULL, NULL);
  if (a->catalog)
    catalog_writer_close(a->catalog);
}
