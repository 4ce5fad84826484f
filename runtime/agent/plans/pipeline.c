#include "agent/plans/pipeline.h"

#include "agent/plugins/plugins.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/log.h"
#include "vm/bind_endpoints.h"
#include "watch/balancer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t prepare_ns = 10 * INT64_C(1000000000); /* for one `prepare` */
static const double soonest_s = 0.01;                       /* a shorter `every` is as long */
static const double shadow_step = 0.01; /* moves so much more or less: worth a line */

enum state { NOT_RUN, WELL, KEEPS, FAILS, QUARANTINED };
static const char *const state_names[] = {"not run", "well", "keeps", "fails", "quarantined"};

struct step {
  struct pipeline *pipeline;
  struct attachment *attachment;
  bool shadow, promoted;
  enum state state;
  char why[300]; /* it keeps or fails */
  struct outcome said;
  bool prepares, prepared; /* it has a `prepare`; that has ended once */
  struct call *preparing;
  bool unprepared; /* that went wrong the last time */
};

struct pipeline {
  struct plugins *plugins;
  struct pipeline_stats *stats;
  char *service;
  struct step *steps;
  size_t count;
  const struct pipeline_events *events; /* NULL: nobody is told */
  void *events_arg;
  /* The last run's: what the shadows made of it, and the part of the picks that this moves. */
  struct outcome shadow;
  double moves, told; /* below 0: not known */
  /* Scratch, room for so many rows. */
  struct plan_row *aside;
  bool *hidden;
  size_t room;
};

static const char *name_of(const struct step *s) {
  return plugin_name(attachment_plugin(s->attachment));
}

static bool is_shadow(const struct step *s) {
  return s->shadow && !s->promoted;
}

/* ---- its beginning and its end ---- */

static void stop_preparing(struct step *s) {
  if (!s->preparing)
    return;
  call_cancel(s->preparing);
  s->preparing = NULL;
  plugins_note(s->pipeline->plugins, attachment_plugin(s->attachment), false);
}

/* What the old version finds, the new one finds again. */
static void leaving(void *arg) {
  stop_preparing(arg);
}

static void arrived(void *arg) {
  struct step *s = arg;
  struct pipeline *p = s->pipeline;
  s->prepares = plugin_provides(attachment_plugin(s->attachment), "prepare");
  s->prepared = false;
  if (p->events)
    p->events->reloaded(p->events_arg);
}

static const struct attachment_events follow = {leaving, arrived};

static int attach(struct pipeline *p, const struct balancer_plan *plan, const char *path,
                  struct findings *findings) {
  struct step *s = &p->steps[p->count];
  struct plugin *plugin;
  struct fault f;
  char own[400];
  snprintf(own, sizeof own, "%.250s.%.100s", path, plan->name);
  int r = plugins_get(p->plugins, "balancer", plan->name, &plugin, &f);
  if (r != 0) {
    findings_add(findings, plan->options, own, "%s", f.text);
    return r;
  }
  r = plugin_attach(plugin, plan->options, own, &s->attachment, findings);
  if (r != 0)
    return r;
  *s = (struct step){.pipeline = p,
                     .attachment = s->attachment,
                     .shadow = plan->shadow,
                     .prepares = plugin_provides(plugin, "prepare")};
  p->count++;
  attachment_follow(s->attachment, &follow, s);
  return attachment_service(s->attachment, p->service);
}

int pipeline_new(struct plugins *plugins, const char *service, const struct balancer *rules,
                 const char *path, struct pipeline_stats *stats, struct pipeline **out,
                 struct findings *findings) {
  struct pipeline *p = calloc(1, sizeof *p);
  int r = p ? 0 : -ENOMEM;
  if (p) {
    *p = (struct pipeline){.plugins = plugins, .stats = stats, .moves = -1, .told = -1};
    p->service = strdup(service);
    p->steps = calloc(rules->plan_count ? rules->plan_count : 1, sizeof *p->steps);
    r = p->service && p->steps ? 0 : -ENOMEM;
  }
  for (size_t i = 0; r == 0 && i < rules->plan_count; i++)
    r = attach(p, &rules->plans[i], path, findings);
  if (r == -ENOMEM)
    findings_add(findings, NULL, path, "out of memory");
  if (r == 0)
    *out = p;
  else
    pipeline_free(p);
  return r;
}

void pipeline_free(struct pipeline *p) {
  if (!p)
    return;
  for (size_t i = 0; i < p->count; i++) {
    struct step *s = &p->steps[i];
    stop_preparing(s);
    attachment_free(s->attachment);
    outcome_free(&s->said);
  }
  outcome_free(&p->shadow);
  free(p->aside);
  free(p->hidden);
  free(p->steps);
  free(p->service);
  free(p);
}

void pipeline_tell(struct pipeline *p, const struct pipeline_events *events, void *arg) {
  p->events = events;
  p->events_arg = arg;
}

/* ---- a run ---- */

/* Said once, not at each run. */
static void step_becomes(struct step *s, enum state state, const char *why) {
  bool news = s->state != state || strcmp(s->why, why) != 0;
  bool was_bad = s->state == FAILS || s->state == QUARANTINED;
  s->state = state;
  snprintf(s->why, sizeof s->why, "%s", why);
  if (!news || !s->pipeline->events) /* a question what would be is no news */
    return;
  if (state == WELL && was_bad)
    log_info("balancer plugin plans again", LOG_S("plugin", name_of(s)),
             LOG_S("service", s->pipeline->service));
  else if (state == KEEPS)
    log_info("balancer plugin keeps the last plan", LOG_S("plugin", name_of(s)),
             LOG_S("service", s->pipeline->service), LOG_S("reason", why));
  else if (state == FAILS)
    log_error("balancer plugin failed; the last plan stays", LOG_S("plugin", name_of(s)),
              LOG_S("service", s->pipeline->service), LOG_S("error", why));
}

static int step_run(struct step *s, const struct plan_run *run, struct fault *f) {
  struct pipeline *p = s->pipeline;
  struct plugin *plugin = attachment_plugin(s->attachment);
  if (isolate_busy(plugin_isolate(plugin)))
    return -EAGAIN;
  if (!plugins_allows(p->plugins, plugin)) {
    s->state = QUARANTINED; /* for why it failed last */
    return fault_set(f, -EPERM, "it is in quarantine");
  }
  int r = plan_run(s->attachment, run, f);
  plugins_note(p->plugins, plugin, r != 0 && r != -ENODATA);
  p->stats->runs++;
  p->stats->kept += r == -ENODATA;
  p->stats->refused += r == -EINVAL;
  p->stats->faults += r != 0 && r != -ENODATA && r != -EINVAL;
  step_becomes(s, r == 0 ? WELL : r == -ENODATA ? KEEPS : FAILS, r == 0 ? "" : f->text);
  return r;
}

static int scratch_reserve(struct pipeline *p, size_t count) {
  if (count <= p->room)
    return 0;
  struct plan_row *aside = realloc(p->aside, count * 2 * sizeof *aside);
  p->aside = aside ? aside : p->aside;
  bool *hidden = realloc(p->hidden, count * 2 * sizeof *hidden);
  p->hidden = hidden ? hidden : p->hidden;
  if (!aside || !hidden)
    return -ENOMEM;
  p->room = count * 2;
  return 0;
}

static const bool *hide_unselected(struct pipeline *p, const struct plan_question *q) {
  const struct selection *select = &q->rules->select;
  if (!selection_chooses(select))
    return NULL;
  for (size_t i = 0; i < q->count; i++)
    p->hidden[i] = !selection_has(select, q->rows[i].instance);
  return p->hidden;
}

static void shadow_tell(struct pipeline *p) {
  if (!p->events || (p->told >= 0 && fabs(p->moves - p->told) < shadow_step))
    return;
  p->told = p->moves;
  log_info("what a shadow would move", LOG_S("service", p->service),
           LOG_N("share_of_picks", p->moves));
}

/* What the shadows made of the same endpoints, against what is in force. */
static void shadow_compare(struct pipeline *p, const struct plan_question *q,
                           const struct plan_row *rows) {
  double *shares = malloc((q->count * 2 + 1) * sizeof *shares);
  p->moves = -1;
  if (shares && plan_shares(q, rows, shares) == 0 &&
      plan_shares(q, p->aside, shares + q->count) == 0 &&
      outcome_set(&p->shadow, q, p->aside) == 0) {
    p->moves = plan_moved(shares, shares + q->count, q->count);
    shadow_tell(p);
  }
  free(shares);
}

int pipeline_run(struct pipeline *p, const struct plan_question *q, struct plan_row *rows,
                 struct fault *f) {
  bool forked = false, broken = false;
  if (scratch_reserve(p, q->count + 1) != 0)
    return fault_set(f, -ENOMEM, "out of memory");
  const bool *hidden = hide_unselected(p, q);
  const struct plan_run live = {q, rows, hidden}, aside = {q, p->aside, hidden};
  for (size_t i = 0; i < p->count; i++) {
    struct step *s = &p->steps[i];
    struct fault why = {0};
    int r = 0;
    if (is_shadow(s) && !forked) {
      memcpy(p->aside, rows, q->count * sizeof *rows);
      forked = true;
    }
    if (!is_shadow(s))
      r = step_run(s, &live, &why);
    if (r == 0 && forked && !broken)
      broken = step_run(s, &aside, &why) != 0;
    if (r != 0)
      return r == -EAGAIN ? r : fault_set(f, r, "%.80s: %.380s", name_of(s), why.text);
    if (is_shadow(s) && broken)
      continue; /* what it said last stays */
    if (outcome_set(&s->said, q, is_shadow(s) ? p->aside : rows) != 0)
      return fault_set(f, -ENOMEM, "out of memory");
  }
  if (forked && !broken)
    shadow_compare(p, q, rows);
  else
    p->moves = -1;
  return 0;
}

/* ---- prepare ---- */

static void prepare_over(void *arg, const struct call_result *result) {
  struct step *s = arg;
  struct pipeline *p = s->pipeline;
  s->preparing = NULL;
  if (result->status == -ECANCELED)
    return;
  const char *why = result->status ? result->fault->text : NULL;
  if (result->status == 0 && result->results >= 1 && lua_isnil(result->L, -result->results))
    why = result->results >= 2 && lua_type(result->L, 1 - result->results) == LUA_TSTRING
              ? lua_tostring(result->L, 1 - result->results)
              : "it gave no reason";
  plugins_note(p->plugins, attachment_plugin(s->attachment),
               result->status != 0 && result->status != -ETIMEDOUT);
  if (why && !s->unprepared)
    log_warn("balancer plugin could not prepare; what it knows stays", LOG_S("plugin", name_of(s)),
             LOG_S("service", p->service), LOG_S("error", why));
  s->unprepared = why != NULL;
  s->prepared = true;
  if (!why && p->events)
    p->events->prepared(p->events_arg); /* it may free the pipeline */
}

bool pipeline_prepare(struct pipeline *p) {
  bool any = false;
  for (size_t i = 0; i < p->count; i++) {
    struct step *s = &p->steps[i];
    any = any || s->prepares;
    if (!s->prepares || s->preparing ||
        !plugins_allows(p->plugins, attachment_plugin(s->attachment)))
      continue;
    if (attachment_call(s->attachment, "prepare", NULL, prepare_over, s, prepare_ns,
                        &s->preparing) == 0)
      continue;
    plugins_note(p->plugins, attachment_plugin(s->attachment), true);
    s->prepared = true;
  }
  return any;
}

bool pipeline_ready(const struct pipeline *p) {
  for (size_t i = 0; i < p->count; i++)
    if (p->steps[i].prepares && !p->steps[i].prepared)
      return false;
  return true;
}

double pipeline_every(const struct pipeline *p) {
  double first = 0;
  for (size_t i = 0; i < p->count; i++) {
    double every = plugin_every(attachment_plugin(p->steps[i].attachment));
    every = every > 0 && every < soonest_s ? soonest_s : every;
    if (every > 0 && (first == 0 || every < first))
      first = every;
  }
  return first;
}

/* ---- shadows ---- */

bool pipeline_promote(struct pipeline *p, const char *name, bool live) {
  bool any = false;
  for (size_t i = 0; i < p->count; i++)
    if (p->steps[i].shadow && strcmp(name_of(&p->steps[i]), name) == 0) {
      p->steps[i].promoted = live;
      any = true;
    }
  return any;
}

double pipeline_shadow_moves(const struct pipeline *p) {
  return p->moves;
}

bool pipeline_shadow(const struct pipeline *p, const struct plan_question *q,
                     struct plan_row *rows) {
  return p->moves >= 0 && outcome_apply(&p->shadow, q, rows) > 0;
}

/* ---- for those who look ---- */

size_t pipeline_stages(const struct pipeline *p) {
  return p->count;
}

const struct plan_row *pipeline_said(const struct pipeline *p, size_t i, const char *id) {
  return outcome_find(&p->steps[i].said, id);
}

const char *pipeline_name(const struct pipeline *p, size_t i) {
  return name_of(&p->steps[i]);
}

bool pipeline_is_shadow(const struct pipeline *p, size_t i) {
  return is_shadow(&p->steps[i]);
}

void pipeline_show(const struct pipeline *p, size_t i, struct buf *out) {
  const struct step *s = &p->steps[i];
  const struct plugin *plugin = attachment_plugin(s->attachment);
  buf_text(out, "{\"plugin\":");
  buf_json_text(out, plugin_name(plugin));
  buf_text(out, ",\"file\":");
  buf_json_text(out, plugin_path(plugin));
  buf_text(out, ",\"hash\":");
  buf_json_text(out, plugin_hash(plugin));
  buf_format(out, ",\"shadow\":%s,\"promoted\":%s,\"state\":", is_shadow(s) ? "true" : "false",
             s->promoted ? "true" : "false");
  buf_json_text(out, state_names[s->state]);
  if (*s->why) {
    buf_text(out, ",\"reason\":");
    buf_json_text(out, s->why);
  }
  buf_char(out, '}');
}
