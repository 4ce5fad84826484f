/* plan_show: the plans for those who look: explain and metrics. */
#include "agent/plans/plans_inside.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/metric.h"
#include "base/value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void plan_look_end(struct plan_look *l) {
  if (!l)
    return;
  free(l->rows);
  free(l->shares);
  free(l->shadow);
  free(l->shadow_shares);
  free(l);
}

static int fill(struct plan_look *l) {
  size_t room = l->q.count + 1;
  l->rows = calloc(room, sizeof *l->rows);
  l->shares = calloc(room, sizeof *l->shares);
  l->shadow = calloc(room, sizeof *l->shadow);
  l->shadow_shares = calloc(room, sizeof *l->shadow_shares);
  if (!l->rows || !l->shares || !l->shadow || !l->shadow_shares)
    return -ENOMEM;
  plan_from_registry(&l->q, l->rows);
  if (l->plan)
    outcome_apply(&l->plan->answered, &l->q, l->rows);
  int r = plan_shares(&l->q, l->rows, l->shares);
  if (r != 0 || !l->plan || !l->plan->pipeline)
    return r;
  plan_from_registry(&l->q, l->shadow);
  l->has_shadow = pipeline_shadow(l->plan->pipeline, &l->q, l->shadow);
  return l->has_shadow ? plan_shares(&l->q, l->shadow, l->shadow_shares) : 0;
}

int plans_look(struct plans *all, const char *service, struct plan_look **out) {
  struct set *s = sets_find(all->with.sets, service);
  struct plan_look *l = s ? calloc(1, sizeof *l) : NULL;
  if (!l)
    return s ? -ENOMEM : -ENOENT;
  l->plan = plans_find(all, service);
  set_question(s, &l->q);
  int r = fill(l);
  if (r == 0)
    *out = l;
  else
    plan_look_end(l);
  return r;
}

const struct plan_question *plan_look_question(const struct plan_look *l) {
  return &l->q;
}

/* ---- explain ---- */

void plan_row_show(struct buf *out, const struct plan_row *row, double share) {
  buf_text(out, "\"weight\":");
  buf_json_number(out, row->weight);
  buf_format(out, ",\"tier\":%u,\"drop\":%s", row->tier, row->drop ? "true" : "false");
  if (share >= 0) {
    buf_text(out, ",\"share\":");
    buf_json_number(out, share);
  }
}

static void show_time(struct buf *out, const char *key, int64_t at_us) {
  buf_format(out, ",\"%s\":", key);
  buf_json_number(out, (double)at_us / 1e6);
}

static void show_planned(const struct service_plan *p, struct buf *out) {
  if (p->planned.rows)
    show_time(out, "planned_at", p->planned.at_us);
  buf_text(out, ",\"earlier_plans\":[");
  for (size_t i = 0; i < p->history_count; i++) {
    buf_text(out, i ? "," : "");
    buf_json_number(out, (double)p->history[i].at_us / 1e6);
  }
  buf_char(out, ']');
  if (pipeline_shadow_moves(p->pipeline) >= 0) {
    buf_text(out, ",\"shadow_moves\":");
    buf_json_number(out, pipeline_shadow_moves(p->pipeline));
  }
}

void plan_look_service(const struct plan_look *l, struct buf *out) {
  const struct service_plan *p = l->plan;
  buf_format(out, ",\"frozen\":%s", p && p->hand.is_frozen ? "true" : "false");
  if (p && p->hand.is_frozen)
    show_time(out, "frozen_plan_of", p->hand.frozen.at_us);
  if (p && p->hand.is_frozen && p->hand.thaws_us)
    show_time(out, "frozen_until", p->hand.thaws_us);
  buf_text(out, ",\"stages\":[");
  for (size_t i = 0; p && p->pipeline && i < pipeline_stages(p->pipeline); i++) {
    buf_text(out, i ? "," : "");
    pipeline_show(p->pipeline, i, out);
  }
  buf_char(out, ']');
  if (p && p->pipeline)
    show_planned(p, out);
}

static void show_stages(const struct service_plan *p, const char *id, struct buf *out) {
  size_t shown = 0;
  buf_text(out, ",\"plan\":[");
  for (size_t i = 0; i < pipeline_stages(p->pipeline); i++) {
    const struct plan_row *said = pipeline_said(p->pipeline, i, id);
    if (!said)
      continue;
    buf_text(out, shown++ ? ",{\"stage\":" : "{\"stage\":");
    buf_json_text(out, pipeline_name(p->pipeline, i));
    buf_format(out, ",\"shadow\":%s,", pipeline_is_shadow(p->pipeline, i) ? "true" : "false");
    plan_row_show(out, said, -1);
    buf_char(out, '}');
  }
  buf_char(out, ']');
}

void plan_look_endpoint(const struct plan_look *l, size_t i, struct buf *out) {
  const struct instance *in = l->q.rows[i].instance;
  const struct override *o = l->plan ? hand_find(&l->plan->hand, in->id) : NULL;
  buf_char(out, ',');
  plan_row_show(out, &l->rows[i], l->shares[i]);
  buf_text(out, ",\"by\":");
  buf_json_text(out, plan_by_name((enum plan_by)l->rows[i].by));
  buf_text(out, ",\"registered_weight\":");
  buf_json_number(out, in->weight);
  if (l->plan && l->plan->pipeline)
    show_stages(l->plan, in->id, out);
  if (o) {
    buf_text(out, ",\"override\":{\"weight\":");
    buf_json_number(out, o->weight);
    show_time(out, "until", o->until_us);
    buf_char(out, '}');
  }
  if (l->has_shadow) {
    buf_text(out, ",\"with_shadow\":{");
    plan_row_show(out, &l->shadow[i], l->shadow_shares[i]);
    buf_char(out, '}');
  }
}

/* ---- metrics ---- */

static void shadow_metrics(const struct plans *all, struct buf *out) {
  bool any = false;
  for (uint32_t i = 0; i < all->table.count; i++) {
    const struct service_plan *p = all->table.items[i];
    double moves = p->pipeline ? pipeline_shadow_moves(p->pipeline) : -1;
    if (moves < 0)
      continue;
    if (!any)
      metric_family(out, "perigee_shadow_moves", "gauge",
                    "The part of a service's picks that its shadow balancers would move.");
    any = true;
    metric_sample(out, "perigee_shadow_moves", "service", p->service, moves);
  }
}

void plans_metrics(const struct plans *all, struct buf *out) {
  size_t planned = 0, failing = 0, overrides = 0, frozen = 0;
  for (uint32_t i = 0; i < all->table.count; i++) {
    const struct service_plan *p = all->table.items[i];
    planned += p->pipeline != NULL;
    failing += p->failing;
    overrides += p->hand.override_count;
    frozen += p->hand.is_frozen;
  }
  metric_gauge(out, "perigee_planned_services", "Services whose balancer has plugin stages.",
               planned);
  metric_gauge(out, "perigee_plans_failing", "Of these, whose last plan stays, as the next failed.",
               failing);
  metric_gauge(out, "perigee_overrides", "Weights that an operator has overridden.", overrides);
  metric_gauge(out, "perigee_frozen_services", "Services whose plan an operator has frozen.",
               frozen);
  metric_counter(out, "perigee_plan_runs_total", "Runs of balancer plugins.", all->stats.runs);
  metric_counter(out, "perigee_plan_faults_total", "Of these, that raised or were killed.",
                 all->stats.faults);
  metric_counter(out, "perigee_plan_refused_total", "Of these, that gave a weight which is none.",
                 all->stats.refused);
  metric_counter(out, "perigee_plan_kept_total", "Of these, that asked to keep the last plan.",
                 all->stats.kept);
  shadow_metrics(all, out);
}
