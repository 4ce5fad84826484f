/* policies_show: what one may ask about decisions, and what HTTP and the metrics say of them. */
#include "agent/policies/policies_inside.h"

#include "base/buf.h"
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

void policies_each(const struct policies *all,
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

static void count_held_back(void *count, const struct policy_view *view) {
  *(size_t *)count += !view->registered;
}

size_t policies_held_back(const struct policies *all) {
  size_t count = 0;
  policies_each(all, count_held_back, &count);
  return count;
}

static void member(struct buf *out, const char *key, const char *text) {
  buf_format(out, ",\"%s\":", key);
  if (text)
    buf_json_text(out, text);
  else
    buf_text(out, "null");
}

static void show_one(void *arg, const struct policy_view *v) {
  struct buf *out = arg;
  buf_text(out,
           out->data && out->data[out->length - 1] == '[' ? "{\"service\":" : ",{\"service\":");
  buf_json_text(out, v->service);
  member(out, "id", v->id);
  member(out, "decision", v->verdict);
  member(out, "reason", v->reason);
  member(out, "policy", v->policy);
  buf_text(out, v->registered ? ",\"registered\":true" : ",\"registered\":false");
  buf_text(out, v->floored ? ",\"floored\":true" : ",\"floored\":false");
  member(out, "trouble", v->trouble);
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

static void family(struct buf *out, const char *name, const char *type, const char *help) {
  buf_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void policies_metrics(const struct policies *all, struct buf *out) {
  struct sums sums = {0};
  policies_each(all, add_up, &sums);
  family(out, "perigee_policy_instances", "gauge", "Instances by what policies decided of them.");
  for (int i = VERDICT_NONE; i <= VERDICT_REFUSE; i++)
    buf_format(out, "perigee_policy_instances{decision=\"%s\"} %llu\n",
               verdict_name((enum verdict)i), (unsigned long long)sums.by_verdict[i]);
  family(out, "perigee_policy_floored", "gauge",
         "Instances that min_registered keeps registered, or brought back.");
  buf_format(out, "perigee_policy_floored %llu\n", (unsigned long long)sums.floored);
  family(out, "perigee_policy_floored_total", "counter",
         "Withdrawals that min_registered did not let through, or took back.");
  buf_format(out, "perigee_policy_floored_total %llu\n", (unsigned long long)all->floored);
  family(out, "perigee_policy_undecided", "gauge",
         "Instances whose policy did not answer; its last decision stays.");
  buf_format(out, "perigee_policy_undecided %llu\n", (unsigned long long)sums.troubled);
  family(out, "perigee_policy_applicants", "gauge",
         "Requests to register that wait for a decision, or for the disk after it.");
  buf_format(out, "perigee_policy_applicants %llu\n", (unsigned long long)applicants(all));
  family(out, "perigee_policy_questions_total", "counter", "Questions that policies were asked.");
  buf_format(out, "perigee_policy_questions_total %llu\n", (unsigned long long)all->questions);
  family(out, "perigee_policy_unanswered_total", "counter",
         "Of these, the ones that left the last decision.");
  buf_format(out, "perigee_policy_unanswered_total %llu\n", (unsigned long long)all->unanswered);
}
