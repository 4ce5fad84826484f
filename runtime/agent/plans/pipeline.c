#include "agent/plans/pipeline_inside.h"

#include "agent/plugins/plugins.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/log.h"
#include "watch/balancer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t prepare_ns = 10 * INT64_C(1000000000); /* for one `prepare` */
static const double soonest_s = 0.01;                       /* a shorter `every` is as long */

static const char *const state_names[] = {"not run", "well", "keeps", "fails", "quarantined"};

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
  struct step *s = arg;
  stop_preparing(s);
  run_end(s->pipeline);
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
  run_end(p);
  for (size_t i = 0; i < p->count; i++) {
    struct step *s = &p->steps[i];
    stop_preparing(s);
    attachment_free(s->attachment);
    outcome_free(&s->said);
  }
  outcome_free(&p->shadow);
  free(p->rows);
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

/* ---- prepare ---- */

static void prepare_over(void *arg, const struct call_result *result) {
  struct step *s = arg;
  struct pipeline *p = s->pipeline;
  s->preparing = NULL;
  if (result->status == -ECANCELED)
    return;
  const char *why = result->status ? result->fault->text : NULL;
  if (result->status == 0 && result->results >= 1 && lua_isnil(result->L, -result->results))
    why = call_text(result, 2) ? call_text(result, 2) : "it gave no reason";
  plugins_note(p->plugins, attachment_plugin(s->attachment),
               result->status != 0 && result->status != -ETIMEDOUT);
  if (why && !s->unprepared)
    log_warn("balancer plugin could not prepare; what it knows stays",
             LOG_S("plugin", step_name(s)), LOG_S("service", p->service), LOG_S("error", why));
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
  run_end(p);
  for (size_t i = 0; i < p->count; i++)
    if (p->steps[i].shadow && strcmp(step_name(&p->steps[i]), name) == 0) {
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
  return step_name(&p->steps[i]);
}

bool pipeline_is_shadow(const struct pipeline *p, size_t i) {
  return step_is_shadow(&p->steps[i]);
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
  buf_format(out, ",\"shadow\":%s,\"promoted\":%s,\"state\":", step_is_shadow(s) ? "true" : "false",
             s->promoted ? "true" : "false");
  buf_json_text(out, state_names[s->state]);
  if (*s->why) {
    buf_text(out, ",\"reason\":");
    buf_json_text(out, s->why);
  }
  buf_char(out, '}');
}
