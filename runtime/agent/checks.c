#include "agent/checks.h"

#include "agent/plugins/plugins.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One check that runs: between two runs its timer is armed, during one `call` is set. */
struct run {
  struct run *next;
  struct checks *all;
  uint64_t handle;
  struct registration *registration; /* a reference */
  const struct check_definition *check;
  struct attachment *attachment;
  struct call *call;
  int64_t started_ns;
  bool faulted; /* the plugin's last run failed: said once, not each interval */
  uv_timer_t timer;
};

enum { BUCKETS = 1024 };

struct checks {
  uv_loop_t *loop;
  struct plugins *plugins;
  struct embedded *registry;
  struct run *buckets[BUCKETS]; /* by handle, which counts up */
  struct checks_stats stats;
};

struct checks *checks_new(uv_loop_t *loop, struct plugins *plugins) {
  struct checks *all = calloc(1, sizeof *all);
  if (all) {
    all->loop = loop;
    all->plugins = plugins;
  }
  return all;
}

void checks_report_to(struct checks *all, struct embedded *registry) {
  all->registry = registry;
}

static void run_closed(uv_handle_t *timer) {
  free(timer->data);
}

static void run_end(struct run *run) {
  if (run->call) {
    call_cancel(run->call);
    plugins_note(run->all->plugins, attachment_plugin(run->attachment), false);
  }
  attachment_free(run->attachment);
  registration_unref(run->registration);
  uv_close((uv_handle_t *)&run->timer, run_closed);
}

void checks_free(struct checks *all) {
  if (!all)
    return;
  for (size_t i = 0; i < BUCKETS; i++)
    while (all->buckets[i]) {
      struct run *run = all->buckets[i];
      all->buckets[i] = run->next;
      run_end(run);
    }
  free(all);
}

static void run_begin(uv_timer_t *timer);

/* The cadence is kept from start to start; a run that took longer than its interval is followed by
 * the next one at once. */
static void run_schedule(struct run *run, int64_t delay_ns) {
  uint64_t ms = delay_ns <= 0 ? 0 : (uint64_t)(delay_ns + 999999) / 1000000;
  uv_timer_start(&run->timer, run_begin, ms, 0);
}

/* What a plugin's `run` returned: status and output, or nil and a message from its I/O. */
struct outcome {
  enum status status;
  char output[4097];
};

static int outcome_read(const struct call_result *result, struct outcome *o) {
  lua_State *L = result->L;
  int first = -result->results;
  const char *word = call_text(result, 1), *output = call_text(result, 2);
  if (output)
    snprintf(o->output, sizeof o->output, "%s", output);
  else if (result->results >= 2 && lua_type(L, first + 1) == LUA_TNUMBER)
    snprintf(o->output, sizeof o->output, "%.14g", lua_tonumber(L, first + 1));
  if (result->results >= 1 && lua_isnil(L, first)) {
    o->status = STATUS_CRITICAL;
    return 0;
  }
  return word ? status_parse(word, &o->status) : -EINVAL;
}

/* A raise, a kill or a nonsense result is the plugin's fault: the last status stays. */
static void run_fault(struct run *run, const char *why) {
  run->all->stats.plugin_faults++;
  plugins_note(run->all->plugins, attachment_plugin(run->attachment), true);
  if (!run->faulted)
    log_error("check plugin failed; the last status stays", LOG_S("plugin", run->check->plugin),
              LOG_S("check", run->check->id),
              LOG_S("service", run->registration->instance->service), LOG_S("error", why));
  run->faulted = true;
}

static void run_report(struct run *run, enum status status, const char *output) {
  run->faulted = false;
  plugins_note(run->all->plugins, attachment_plugin(run->attachment), false);
  embedded_check_result(run->all->registry, run->handle, status, output);
}

static void run_over(void *arg, const struct call_result *result) {
  struct run *run = arg;
  run->call = NULL;
  if (result->status == -ECANCELED)
    return;
  run->all->stats.runs++;
  /* Before the report, which may end this very check (deregister_after) and free the run. */
  run_schedule(run, run->check->interval_ns - (clock_now_ns() - run->started_ns));
  struct outcome o = {.output = ""};
  if (result->status == 0) {
    if (outcome_read(result, &o) == 0)
      run_report(run, o.status, o.output);
    else
      run_fault(run, "run must return \"passing\", \"warning\" or \"critical\" and an output, or "
                     "nil and a message");
  } else if (result->status == -ETIMEDOUT) {
    run->all->stats.timeouts++;
    snprintf(o.output, sizeof o.output, "no answer in %.3g s",
             (double)run->check->timeout_ns / 1e9);
    run_report(run, STATUS_CRITICAL, o.output);
  } else {
    run_fault(run, result->fault->text);
  }
}

static int push_subject(lua_State *L, void *arg) {
  const struct run *run = arg;
  push_instance(L, run->registration->instance);
  return 1;
}

static void run_begin(uv_timer_t *timer) {
  struct run *run = timer->data;
  run->started_ns = clock_now_ns();
  if (!plugins_allows(run->all->plugins, attachment_plugin(run->attachment))) {
    run_schedule(run, run->check->interval_ns);
    return;
  }
  int r = attachment_call(run->attachment, "run", push_subject, run_over, run,
                          run->check->timeout_ns, &run->call);
  if (r != 0) {
    run_fault(run, strerror(-r));
    run_schedule(run, run->check->interval_ns);
  }
}

static int attach(struct plugins *plugins, const struct check_definition *check, const char *path,
                  struct attachment **out, struct findings *findings) {
  struct plugin *plugin;
  struct fault f;
  int r = plugins_get(plugins, "check", check->plugin, &plugin, &f);
  if (r == 0 && !check_is_ttl(check) && !plugin_provides(plugin, "run"))
    r = fault_set(&f, -ENOSYS,
                  "the check plugin \"%s\" has nothing to run: only ttl waits to be told",
                  check->plugin);
  if (r != 0) {
    findings_add(findings, check->options, path, "%s", f.text);
    return r;
  }
  return plugin_attach(plugin, check->options, path, out, findings);
}

void checks_start(struct checks *all, uint64_t handle, const struct registration *r, uint32_t i) {
  struct run *run = calloc(1, sizeof *run);
  struct findings findings = {0};
  const struct check_definition *check = &r->checks[i];
  if (!run || attach(all->plugins, check, check->id, &run->attachment, &findings) != 0) {
    const char *why = findings.count ? findings.items[0].text : "out of memory";
    log_error("check cannot run", LOG_S("check", check->id), LOG_S("plugin", check->plugin),
              LOG_S("error", why));
    embedded_check_result(all->registry, handle, STATUS_CRITICAL, why);
    findings_free(&findings);
    free(run);
    return;
  }
  attachment_service(run->attachment, r->instance->service); /* ctx.service; for the log's lines */
  attachment_subject(run->attachment, r->instance->address);
  run->all = all;
  run->handle = handle;
  run->registration = registration_ref(r);
  run->check = &run->registration->checks[i];
  run->next = all->buckets[handle % BUCKETS];
  all->buckets[handle % BUCKETS] = run;
  all->stats.running++;
  uv_timer_init(all->loop, &run->timer);
  run->timer.data = run;
  /* Spread over the interval, so that a thousand checks do not run in step for ever. */
  run_schedule(run, (int64_t)(clock_random_unit() * (double)check->interval_ns));
}

void checks_stop(struct checks *all, uint64_t handle) {
  for (struct run **p = &all->buckets[handle % BUCKETS]; *p; p = &(*p)->next)
    if ((*p)->handle == handle) {
      struct run *run = *p;
      *p = run->next;
      all->stats.running--;
      run_end(run);
      return;
    }
}

size_t checks_verify(struct plugins *plugins, const struct config *config,
                     struct findings *findings) {
  size_t before = findings->count;
  for (size_t s = 0; s < config->service_count; s++) {
    const struct registration *r = config->services[s];
    for (uint32_t i = 0; i < r->check_count; i++) {
      char path[600];
      snprintf(path, sizeof path, "services.%s.check.%s", r->instance->service,
               r->checks[i].plugin);
      struct attachment *a = NULL;
      if (attach(plugins, &r->checks[i], path, &a, findings) == 0)
        attachment_free(a);
    }
  }
  return findings->count - before;
}

size_t checks_verify_running(const struct checks *all, struct plugins *plugins,
                             struct findings *findings) {
  size_t before = findings->count;
  for (size_t i = 0; i < BUCKETS; i++)
    for (const struct run *run = all->buckets[i]; run; run = run->next) {
      struct attachment *a = NULL;
      if (run->registration->origin != ORIGIN_CONFIGURATION &&
          attach(plugins, run->check, run->check->id, &a, findings) == 0)
        attachment_free(a);
    }
  return findings->count - before;
}

void checks_stats(const struct checks *all, struct checks_stats *out) {
  *out = all->stats;
}
