#include "agent/agent.h"

#include "agent/builds.h"
#include "agent/checks.h"
#include "agent/consoles.h"
#include "agent/choosers.h"
#include "agent/configure.h"
#include "agent/feedback.h"
#include "agent/hooks.h"
#include "agent/inherited.h"
#include "agent/lag.h"
#include "agent/live.h"
#include "agent/node.h"
#include "agent/parts.h"
#include "agent/plans.h"
#include "agent/plugins.h"
#include "agent/plugins_reload.h"
#include "agent/policies.h"
#include "agent/registrars.h"
#include "agent/reload.h"
#include "agent/requests.h"
#include "agent/routes.h"
#include "agent/trim.h"
#include "agent/watches.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/text.h"
#include "base/value.h"
#include "catalog/writer.h"
#include "config/config.h"
#include "io/io.h"
#include "registry/embedded.h"
#include "registry/store.h"
#include "vm/isolate.h"
#include "watch/balancer.h"
#include "watch/set.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <unistd.h>

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

/* ---- the turn, and the second ---- */

static void flush_again(uv_idle_t *idle) {
  (void)idle; /* its being active keeps the next poll from sleeping */
}

static void on_due(uv_timer_t *timer) {
  (void)timer; /* what waited for its time is published at the end of this turn */
}

/* Once each watch has loaded; or has not in three seconds, since a name without endpoints must not
 * keep all others from being used. */
static void become_ready(struct agent *a) {
  static const int64_t patience_us = 3000000;
  if (a->ready || a->stops)
    return;
  bool loaded = watches_ready(a->watches) && sets_working(a->sets) == 0;
  if (!loaded && clock_steady_us() - a->started_us < patience_us)
    return;
  if (!loaded)
    log_warn("ready, though not every watch has loaded");
  a->ready = true;
  server_ready(a->server, true);
  trim_after_start();
  hooks_started(a->hooks);
}

/* At the end of each turn, before the loop sleeps: all that the turn changed becomes visible. What
 * a flush itself changed (a watch that follows another) is published by the next turn, at once. */
static void on_turn(uv_prepare_t *prepare) {
  struct agent *a = prepare->data;
  catalog_version_raise(a->catalog, embedded_index(a->embedded));
  watches_flush(a->watches);
  size_t published = sets_flush(a->sets);
  embedded_index_raise(a->embedded, catalog_version(a->catalog));
  watches_answer(a->watches);
  view_commit(a->view);
  become_ready(a);
  if (published && sets_dirty(a->sets))
    uv_idle_start(&a->again, flush_again);
  else
    uv_idle_stop(&a->again);
  int64_t due = sets_due_ns(a->sets), now = clock_now_ns();
  if (due)
    uv_timer_start(&a->due, on_due, due > now ? (uint64_t)(due - now) / 1000000 + 1 : 1, 0);
}

static void save_version(struct agent *a) {
  uint64_t version = catalog_version(a->catalog);
  if (version == a->version_saved)
    return;
  a->version_saved = version;
  store_put(a->store, "meta", "version", &version, sizeof version, NULL, NULL);
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

static void on_tick(uv_timer_t *timer) {
  struct agent *a = timer->data;
  catalog_tick(a->catalog);
  feedback_tick(a->feedback);
  choosers_tick(a->choosers);
  save_version(a);
  watches_tick(a->watches);
  plans_tick(a->plans);
}

/* ---- stopping ---- */

static void on_store_closed(void *arg) {
  struct agent *a = arg;
  a->store = NULL;
  uv_stop(&a->loop);
}

static void on_server_stopped(void *arg) {
  struct agent *a = arg;
  a->server = NULL;
  save_version(a);
  watches_save(a->watches);
  plans_save(a->plans);
  store_close(a->store, on_store_closed, a);
}

static void on_watches_closed(void *arg) {
  struct agent *a = arg;
  server_stop(a->server, on_server_stopped, a);
}

static void on_registrars_stopped(void *arg) {
  struct agent *a = arg;
  watches_close(a->watches, on_watches_closed, a);
}

static void on_hooks_stopped(void *arg) {
  struct agent *a = arg;
  registrars_stop(a->registrars, a->config->leave_on_stop, on_registrars_stopped, a);
  if (a->config->leave_on_stop) {
    embedded_leave(a->embedded);
    sets_flush(a->sets);
  }
}

/* A plain stop keeps every registration: the catalog stays valid, and the next agent takes up what
 * the store holds. --leave takes them back first. */
static void agent_stop(struct agent *a) {
  if (a->stops++ > 0)
    _exit(130); /* asked twice: at once; the catalog and the store are whole at any moment */
  reload_stop(a->reload);
  log_info("stopping", LOG_I("registrations", embedded_count(a->embedded)));
  routes_stop(a->routes);
  hooks_stop(a->hooks, a->config->leave_on_stop, on_hooks_stopped, a);
}

static void on_stop_signal(uv_signal_t *signal, int number) {
  (void)number;
  agent_stop(signal->data);
}

/* ---- starting ---- */

static int fail(const char *what, const struct fault *f) {
  log_error(what, LOG_S("error", f->text));
  return 1;
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
  return fail("cannot start", &f);
}

static int open_store(struct agent *a) {
  struct fault f = {0};
  if (store_open(&a->loop, a->config->data_dir, &a->store, &f) == 0)
    return 0;
  log_warn("nothing is kept over a restart: the data directory cannot be used",
           LOG_S("data_dir", a->config->data_dir), LOG_S("error", f.text));
  return store_open(&a->loop, NULL, &a->store, &f) == 0 ? 0 : fail("cannot start", &f);
}

static int make_parts(struct agent *a) {
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
      view_new(&node, server_workers(c->workers), &a->view) != 0 ||
      embedded_new(&a->loop, a->store, &registry_events, a, &a->embedded) != 0)
    return fail("cannot start", &f);
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
    return fail("cannot start", &f);
  checks_report_to(a->checks, a->embedded);
  watches_follow(a->watches, a->policies);
  embedded_index_raise(a->embedded, catalog_version(a->catalog));
  return 0;
}

static void nobody_waits(void *arg, int status, const char *text) {
  (void)arg, (void)status, (void)text;
}

static void on_wish(void *arg, const char *service) {
  struct agent *a = arg;
  if (name_valid(service, strlen(service)))
    watches_ask(a->watches, service, nobody_waits, NULL);
}

static int start_serving(struct agent *a) {
  struct fault f = {0};
  struct server_config config = {.http = a->config->http,
                                 .run_dir = a->config->run_dir,
                                 .workers = server_workers(a->config->workers),
                                 .pick_rules = choosers_rules(a->choosers),
                                 .library = a->config->library,
                                 .version = PERIGEE_VERSION};
  if (server_start(&a->loop, &config, a->view, &agent_requests, a, &a->server, &f) != 0)
    return fail("cannot start", &f);
  if (feedback_new(&a->loop, a->config->run_dir, a->live, &a->feedback, &f) != 0)
    log_warn("each process balances on its own counts alone", LOG_S("error", f.text));
  else
    feedback_on_wish(a->feedback, on_wish, a);
  return 0;
}

/* What the store holds comes before the configured services, which replace what it had under their
 * ids. */
static int apply_configuration(struct agent *a) {
  struct fault f = {0};
  if (configure_parts(a, a->config, &f) != 0)
    return fail("cannot start", &f);
  int r = embedded_restore(a->embedded);
  if (r != 0) {
    fault_set(&f, r, "cannot read back %s: %s", a->config->data_dir, strerror(-r));
    return fail("cannot start", &f);
  }
  return configure_services(a, a->config, &f) == 0 ? 0 : fail("cannot start", &f);
}

/* Before the parts: what end_loop closes must have been made. */
static void make_handles(struct agent *a) {
  uv_prepare_init(&a->loop, &a->turn);
  uv_timer_init(&a->loop, &a->tick);
  uv_timer_init(&a->loop, &a->due);
  uv_idle_init(&a->loop, &a->again);
  uv_signal_init(&a->loop, &a->terminate);
  uv_signal_init(&a->loop, &a->interrupt);
  a->turn.data = a->tick.data = a->again.data = a->terminate.data = a->interrupt.data = a;
}

/* The turn's end is started last, so it runs before the server's own prepare handle, which commits
 * the view and lets replies leave: whoever was answered finds his change published. */
static void start_handles(struct agent *a) {
  uv_timer_start(&a->tick, on_tick, 1000, 1000);
  uv_signal_start(&a->terminate, on_stop_signal, SIGTERM);
  uv_signal_start(&a->interrupt, on_stop_signal, SIGINT);
  uv_prepare_start(&a->turn, on_turn);
}

/* Every finding at once, before anything is touched. */
static int refuse_findings(struct agent *a) {
  struct findings findings = {0};
  size_t n = configure_verify(a->plugins, a->config, &findings);
  if (n) {
    struct buf text = {0};
    findings_print(&findings, &text);
    fputs(text.data ? text.data : "", stderr);
    buf_free(&text);
  }
  findings_free(&findings);
  return n ? 1 : 0;
}

static void announce(const struct agent *a) {
  const struct config *c = a->config;
  log_info("perigee " PERIGEE_VERSION, LOG_S("node", c->node), LOG_S("http", c->http),
           LOG_S("run_dir", c->run_dir), LOG_S("data_dir", c->data_dir),
           LOG_S("config", c->file ? c->file : "none"), LOG_I("services", c->service_count),
           LOG_I("registrations", embedded_count(a->embedded)), LOG_I("pid", getpid()));
}

static int agent_start(struct agent *a) {
  int r = make_parts(a);
  if (r == 0)
    r = start_serving(a);
  if (r == 0)
    r = apply_configuration(a);
  if (r != 0)
    return r;
  a->reload = reload_new(a);
  if (!a->reload || plugins_attend(a->plugins, &a->loop) != 0)
    return fail("cannot start", &(struct fault){.text = "out of memory"});
  inherited_end(a->catalog, a->sets);
  announce(a);
  start_handles(a);
  on_turn(&a->turn);
  return 0;
}

/* Ends the parts in the reverse order of their making. What a part still has on the loop (handles
 * that are closing) goes with the last turns. */
static void end_parts(struct agent *a) {
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
    store_close(a->store, on_store_closed, a);
  if (a->catalog)
    catalog_writer_close(a->catalog);
}

static void end_loop(struct agent *a) {
  uv_handle_t *own[] = {(uv_handle_t *)&a->turn,      (uv_handle_t *)&a->tick,
                        (uv_handle_t *)&a->due,       (uv_handle_t *)&a->again,
                        (uv_handle_t *)&a->terminate, (uv_handle_t *)&a->interrupt};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    uv_close(own[i], NULL);
  while (uv_run(&a->loop, UV_RUN_DEFAULT) != 0)
    ; /* the store's end stops the loop once */
  int r = uv_loop_close(&a->loop);
  if (r != 0)
    log_error("handles are left on the loop", LOG_S("error", uv_strerror(r)));
}

/* What Lua needs, which the configuration's last checks need before anything is touched. */
static int make_lua(struct agent *a) {
  struct fault f = {.text = "out of memory"};
  if (io_new(&a->loop, &a->io) != 0)
    return fail("cannot start", &f);
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
    return fail("cannot start", &f);
  a->plugins = plugins_new(a->vm, a->config);
  a->consoles = a->plugins ? consoles_new(a->vm, a->plugins) : NULL;
  return a->consoles ? 0 : fail("cannot start", &f);
}

/* A connection each: the usual soft limit of 1024 is less than the server serves, and than one
 * plugin may hold. */
static void raise_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

static void begin(struct agent *a, struct config *config) {
  *a = (struct agent){.config = config, .started_us = clock_steady_us()};
  signal(SIGPIPE, SIG_IGN);
  uv_loop_init(&a->loop);
  make_handles(a);
}

int agent_run(struct config *config) {
  struct agent a;
  raise_descriptors();
  begin(&a, config);
  a.exit_code = make_lua(&a);
  if (a.exit_code == 0)
    a.exit_code = refuse_findings(&a);
  if (a.exit_code == 0)
    a.exit_code = agent_start(&a);
  if (a.server && a.exit_code != 0) /* its threads read what the parts hold */
    server_stop(a.server, on_server_stopped, &a);
  if (a.server)
    uv_run(&a.loop, UV_RUN_DEFAULT);
  end_parts(&a);
  end_loop(&a);
  config_free(a.config); /* perhaps another one by now */
  return a.exit_code;
}

int agent_verify(struct config *config, struct findings *findings) {
  struct agent a;
  begin(&a, config);
  int r = make_lua(&a) == 0 ? 0 : -ENOMEM;
  if (r == 0 && configure_verify(a.plugins, a.config, findings) != 0)
    r = -EINVAL;
  end_parts(&a);
  end_loop(&a);
  return r;
}
