#include "agent/reload.h"

#include "agent/changes.h"
#include "agent/checks.h"
#include "agent/configure.h"
#include "agent/hooks/hooks.h"
#include "agent/node.h"
#include "agent/parts.h"
#include "agent/plans/plans.h"
#include "agent/plugins/plugins.h"
#include "agent/plugins/plugins_reload.h"
#include "agent/registries/registrars.h"
#include "agent/reload_watch.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/value.h"
#include "config/config.h"
#include "serve/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOGGED_MAX = 20 };

struct reload {
  struct agent *a;
  uv_timer_t turn; /* what follows a wait, in a turn of its own */
  uv_signal_t hangup;
  struct reload_watch *files;
  unsigned closing;
  bool busy, stopped;
  bool again; /* asked for meanwhile, by nobody who waits */
  /* of the one that is under way */
  struct config *next; /* NULL: only plugins */
  struct plugins *draft;
  struct server_door *door; /* another address for HTTP, or other workers; NULL: as they are */
  struct buf changes, plans;
  struct plan_preview *preview; /* of a dry run */
  size_t change_count;
  int64_t back_us; /* of a rollback: since when its version was in use; else 0 */
  bool dry;        /* a question: it fails nothing but itself */
  bool strict; /* uses of a plugin must pass its new schema, as nobody is about to change them */
  char hash[65];
  char why[64];
  struct fault unready;
  reload_reply reply;
  void *to;
  /* ever */
  uint64_t done, failed;
  int64_t last_us;
};

static void on_turn(uv_timer_t *timer);
static void preview_on(struct reload *r);

/* ---- how one ends ---- */

static void clear(struct reload *r) {
  plan_preview_free(r->preview);
  r->preview = NULL;
  plugins_abandon(r->a->plugins);
  plugins_free(r->draft);
  config_free(r->next);
  server_door_close(r->door);
  buf_free(&r->changes);
  buf_free(&r->plans);
  r->draft = NULL;
  r->next = NULL;
  r->door = NULL;
  r->busy = false;
  if (r->again && !r->stopped)
    uv_timer_start(&r->turn, on_turn, 0, 0);
}

static void answer(struct reload *r, int status, const char *text) {
  reload_reply reply = r->reply;
  r->reply = NULL;
  clear(r);
  if (reply)
    reply(r->to, status, text);
}

static void note_failure(struct reload *r, const struct findings *findings, const char *text) {
  r->failed++;
  hooks_reloaded(r->a->hooks, false, text);
  if (r->draft)
    plugins_note_failures(r->a->plugins, r->draft, text ? text : "out of memory");
  log_error("not reloaded: everything goes on as it was", LOG_S("why", r->why),
            LOG_I("mistakes", findings->count));
  for (size_t i = 0; i < findings->count && i < LOGGED_MAX; i++)
    log_error("a mistake", LOG_S("file", findings->items[i].file),
              LOG_I("line", findings->items[i].line), LOG_S("path", findings->items[i].path),
              LOG_S("error", findings->items[i].text));
}

static void fail(struct reload *r, int status, struct findings *findings) {
  struct buf text = {0};
  findings_sort(findings);
  findings_print(findings, &text);
  while (text.length && text.data[text.length - 1] == '\n')
    text.data[--text.length] = '\0';
  if (!r->dry)
    note_failure(r, findings, text.data);
  answer(r, status, text.data ? text.data : "out of memory");
  buf_free(&text);
  findings_free(findings);
}

static void fail_with(struct reload *r, const struct fault *f) {
  struct findings one = {0};
  findings_add(&one, NULL, "", "%s", f->text);
  fail(r, f->code ? f->code : -EINVAL, &one);
}

static void tell(struct reload *r, const char *before, bool applied) {
  struct buf text = {0};
  buf_format(&text, "{\"hash\":\"%s\",\"before\":\"%s\",\"applied\":%s,\"changes\":[", r->hash,
             before, applied ? "true" : "false");
  if (r->changes.data)
    buf_text(&text, r->changes.data);
  buf_text(&text, r->change_count ? "\n],\"plans\":[" : "],\"plans\":[");
  if (r->plans.data)
    buf_text(&text, r->plans.data);
  buf_char(&text, ']');
  if (r->back_us)
    buf_format(&text, ",\"version_of\":%.3f", (double)r->back_us / 1e6);
  buf_char(&text, '}');
  answer(r, text.failed ? -ENOMEM : 0, text.data);
  buf_free(&text);
}

/* ---- the last step: nothing below fails but for want of memory ---- */

static void watch_files(struct reload *r) {
  reload_watch_configure(r->files, r->a->config->reload_auto ? r->a->config : NULL);
}

static void apply_config(struct reload *r) {
  struct agent *a = r->a;
  struct config *old = a->config;
  struct fault f = {0};
  a->config = r->next;
  r->next = NULL;
  plugins_configure(a->plugins, a->config);
  node_configure(a, old);
  int rc = configure_parts(a, a->config, &f);
  int services = configure_services(a, a->config, rc ? &(struct fault){0} : &f);
  if (rc != 0 || services != 0)
    log_error("reloaded, but not all of it", LOG_S("error", f.text));
  if (r->door)
    server_move(a->server, r->door);
  r->door = NULL;
  log_set_level(a->config->log_level);
  log_set_json(a->config->log_json);
  watch_files(r);
  config_free(old);
}

static void commit(struct reload *r) {
  struct agent *a = r->a;
  struct fault f = {0};
  char before[65];
  bool whole = r->next != NULL;
  snprintf(before, sizeof before, "%s", a->config->hash);
  if (plugins_swap(a->plugins, r->draft, r->strict, &f) != 0) {
    fail_with(r, &f);
    return;
  }
  if (whole)
    apply_config(r);
  r->done++;
  r->last_us = clock_wall_us();
  log_info("reloaded", LOG_S("why", r->why), LOG_I("changes", r->change_count),
           LOG_S("config_hash", a->config->hash));
  hooks_reloaded(a->hooks, true, r->why);
  tell(r, before, true);
}

static void on_ready(void *arg, const struct fault *f) {
  struct reload *r = arg;
  r->unready = *f;
  uv_timer_start(&r->turn, on_turn, 0, 0);
}

static void prepare(struct reload *r) {
  struct fault f = {0};
  r->unready = (struct fault){0};
  if (plugins_prepare(r->a->plugins, r->draft, r->strict, &f) != 0)
    fail_with(r, &f);
  else if (!plugins_make_ready(r->a->plugins, on_ready, r))
    commit(r);
}

static void on_turn(uv_timer_t *timer) {
  struct reload *r = timer->data;
  if (r->busy && r->preview) {
    preview_on(r);
  } else if (r->busy && r->unready.code != 0) {
    fail_with(r, &r->unready);
  } else if (r->busy) {
    commit(r);
  } else if (r->again) {
    r->again = false;
    reload_begin(r, &(struct reload_wish){.why = "changed meanwhile"}, NULL, NULL);
  }
}

/* ---- what is verified before ---- */

static void refuse_change(const char *key, const char *old, const char *new, const char *why,
                          const struct config *config, struct findings *findings) {
  if (strcmp(old, new) != 0)
    findings_add(findings, value_get(config->root, key), key,
                 "cannot change while the agent runs, from \"%s\" to \"%s\": %s", old, new, why);
}

static void refuse_fixed(const struct config *old, const struct config *new,
                         struct findings *findings) {
  refuse_change("run_dir", old->run_dir, new->run_dir,
                "processes have its catalog mapped, and would never hear of another one; stop the "
                "agent, start it again, and open the new directory in what picks",
                new, findings);
  refuse_change("data_dir", old->data_dir, new->data_dir,
                "registrations, leases and the agent's identity are kept there; stop the agent, "
                "move the directory, and start it again",
                new, findings);
}

/* A dry run opens no other address. */
static void open_door(struct reload *r, bool dry, struct findings *findings) {
  const struct config *old = r->a->config, *new = r->next;
  bool same = old->http && new->http ? strcmp(old->http, new->http) == 0 : old->http == new->http;
  const struct server_place place = {new->http, !same, new->workers};
  struct fault f;
  if (dry || (same && old->workers == new->workers))
    return;
  if (server_door_open(r->a->server, &place, &r->door, &f) != 0)
    findings_add(findings, value_get(new->root, "http"), "http", "%s", f.text);
}

static bool is_hash(struct reload *r, const struct reload_wish *wish, struct findings *findings) {
  if (!wish->if_hash || strcasecmp(wish->if_hash, r->hash) == 0)
    return true;
  findings_add(findings, NULL, "", "what is there has the hash %s, not %s", r->hash, wish->if_hash);
  return false;
}

/* A name for a text that came by itself, beside the configuration that is in use: what findings
 * call it, and where it finds what it includes. */
static char *name_piped(const struct config *c) {
  const char *slash = c->file ? strrchr(c->file, '/') : NULL;
  char *name;
  int length = slash ? (int)(slash - c->file) + 1 : 0;
  return asprintf(&name, "%.*s(piped)", length, slash ? c->file : "") < 0 ? NULL : name;
}

/* Everything of it, in a table of plugins that nobody calls. */
static void draft_config(struct reload *r, const struct reload_wish *wish,
                         struct findings *findings) {
  struct agent *a = r->a;
  struct config_options options = a->config->given;
  if (wish->file) {
    options.of = a->config->file;
    options.file = wish->file;
  }
  char *name = wish->text ? name_piped(a->config) : NULL;
  if (name) {
    options.file = name;
    options.text = wish->text;
  }
  int rc = config_load(&options, &r->next, findings);
  free(name);
  if (r->next)
    memcpy(r->hash, r->next->hash, sizeof r->hash);
  if (rc == 0 && !is_hash(r, wish, findings))
    return;
  if (!r->next || !(r->draft = plugins_new(a->vm, r->next))) {
    findings->failed |= rc == 0;
    return;
  }
  plugins_draft_host(r->draft, node_facts(r->next));
  configure_verify(r->draft, r->next, findings);
  checks_verify_running(a->checks, r->draft, findings);
  plugins_draft_unused(a->plugins, r->draft);
  refuse_fixed(a->config, r->next, findings);
  registrars_refuse(a->registrars, r->draft, r->next, findings);
  if (findings->count == 0)
    open_door(r, wish->dry, findings);
}

static void draft_plugin(struct reload *r, const struct reload_wish *wish,
                         struct findings *findings) {
  struct agent *a = r->a;
  struct plugin *p, *fresh;
  struct fault f = {.text = "out of memory"};
  r->draft = plugins_new(a->vm, a->config);
  int rc = r->draft ? plugins_named(a->plugins, wish->plugin, &p, &f) : -ENOMEM;
  if (rc == 0 && !wish->back)
    plugins_draft_anew(r->draft, wish->fresh);
  if (rc == 0 && wish->back)
    rc = plugins_draft_good(r->draft, a->plugins, p, &r->back_us, &f);
  if (rc == 0)
    rc = plugins_get(r->draft, plugin_kind(p), plugin_name(p), &fresh, &f);
  if (rc != 0) {
    findings_add(findings, NULL, "", "%s", f.text);
    return;
  }
  memcpy(r->hash, plugin_hash(fresh), sizeof r->hash);
  is_hash(r, wish, findings);
}

/* By and by, as long as nothing else is done. */
static void preview_on(struct reload *r) {
  if (!plan_preview_run(r->preview))
    uv_timer_start(&r->turn, on_turn, 1, 0);
  else
    tell(r, r->a->config->hash, false);
}

static void preview_plans(struct reload *r) {
  const struct plans_draft draft = {.old = r->a->config,
                                    .next = r->next ? r->next : r->a->config,
                                    .plugins = r->draft,
                                    .whole = r->next != NULL};
  r->preview = plan_preview_new(r->a->plans, &draft, &r->plans);
  if (r->preview)
    preview_on(r);
  else
    fail_with(r, &(struct fault){-ENOMEM, "out of memory"});
}

/* ---- its beginning ---- */

static bool refuse(struct reload *r, reload_reply reply, void *to) {
  if (!r->busy && !r->stopped)
    return false;
  if (reply)
    reply(to, r->stopped ? -ESHUTDOWN : -EBUSY,
          r->stopped ? "the agent is stopping" : "a reload is under way: try again in a moment");
  else
    r->again = true;
  return true;
}

void reload_begin(struct reload *r, const struct reload_wish *wish, reload_reply reply, void *to) {
  struct agent *a = r->a;
  struct findings findings = {0};
  char before[65];
  if (refuse(r, reply, to))
    return;
  r->busy = true;
  r->reply = reply;
  r->to = to;
  r->strict = wish->plugin != NULL;
  r->back_us = 0;
  r->dry = wish->dry;
  snprintf(r->why, sizeof r->why, "%s", wish->why);
  if (wish->plugin)
    draft_plugin(r, wish, &findings);
  else
    draft_config(r, wish, &findings);
  if (findings.count || findings.failed) {
    fail(r, -EINVAL, &findings);
    return;
  }
  r->change_count = changes_write(a->config, r->next, a->plugins, r->draft, &r->changes);
  snprintf(before, sizeof before, "%s", a->config->hash);
  bool same = r->change_count == 0 && (!r->next || strcmp(before, r->hash) == 0);
  if (same && !wish->dry)
    log_debug("nothing to reload", LOG_S("why", r->why));
  if (wish->dry && r->change_count)
    preview_plans(r);
  else if (wish->dry || same)
    tell(r, before, false);
  else
    prepare(r);
}

static void on_files(void *arg) {
  reload_begin(arg, &(struct reload_wish){.why = "a file has changed"}, NULL, NULL);
}

static void on_hangup(uv_signal_t *signal, int number) {
  reload_begin(signal->data, &(struct reload_wish){.why = "SIGHUP"}, NULL, NULL);
}

struct reload *reload_new(struct agent *a) {
  struct reload *r = calloc(1, sizeof *r);
  if (!r)
    return NULL;
  r->a = a;
  uv_timer_init(&a->loop, &r->turn);
  uv_signal_init(&a->loop, &r->hangup);
  r->turn.data = r->hangup.data = r;
  r->closing = 2;
  r->files = reload_watch_new(&a->loop, a->io, a->plugins, on_files, r);
  if (!r->files) {
    reload_free(r);
    return NULL;
  }
  watch_files(r);
  uv_signal_start(&r->hangup, on_hangup, SIGHUP);
  return r;
}

void reload_stop(struct reload *r) {
  if (!r || r->stopped)
    return;
  r->stopped = true;
  reload_watch_free(r->files);
  uv_timer_stop(&r->turn);
  if (r->busy)
    answer(r, -ESHUTDOWN, "the agent is stopping");
}

static void on_closed(uv_handle_t *handle) {
  struct reload *r = handle->data;
  if (--r->closing == 0)
    free(r);
}

void reload_free(struct reload *r) {
  if (!r)
    return;
  reload_stop(r);
  uv_close((uv_handle_t *)&r->turn, on_closed);
  uv_close((uv_handle_t *)&r->hangup, on_closed);
}

/* ---- metrics ---- */

void reload_metrics(const struct reload *r, struct buf *out) {
  metric_counter(out, "perigee_reloads_total", "Reloads that were applied.", r->done);
  metric_counter(out, "perigee_reload_failures_total", "Reloads that were refused.", r->failed);
  metric_family(out, "perigee_config_info", "gauge",
                "The sha256 of the configuration that is used.");
  metric_sample(out, "perigee_config_info", "hash", r->a->config->hash, 1);
  if (r->last_us)
    metric_gauge(out, "perigee_reload_time_seconds", "Unix time of the last reload.",
                 (double)r->last_us / 1e6);
}
