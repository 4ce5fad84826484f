#include "agent/explain.h"

#include "agent/parts.h"
#include "agent/plans/plans.h"
#include "agent/policies/policies.h"
#include "agent/registries/registrars.h"
#include "agent/watches/watches.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "registry/embedded.h"
#include "select/select.h"
#include "watch/balancer.h"

#include <errno.h>
#include <string.h>

/* Its checks here, when it is registered with this agent. */
static void add_checks(struct buf *out, const struct registration_state *s) {
  const struct registration *r = s->registration;
  buf_member(out, "checks");
  buf_char(out, '[');
  for (uint32_t i = 0; i < r->check_count; i++) {
    buf_json_next(out);
    buf_char(out, '{');
    buf_member_text(out, "id", r->checks[i].id);
    buf_member_text(out, "plugin", r->checks[i].plugin);
    buf_member_text(out, "status", status_name(s->checks[i].status));
    buf_member_text(out, "output", s->checks[i].output);
    buf_char(out, '}');
  }
  buf_char(out, ']');
}

static void add_policy(struct buf *out, const struct policy_view *view) {
  buf_member(out, "policy");
  buf_char(out, '{');
  buf_member_text(out, "verdict", view->verdict);
  buf_member_text(out, "reason", view->reason);
  buf_member_text(out, "by", view->policy);
  buf_member_text(out, "trouble", view->trouble);
  buf_member_flag(out, "registered", view->registered);
  buf_char(out, '}');
}

static void add_live(struct buf *out, const struct plan_question *q, const struct set_row *row) {
  struct plan_live live = q->live ? q->live(q->live_arg, row) : (struct plan_live){0};
  buf_member_number(out, "in_flight", live.in_flight);
  if (live.latency_ns)
    buf_member_number(out, "latency_seconds", (double)live.latency_ns / 1e9);
  buf_member_flag(out, "ejected", live.ejected);
  if (row->born_ns) /* else it was there before this agent */
    buf_member_number(out, "age_seconds", (double)(q->now_ns - row->born_ns) / 1e9);
}

static void begin_endpoint(struct buf *out, const struct instance *in, enum status status) {
  buf_json_next(out);
  buf_char(out, '{');
  buf_member_text(out, "id", in->id);
  buf_member_text(out, "address", in->address);
  buf_member_number(out, "port", in->port);
  buf_member_text(out, "zone", in->zone);
  buf_member_text(out, "status", status_name(status));
}

static void add_endpoint(struct agent *a, const struct plan_look *look, size_t i, struct buf *out) {
  const struct plan_question *q = plan_look_question(look);
  const struct set_row *row = &q->rows[i];
  const struct instance *in = row->instance;
  const struct registration_state *own = embedded_find(a->embedded, in->id);
  struct policy_view policy;
  begin_endpoint(out, in, row->status);
  buf_member(out, "from");
  watches_show_sources(a->watches, q->service, in, out);
  if (own && strcmp(own->registration->instance->service, q->service) == 0)
    add_checks(out, own);
  if (policies_explain(a->policies, in->id, &policy) && strcmp(policy.service, q->service) == 0)
    add_policy(out, &policy);
  if (!selection_has(&q->rules->select, in))
    buf_member_flag(out, "selected", false);
  add_live(out, q, row);
  plan_look_endpoint(look, i, out);
  buf_char(out, '}');
}

static void add_set(struct agent *a, const struct plan_look *look, struct buf *out) {
  const struct plan_question *q = plan_look_question(look);
  const struct set *s = sets_find(a->sets, q->service);
  int64_t stale = set_stale_ns(s);
  buf_member_number(out, "version", (double)set_version(s));
  buf_member_flag(out, "stale", stale != 0);
  if (stale)
    buf_member_number(out, "stale_seconds", (double)(clock_now_ns() - stale) / 1e9);
  buf_member_text(out, "balancer", select_by_name(q->rules->algorithm)->name);
  if (q->rules->chooser.name) /* in this agent; elsewhere the balancer is its standin */
    buf_member_text(out, "picked_by", q->rules->chooser.name);
  watches_show_merge(a->watches, q->service, out);
  registrars_show_taken(a->registrars, q->service, out);
  plan_look_service(look, out);
}

/* What a policy does not let become an endpoint. */
struct held_back {
  struct agent *a;
  const char *service;
  struct buf list;
};

static void add_held_back(void *arg, const struct policy_view *view) {
  struct held_back *held = arg;
  const struct registration_state *s = embedded_find(held->a->embedded, view->id);
  if (!s || strcmp(view->service, held->service) != 0)
    return;
  begin_endpoint(&held->list, s->registration->instance, s->status);
  add_checks(&held->list, s);
  add_policy(&held->list, view);
  buf_char(&held->list, '}');
}

static void add_drained(void *list, const struct instance *in) {
  buf_json_next(list);
  buf_json_text(list, in->id);
}

int explain_service(struct agent *a, const char *service, struct buf *out, struct fault *f) {
  struct plan_look *look = NULL;
  struct held_back held = {.a = a, .service = service};
  struct buf drained = {0};
  int r = plans_look(a->plans, service, &look);
  if (r != 0 && r != -ENOENT)
    return fault_set(f, r, "%s", strerror(-r));
  buf_char(&held.list, '[');
  policies_each_held_back(a->policies, add_held_back, &held);
  buf_char(&drained, '[');
  policies_each_drained(a->policies, service, add_drained, &drained);
  if (!look && held.list.length == 1 && drained.length == 1) {
    buf_free(&held.list);
    buf_free(&drained);
    return fault_set(f, r, "No service \"%.255s\" is known here: GET /v1/services lists what is.",
                     service);
  }
  buf_char(out, '{');
  buf_member_text(out, "service", service);
  if (look)
    add_set(a, look, out);
  buf_member(out, "endpoints");
  buf_char(out, '[');
  for (size_t i = 0; look && i < plan_look_question(look)->count; i++)
    add_endpoint(a, look, i, out);
  buf_char(out, ']');
  buf_member(out, "held_back");
  buf_add(out, held.list.data, held.list.length);
  buf_text(out, "],\"drained\":");
  buf_add(out, drained.data, drained.length);
  buf_text(out, "]}");
  buf_free(&held.list);
  buf_free(&drained);
  plan_look_end(look);
  return 0;
}
