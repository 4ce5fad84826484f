#include "agent/metrics.h"

#include "agent/checks.h"
#include "agent/consoles.h"
#include "agent/feedback.h"
#include "agent/hooks/hooks.h"
#include "agent/lag.h"
#include "agent/live.h"
#include "agent/parts.h"
#include "agent/plans/choosers.h"
#include "agent/plans/plans.h"
#include "agent/plugins/plugins.h"
#include "agent/policies/policies.h"
#include "agent/registries/registrars.h"
#include "agent/reload.h"
#include "agent/routes/routes.h"
#include "agent/watches/watches.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/metric.h"
#include "catalog/writer.h"
#include "config/config.h"
#include "registry/embedded.h"
#include "registry/store.h"
#include "watch/outlier.h"
#include "watch/set.h"

#include <unistd.h>

static void catalog_metrics(struct agent *a, struct buf *out) {
  struct catalog_stats s;
  catalog_stats(a->catalog, &s);
  metric_counter(out, "perigee_catalog_publishes_total", "Snapshots published.", s.publishes);
  metric_counter(out, "perigee_catalog_failed_publishes_total",
                 "Snapshots that found no room; the one before stayed.", s.failed_publishes);
  metric_gauge(out, "perigee_catalog_bytes", "Size of the shared file.", (double)s.file_bytes);
  metric_gauge(out, "perigee_catalog_used_bytes", "Of these, in use.", (double)s.bytes_used);
  metric_gauge(out, "perigee_catalog_resting_bytes", "Blocks that wait for slow readers.",
               (double)s.bytes_resting);
  metric_gauge(out, "perigee_catalog_resting_blocks", "How many.", (double)s.blocks_resting);
  metric_gauge(out, "perigee_catalog_slots", "Slots taken, one an endpoint.", (double)s.slots);
  metric_gauge(out, "perigee_services", "Services in the catalog.", (double)s.services);
  metric_gauge(out, "perigee_endpoints", "Endpoints in the catalog.", (double)s.endpoints);
  metric_gauge(out, "perigee_catalog_version", "The newest version.",
               (double)catalog_version(a->catalog));
}

static void set_metrics(struct agent *a, struct buf *out) {
  struct sets_stats s;
  sets_stats(a->sets, &s);
  metric_gauge(out, "perigee_services_fail_open",
               "Services with endpoints and none healthy: picks take any.", (double)s.fail_open);
  metric_counter(out, "perigee_fail_open_total", "How often a service became that.",
                 s.fail_open_events);
  metric_gauge(out, "perigee_services_stale",
               "Services whose source cannot be reached; the last known stays.", (double)s.stale);
  metric_gauge(out, "perigee_services_waiting",
               "Services with a change that waits, for room or for its turn.", (double)s.waiting);
  metric_family(out, "perigee_service_endpoints", "gauge", "Endpoints in the catalog, by status.");
  metric_sample(out, "perigee_service_endpoints", "status", "passing", (double)s.passing);
  metric_sample(out, "perigee_service_endpoints", "status", "warning", (double)s.warning);
  metric_sample(out, "perigee_service_endpoints", "status", "critical", (double)s.critical);
}

static void registry_metrics(struct agent *a, struct buf *out) {
  struct embedded_stats s;
  embedded_stats(a->embedded, &s);
  metric_gauge(out, "perigee_registrations", "Instances registered here.", (double)s.registrations);
  metric_gauge(out, "perigee_leases", "Of these, held by a lease.", (double)s.leases);
  metric_counter(out, "perigee_leases_expired_total", "Leases that ran out.", s.expired);
  metric_counter(out, "perigee_reaped_total", "Registrations ended by deregister_after.", s.reaped);
  metric_counter(out, "perigee_orphaned_total", "Registrations ended with their owner.",
                 s.orphaned);
  metric_gauge(out, "perigee_checks_flapping",
               "Checks whose results go back and forth, whatever rise and fall make of them.",
               (double)s.flapping);
  metric_counter(out, "perigee_status_changes_total", "Changes of a check's status.",
                 s.status_changes);
  metric_gauge(out, "perigee_checks", "Checks of all registrations, also those that are told.",
               (double)s.checks);
  metric_gauge(out, "perigee_registry_pending", "Requests that wait for the disk.",
               (double)s.pending);
  metric_gauge(out, "perigee_registry_restored", "Registrations taken up again at the start.",
               (double)s.restored);
  metric_gauge(out, "perigee_registry_unreadable",
               "Records not understood at the start; left as they are.", (double)s.unreadable);
  metric_family(out, "perigee_instances", "gauge", "Instances registered here, by status.");
  metric_sample(out, "perigee_instances", "status", "passing", (double)s.passing);
  metric_sample(out, "perigee_instances", "status", "warning", (double)s.warning);
  metric_sample(out, "perigee_instances", "status", "critical", (double)s.critical);

  struct store_stats d;
  store_stats(a->store, &d);
  metric_counter(out, "perigee_store_commits_total", "Transactions synced to the disk.", d.commits);
  metric_counter(out, "perigee_store_changes_total", "Changes made durable.", d.changes);
  metric_counter(out, "perigee_store_failures_total", "Changes that the disk refused.", d.failures);
  metric_gauge(out, "perigee_store_queue", "Changes not yet durable.", (double)d.queue);
  metric_gauge(out, "perigee_store_last_commit_seconds", "How long the last commit took.",
               (double)d.last_commit_ns / 1e9);
  metric_gauge(out, "perigee_store_damaged",
               "Records with a wrong checksum, left out at the start.", (double)d.damaged);
  metric_gauge(out, "perigee_store_set_aside",
               "1 when the file was damaged, moved aside and begun anew.", d.set_aside);
  metric_gauge(out, "perigee_store_in_memory", "1 when nothing is kept over a restart.",
               d.in_memory);
}

static void check_metrics(struct agent *a, struct buf *out) {
  struct checks_stats s;
  checks_stats(a->checks, &s);
  metric_gauge(out, "perigee_checks_running", "Checks that this agent runs.", (double)s.running);
  metric_counter(out, "perigee_check_runs_total", "Runs that ended.", s.runs);
  metric_counter(out, "perigee_check_timeouts_total", "Runs that hit their deadline.", s.timeouts);
  metric_counter(out, "perigee_check_plugin_faults_total",
                 "Runs in which the plugin raised or was killed; the last status stayed.",
                 s.plugin_faults);
}

static const char *const outcome_names[FEEDBACK_OUTCOMES] = {"success", "server_error", "timeout",
                                                             "connect_failure"};

static void live_metrics(struct agent *a, struct buf *out) {
  struct feedback_stats f;
  struct live_stats s;
  feedback_stats(a->feedback, &f);
  live_stats(a->live, &s);
  metric_gauge(out, "perigee_feedback_processes", "Processes whose calls are counted.",
               (double)f.processes);
  metric_counter(out, "perigee_feedback_refused_total",
                 "Processes that were refused: no page of ours, or too many.", f.refused);
  metric_counter(out, "perigee_feedback_collections_total", "How often the pages were read.",
                 s.collections);
  metric_gauge(out, "perigee_calls_in_flight", "Calls in flight, of the processes that count them.",
               (double)s.in_flight);
  metric_gauge(out, "perigee_retries_in_flight", "Of these, retries.", (double)s.retries);
  metric_family(out, "perigee_calls_total", "counter", "Calls reported, by outcome.");
  for (int i = 0; i < FEEDBACK_OUTCOMES; i++)
    metric_sample(out, "perigee_calls_total", "outcome", outcome_names[i], (double)s.reports[i]);
  metric_gauge(out, "perigee_outliers_ejected", "Endpoints that are ejected now.",
               (double)s.ejected);
  metric_family(out, "perigee_outlier_ejections_total", "counter", "Ejections, by reason.");
  for (int i = OUTLIER_CONSECUTIVE; i <= OUTLIER_FAILURES; i++)
    metric_sample(out, "perigee_outlier_ejections_total", "reason",
                  outlier_reason_name((enum outlier_reason)i), (double)s.ejections[i]);
}

struct plugin_rows {
  struct buf *out;
  const char *metric;
  double (*value)(const struct isolate_stats *s, const struct quarantine *q);
};

static void plugin_row(void *arg, struct plugin *p, const struct quarantine *q) {
  const struct plugin_rows *rows = arg;
  struct isolate_stats s;
  isolate_stats(plugin_isolate(p), &s);
  buf_format(rows->out, "%s{kind=\"%s\",plugin=\"%s\"} %.17g\n", rows->metric, plugin_kind(p),
             plugin_name(p), rows->value(&s, q));
}

static double memory_of(const struct isolate_stats *s, const struct quarantine *q) {
  return (double)s->memory;
}
static double tasks_of(const struct isolate_stats *s, const struct quarantine *q) {
  return (double)s->tasks;
}
static double killed_of(const struct isolate_stats *s, const struct quarantine *q) {
  return (double)s->killed;
}
static double errors_of(const struct isolate_stats *s, const struct quarantine *q) {
  return (double)s->errors;
}
static double turns_of(const struct isolate_stats *s, const struct quarantine *q) {
  return (double)s->turns;
}
static double handles_of(const struct isolate_stats *s, const struct quarantine *q) {
  return (double)s->handles;
}
static double peak_of(const struct isolate_stats *s, const struct quarantine *q) {
  return (double)s->memory_peak;
}
static double suppressed_of(const struct isolate_stats *s, const struct quarantine *q) {
  return (double)s->log_suppressed;
}

static double faults_of(const struct isolate_stats *s, const struct quarantine *q) {
  return (double)q->faults_total;
}
static double quarantined_of(const struct isolate_stats *s, const struct quarantine *q) {
  return quarantine_holds(q, clock_now_ns());
}

static void plugin_metrics(struct agent *a, struct buf *out) {
  static const struct {
    const char *name, *type, *help;
    double (*value)(const struct isolate_stats *s, const struct quarantine *q);
  } metrics[] = {
      {"perigee_plugin_memory_bytes", "gauge", "What the isolate holds.", memory_of},
      {"perigee_plugin_memory_peak_bytes", "gauge", "The most it has held.", peak_of},
      {"perigee_plugin_tasks", "gauge", "Tasks alive.", tasks_of},
      {"perigee_plugin_handles", "gauge", "Sockets, servers and file watches open.", handles_of},
      {"perigee_plugin_turns_total", "counter", "Runs between two waits.", turns_of},
      {"perigee_plugin_killed_total", "counter", "Turns cut off at the limit.", killed_of},
      {"perigee_plugin_errors_total", "counter", "Errors raised.", errors_of},
      {"perigee_plugin_faults_total", "counter", "Calls that failed by the plugin's fault.",
       faults_of},
      {"perigee_plugin_quarantined", "gauge", "1 while it is not called, as it kept failing.",
       quarantined_of},
      {"perigee_plugin_log_suppressed_total", "counter", "Log lines over the rate.", suppressed_of},
  };
  for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
    metric_family(out, metrics[i].name, metrics[i].type, metrics[i].help);
    struct plugin_rows rows = {.out = out, .metric = metrics[i].name, .value = metrics[i].value};
    plugins_each(a->plugins, plugin_row, &rows);
  }
}

void agent_metrics(struct agent *a, struct buf *out) {
  metric_family(out, "perigee_info", "gauge", "What runs here.");
  buf_text(out, "perigee_info{version=\"" PERIGEE_VERSION "\",config_hash=\"");
  buf_format(out, "%s\"} 1\n", a->config->hash);
  metric_gauge(out, "perigee_start_time_seconds", "Unix time at which the agent started.",
               (double)a->started_us / 1e6);
  catalog_metrics(a, out);
  set_metrics(a, out);
  registry_metrics(a, out);
  registrars_metrics(a->registrars, out);
  watches_metrics(a->watches, out);
  plans_metrics(a->plans, out);
  check_metrics(a, out);
  policies_metrics(a->policies, out);
  hooks_metrics(a->hooks, out);
  routes_metrics(a->routes, out);
  live_metrics(a, out);
  plugin_metrics(a, out);
  metric_gauge(out, "perigee_consoles", "Lua states of operators: of eval, and of repl's sessions.",
               (double)consoles_count(a->consoles));
  choosers_metrics(a->choosers, out);
  plugins_reload_metrics(a->plugins, out);
  reload_metrics(a->reload, out);
  lag_metrics(a->lag, out);
}

void agent_status(struct agent *a, struct buf *out) {
  struct catalog_stats c;
  struct embedded_stats e;
  struct store_stats d;
  struct sets_stats sets;
  catalog_stats(a->catalog, &c);
  sets_stats(a->sets, &sets);
  embedded_stats(a->embedded, &e);
  store_stats(a->store, &d);
  buf_text(out, "{\"version\":\"" PERIGEE_VERSION "\"");
  buf_member_number(out, "pid", getpid());
  buf_member_text(out, "node", a->config->node);
  buf_member_text(out, "zone", a->config->zone);
  buf_member_text(out, "datacenter", a->config->datacenter);
  buf_member_number(out, "uptime_seconds", (double)(clock_steady_us() - a->started_us) / 1e6);
  buf_member_text(out, "config", a->config->file);
  buf_member_text(out, "config_hash", a->config->hash);
  buf_member_text(out, "http", a->config->http);
  buf_member_text(out, "run_dir", a->config->run_dir);
  buf_member_text(out, "data_dir", d.in_memory ? NULL : a->config->data_dir);
  buf_member_number(out, "services", (double)c.services);
  buf_member_number(out, "endpoints", (double)c.endpoints);
  buf_member_number(out, "catalog_version", (double)catalog_version(a->catalog));
  buf_member_number(out, "registrations", (double)e.registrations);
  buf_member_number(out, "held_back", (double)policies_held_back(a->policies));
  buf_member_number(out, "taken", (double)registrars_taken(a->registrars));
  buf_member_number(out, "passing", (double)e.passing);
  buf_member_number(out, "warning", (double)e.warning);
  buf_member_number(out, "critical", (double)e.critical);
  buf_member_number(out, "fail_open", (double)sets.fail_open);
  buf_member_number(out, "stale", (double)sets.stale);
  buf_member_number(out, "differing", (double)watches_differing(a->watches));
  buf_member_number(out, "store_queue", (double)d.queue);
  buf_member_number(out, "loop_lag_worst_seconds", lag_worst_seconds(a->lag));
  buf_char(out, '}');
}
