/* policies_show: what one may ask about decisions, and what HTTP and the metrics say of them. */
#include "agent/policies/policies_inside.h"

#include "base/buf.h"
#include "base/metric.h"
#include "base/value.h"

#include <string.h>

static void describe(const struct subject *s, struct policy_view *out) {
  *out = (struct policy_view){.service = subject_service(s),
                              .id = s->id,
                              .verdict = verdict_name(s->decision.verdict),
                              .reason = s->decision.reason,
                              .policy = s->decision.policy,
                              .registered = s->shown != NULL,
                              .floored = s->floored,
                              .trouble = s->trouble,
                              .since_us = s->since_us,
                              .changes = s->decision.changes};
}

bool policies_explain(const struct policies *all, const char *id, struct policy_view *out) {
  const struct subject *s = subject_find(all, id);
  if (s && s->wanted)
    describe(s, out);
  return s && s->wanted;
}

static void policies_each(const struct policies *all,
                          void (*each)(void *arg, const struct policy_view *view), void *arg) {
  for (uint32_t i = 0; i < all->subjects.count; i++) {
    const struct subject *s = all->subjects.items[i];
    struct policy_view view;
    if (!s->wanted)
      continue;
    describe(s, &view);
    each(arg, &view);
  }
}

struct held_back {
  void (*each)(void *arg, const struct policy_view *view);
  void *arg;
};

static void if_held_back(void *arg, const struct policy_view *view) {
  const struct held_back *to = arg;
  if (!view->registered)
    to->each(to->arg, view);
}

void policies_each_held_back(const struct policies *all,
                             void (*each)(void *arg, const struct policy_view *view), void *arg) {
  policies_each(all, if_held_back, &(struct held_back){each, arg});
}

static void count_one(void *count, const struct policy_view *view) {
  (void)view;
  ++*(size_t *)count;
}

size_t policies_held_back(const struct policies *all) {
  size_t count = 0;
  policies_each_held_back(all, count_one, &count);
  return count;
}

static void show_one(void *arg, const struct policy_view *v) {
  struct buf *out = arg;
  buf_json_next(out);
  buf_char(out, '{');
  buf_member_text(out, "service", v->service);
  buf_member_text(out, "id", v->id);
  buf_member_text(out, "decision", v->verdict);
  buf_member_text(out, "reason", v->reason);
  buf_member_text(out, "policy", v->policy);
  buf_member_flag(out, "registered", v->registered);
  buf_member_flag(out, "floored", v->floored);
  buf_member_text(out, "trouble", v->trouble);
  buf_format(out, ",\"since\":%.3f,\"changes\":", (double)v->since_us / 1e6);
  if (v->changes)
    value_to_json(v->changes, out);
  else
    buf_text(out, "[]");
  buf_char(out, '}');
}

void policies_show(const struct policies *all, struct buf *out) {
  buf_char(out, '[');
  policies_each(all, show_one, out);
  buf_char(out, ']');
}

struct sums {
  uint64_t by_verdict[VERDICT_REFUSE + 1], floored, troubled;
};

static void add_up(void *arg, const struct policy_view *v) {
  struct sums *sums = arg;
  enum verdict verdict = VERDICT_NONE;
  verdict_parse(v->verdict, &verdict);
  sums->by_verdict[verdict]++;
  sums->floored += v->floored;
  sums->troubled += v->trouble != NULL;
}

static uint64_t applicants(const struct policies *all) {
  uint64_t count = 0;
  for (uint32_t i = 0; i < all->subjects.count; i++) {
    const struct subject *s = all->subjects.items[i];
    for (const struct applicant *a = s->applicants; a; a = a->next)
      count++;
  }
  return count;
}

void policies_metrics(const struct policies *all, struct buf *out) {
  struct sums sums = {0};
  policies_each(all, add_up, &sums);
  metric_family(out, "perigee_policy_instances", "gauge",
                "Instances by what policies decided of them.");
  for (int i = VERDICT_NONE; i <= VERDICT_REFUSE; i++)
    metric_sample(out, "perigee_policy_instances", "decision", verdict_name((enum verdict)i),
                  (double)sums.by_verdict[i]);
  metric_gauge(out, "perigee_drained", "Instances that an operator has drained.",
               (double)all->drained.table.count);
  metric_gauge(out, "perigee_policy_floored",
               "Instances that min_registered keeps registered, or brought back.",
               (double)sums.floored);
  metric_counter(out, "perigee_policy_floored_total",
                 "Withdrawals that min_registered did not let through, or took back.",
                 all->floored);
  metric_gauge(out, "perigee_policy_undecided",
               "Instances whose policy did not answer; its last decision stays.",
               (double)sums.troubled);
  metric_gauge(out, "perigee_policy_applicants",
               "Requests to register that wait for a decision, or for the disk after it.",
               (double)applicants(all));
  metric_counter(out, "perigee_policy_questions_total", "Questions that policies were asked.",
                 all->questions);
  metric_counter(out, "perigee_policy_unanswered_total",
                 "Of these, the ones that left the last decision.", all->unanswered);
}
