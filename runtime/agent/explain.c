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

static void member(struct buf *out, const char *key, const char *text) {
  buf_format(out, ",\"%s\":", key);
  if (text)
    buf_json_text(out, text);
  else
    buf_text(out, "null");
}

static void number(struct buf *out, const char *key, double n) {
  buf_format(out, ",\"%s\":", key);
  buf_json_number(out, n);
}

/* Its checks here, when it is registered with this agent. */
static void add_checks(struct buf *out, const struct registration_state *s) {
  const struct registration *r = s->registration;
  buf_text(out, ",\"checks\":[");
  for (uint32_t i = 0; i < r->check_count; i++) {
    buf_text(out, i ? ",{\"id\":" : "{\"id\":");
    buf_json_text(out, r->checks[i].id);
    member(out, "plugin", r->checks[i].plugin);
    member(out, "status", status_name(s->checks[i].status));
    member(out, "output", s->checks[i].output);
    buf_char(out, '}');
  }
  buf_char(out, ']');
}

static void add_policy(struct buf *out, const struct policy_view *view) {
  buf_text(out, ",\"policy\":{\"verdict\":");
  buf_json_text(out, view->verdict);
  member(out, "reason", view->reason);
  member(out, "by", view->policy);
  buf_format(out, ",\"registered\":%s}", view->registered ? "true" : "false");
}

static void add_live(struct buf *out, const struct plan_question *q, const struct set_row *row) {
  struct plan_live live = q->live ? q->live(q->live_arg, row) : (struct plan_live){0};
  number(out, "in_flight", live.in_flight);
  if (live.latency_ns)
    number(out, "latency_seconds", (double)live.latency_ns / 1e9);
  buf_format(out, ",\"ejected\":%s", live.ejected ? "true" : "false");
  if (row->born_ns) /* else it was there before this agent */
    number(out, "age_seconds", (double)(q->now_ns - row->born_ns) / 1e9);
}

static void add_endpoint(struct agent *a, const struct plan_look *look, size_t i, struct buf *out) {
  const struct plan_question *q = plan_look_question(look);
  const struct set_row *row = &q->rows[i];
  const struct instance *in = row->instance;
  const struct registration_state *own = embedded_find(a->embedded, in->id);
  struct policy_view policy;
  buf_text(out, i ? ",{\"id\":" : "{\"id\":");
  buf_json_text(out, in->id);
  member(out, "address", in->address);
  number(out, "port", in->port);
  member(out, "zone", in->zone);
  member(out, "status", status_name(row->status));
  buf_text(out, ",\"from\":");
  watches_show_sources(a->watches, q->service, in, out);
  if (own && strcmp(own->registration->instance->service, q->service) == 0)
    add_checks(out, own);
  if (policies_explain(a->policies, in->id, &policy) && strcmp(policy.service, q->service) == 0)
    add_policy(out, &policy);
  if (!selection_has(&q->rules->select, in))
    buf_text(out, ",\"selected\":false");
  add_live(out, q, row);
  plan_look_endpoint(look, i, out);
  buf_char(out, '}');
}

int explain_service(struct agent *a, const char *service, struct buf *out, struct fault *f) {
  struct plan_look *look;
  int r = plans_look(a->plans, service, &look);
  if (r == -ENOENT)
    return fault_set(f, r, "No service \"%.255s\" is known here: GET /v1/services lists what is.",
                     service);
  if (r != 0)
    return fault_set(f, r, "%s", strerror(-r));
  const struct plan_question *q = plan_look_question(look);
  const struct set *s = sets_find(a->sets, service);
  int64_t stale = set_stale_ns(s);
  buf_text(out, "{\"service\":");
  buf_json_text(out, service);
  number(out, "version", (double)set_version(s));
  buf_format(out, ",\"stale\":%s", stale ? "true" : "false");
  if (stale)
    number(out, "stale_seconds", (double)(clock_now_ns() - stale) / 1e9);
  member(out, "balancer", select_by_name(q->rules->algorithm)->name);
  if (q->rules->chooser.name) /* in this agent; elsewhere the balancer is its standin */
    member(out, "picked_by", q->rules->chooser.name);
  watches_show_merge(a->watches, service, out);
  registrars_show_taken(a->registrars, service, out);
  plan_look_service(look, out);
  buf_text(out, ",\"endpoints\":[");
  for (size_t i = 0; i < q->count; i++)
    add_endpoint(a, look, i, out);
  buf_text(out, "]}");
  plan_look_end(look);
  return 0;
}
