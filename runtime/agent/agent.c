#include "agent/agent.h"

#include "agent/configure.h"
#include "agent/feedback.h"
#include "agent/hooks/hooks.h"
#include "agent/inherited.h"
#include "agent/node.h"
#include "agent/notify.h"
#include "agent/parts.h"
#include "agent/plans/choosers.h"
#include "agent/plans/plans.h"
#include "agent/plugins/plugins.h"
#include "agent/plugins/plugins_reload.h"
#include "agent/pulse.h"
#include "agent/registries/registrars.h"
#include "agent/reload.h"
#include "agent/requests.h"
#include "agent/routes/routes.h"
#include "agent/watches/watches.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/text.h"
#include "config/config.h"
#include "registry/embedded.h"
#include "registry/store.h"
#include "serve/server.h"
#include "watch/set.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- stopping ---- */

static void on_store_closed(void *arg) {
  struct agent *a = arg;
  a->store = NULL;
  uv_stop(&a->loop);
}

static void on_server_stopped(void *arg) {
  struct agent *a = arg;
  a->server = NULL;
  pulse_save_version(a);
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
  if (registrars_left(a->registrars))
    a->exit_code = 1;
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
  notify("STOPPING=1");
  log_info("stopping", LOG_I("registrations", embedded_count(a->embedded)));
  routes_stop(a->routes);
  hooks_stop(a->hooks, a->config->leave_on_stop, on_hooks_stopped, a);
}

static void on_stop_signal(uv_signal_t *signal, int number) {
  (void)number;
  agent_stop(signal->data);
}

/* ---- starting ---- */

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
    return cannot_start(&f);
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
    return cannot_start(&f);
  int r = embedded_restore(a->embedded);
  if (r != 0) {
    fault_set(&f, r, "cannot read back %s: %s", a->config->data_dir, strerror(-r));
    return cannot_start(&f);
  }
  node_return(a);
  return configure_services(a, a->config, &f) == 0 ? 0 : cannot_start(&f);
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
  int r = parts_make(a);
  if (r == 0)
    r = start_serving(a);
  if (r == 0)
    r = apply_configuration(a);
  if (r != 0)
    return r;
  a->reload = reload_new(a);
  if (!a->reload || plugins_attend(a->plugins, &a->loop) != 0)
    return cannot_start(&(struct fault){.text = "out of memory"});
  inherited_end(a->catalog, a->sets);
  announce(a);
  uv_signal_start(&a->terminate, on_stop_signal, SIGTERM);
  uv_signal_start(&a->interrupt, on_stop_signal, SIGINT);
  pulse_start(a);
  return 0;
}

static void end_loop(struct agent *a) {
  pulse_close(a);
  uv_close((uv_handle_t *)&a->terminate, NULL);
  uv_close((uv_handle_t *)&a->interrupt, NULL);
  uv_run(&a->loop, UV_RUN_DEFAULT);
  int r = uv_loop_close(&a->loop);
  if (r != 0)
    log_error("handles are left on the loop", LOG_S("error", uv_strerror(r)));
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
  pulse_init(a);
  uv_signal_init(&a->loop, &a->terminate);
  uv_signal_init(&a->loop, &a->interrupt);
  a->terminate.data = a->interrupt.data = a;
}

int agent_run(struct config *config) {
  struct agent a;
  raise_descriptors();
  begin(&a, config);
  a.exit_code = parts_make_lua(&a);
  if (a.exit_code == 0)
    a.exit_code = refuse_findings(&a);
  if (a.exit_code == 0)
    a.exit_code = agent_start(&a);
  if (a.server && a.exit_code != 0) /* its threads read what the parts hold */
    server_stop(a.server, on_server_stopped, &a);
  if (a.server)
    uv_run(&a.loop, UV_RUN_DEFAULT);
  parts_end(&a);
  end_loop(&a);
  config_free(a.config); /* perhaps another one by now */
  return a.exit_code;
}

int agent_verify(struct config *config, struct findings *findings) {
  struct agent a;
  begin(&a, config);
  int r = parts_make_lua(&a) == 0 ? 0 : -ENOMEM;
  if (r == 0 && configure_verify(a.plugins, a.config, findings) != 0)
    r = -EINVAL;
  parts_end(&a);
  end_loop(&a);
  return r;
}
