#include "agent/policies/policies_inside.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/log.h"
#include "base/value.h"
#include "config/config.h"
#include "registry/embedded.h"
#include "registry/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double jitter = 0.1;
/* What the floor has brought back is not withdrawn again for about so long, so that all hosts of a
 * service do not go and come in step. */
static const int64_t floored_ns = 60 * INT64_C(1000000000);

struct subject *subject_find(const struct policies *all, const char *id) {
  return table_find(&all->subjects, id);
}

const char *subject_service(const struct subject *s) {
  const struct instance *in = s->wanted       ? s->wanted->registration->instance
                              : s->applicants ? s->applicants->registration->instance
                                              : NULL;
  return in ? in->service : "";
}

/* ---- who registers ---- */

static void applicant_end(struct applicant *a) {
  struct subject *s = a->subject;
  struct applicant **link = s ? &s->applicants : NULL;
  while (link && *link != a)
    link = &(*link)->next;
  if (link)
    *link = a->next;
  registration_unref(a->registration);
  free(a);
}

static void answer(struct applicant *a, int status, const char *message) {
  answer_fn done = a->done;
  void *arg = a->arg;
  applicant_end(a);
  if (done)
    done(arg, status, message);
}

/* What went to the embedded registry is answered from there. */
static void abandon_applicants(struct subject *s) {
  for (struct applicant *a = s->applicants, *next; a; a = next) {
    next = a->next;
    a->subject = NULL;
    if (!a->sent)
      answer(a, -ECANCELED, "the agent stops");
  }
  s->applicants = NULL;
}

/* ---- subjects ---- */

struct subject *subject_new(struct policies *all, const char *id) {
  struct subject *s = calloc(1, sizeof *s);
  char *copy = strdup(id);
  if (s)
    *s = (struct subject){.all = all, .id = copy};
  if (!s || !copy || table_add(&all->subjects, s) != 0) {
    free(copy);
    free(s);
    return NULL;
  }
  uv_timer_init(all->with.loop, &s->timer);
  s->timer.data = s;
  return s;
}

static void on_timer_closed(uv_handle_t *timer) {
  free(timer->data);
}

void subject_free(struct subject *s) {
  policy_chain_free(s->chain);
  abandon_applicants(s);
  value_unref(s->policy);
  registration_state_unref(s->wanted);
  registration_state_unref(s->shown);
  instance_unref(s->about);
  decision_clear(&s->decision);
  free(s->trouble);
  free(s->holds);
  free(s->id);
  uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}

static void set_floored(struct subject *s, bool floored) {
  const char *service = floored ? subject_service(s) : NULL;
  s->floored = floored;
  if (floored == s->floor_kept)
    return;
  s->floor_kept = floored;
  store_put(s->all->with.store, FLOOR_BUCKET, s->id, service, service ? strlen(service) : 0, NULL,
            NULL);
}

void subject_end(struct subject *s) {
  struct policies *all = s->all;
  set_floored(s, false);
  store_put(all->with.store, POLICY_BUCKET, s->id, NULL, 0, NULL, NULL);
  table_remove(&all->subjects, s);
  subject_free(s);
}

static void subject_drop(struct subject *s) {
  if (!s->wanted && !s->applicants)
    subject_end(s);
}

/* ---- what followers see ---- */

static void show(struct subject *s, bool registered) {
  struct policies *all = s->all;
  struct registration_state *before = s->shown;
  s->fresh = false;
  s->shown = NULL;
  if (registered) {
    s->shown = changes_show(s->wanted, s->decision.changes);
    if (!s->shown)
      s->shown = registration_state_ref(s->wanted);
    policies_tell(all, s->shown, false);
  } else if (before) {
    policies_tell(all, before, true);
  }
  registration_state_unref(before);
}

/* It was shown for the floor's sake before the agent started, and will be again. */
static bool is_holder(const struct subject *s, const char *service) {
  return s->holds && !s->shown && strcmp(s->holds, service) == 0;
}

/* Healthy instances of the service that this agent sees registered, besides this one. */
static size_t others(const struct subject *s) {
  struct set *set = sets_find(s->all->with.sets, subject_service(s));
  const struct set_row *rows = set ? set_rows(set) : NULL;
  size_t count = 0;
  for (size_t i = 0; set && i < set_count(set); i++) {
    const struct subject *own = subject_find(s->all, rows[i].instance->id);
    count += own != s && rows[i].status != STATUS_CRITICAL &&
             !(own && (own->wanted || own->holds) && !own->shown);
  }
  for (uint32_t i = 0; i < s->all->subjects.count; i++)
    count +=
        s->all->subjects.items[i] != s && is_holder(s->all->subjects.items[i], subject_service(s));
  return count;
}

/* Whether it is to be registered, as things are. */
static bool is_due(struct subject *s) {
  switch (s->decision.verdict) {
  case VERDICT_REGISTER:
    s->floored_until_ns = 0;
    return true;
  case VERDICT_HOLD:
    return s->shown || s->decision.stays;
  case VERDICT_NONE:
    return s->shown != NULL;
  default:
    break;
  }
  if (s->decision.verdict == VERDICT_REFUSE && !s->shown)
    return false;
  return others(s) < s->floor || clock_now_ns() < s->floored_until_ns;
}

void subject_settle(struct subject *s) {
  bool due = s->wanted && is_due(s);
  bool floored = due && s->decision.verdict >= VERDICT_WITHDRAW;
  if (floored && !s->floored) {
    s->all->floored++;
    log_warn("not withdrawn: too few would be left", LOG_S("service", subject_service(s)),
             LOG_S("id", s->id), LOG_S("policy", s->decision.policy),
             LOG_S("reason", s->decision.reason), LOG_I("min_registered", s->floor));
  }
  if (floored && !s->shown)
    s->floored_until_ns =
        clock_now_ns() + (int64_t)((0.5 + clock_random_unit()) * (double)floored_ns);
  set_floored(s, floored);
  if (s->wanted) {
    free(s->holds);
    s->holds = NULL;
  }
  if (due != (s->shown != NULL) || (due && s->fresh))
    show(s, due);
}

/* ---- asking ---- */

static void on_timer(uv_timer_t *timer) {
  subject_ask(timer->data);
}

static void ask_again(struct subject *s) {
  double every = policy_chain_every(s->chain) * (1 + jitter * (2 * clock_random_unit() - 1));
  uv_timer_start(&s->timer, on_timer, (uint64_t)(every * 1000) + 1, 0);
}

static void keep(const struct subject *s) {
  struct buf bytes = {0};
  int r = decision_encode(&s->decision, &bytes);
  if (r == 0)
    r = store_put(s->all->with.store, POLICY_BUCKET, s->id, bytes.data, bytes.length, NULL, NULL);
  if (r != 0)
    log_warn("a decision is not kept over a restart", LOG_S("id", s->id),
             LOG_S("error", strerror(-r)));
  buf_free(&bytes);
}

/* Only who says "register" changes it: what stays registered otherwise stays as it is. */
static void carry_over(const struct subject *s, struct decision *d) {
  if (d->verdict == VERDICT_REGISTER)
    return;
  value_unref(d->changes);
  d->changes = s->decision.changes ? value_ref(s->decision.changes) : NULL;
  d->stays = d->verdict == VERDICT_HOLD && s->shown;
}

static void adopt(struct subject *s, struct decision *d) {
  carry_over(s, d);
  bool same = decision_equal(&s->decision, d);
  bool news = s->decision.verdict != d->verdict;
  s->fresh |= !value_equal(s->decision.changes, d->changes);
  decision_clear(&s->decision);
  s->decision = *d;
  *d = (struct decision){0};
  free(s->trouble);
  s->trouble = NULL;
  if (news) {
    s->since_us = clock_wall_us();
    log_info("policy decided", LOG_S("service", subject_service(s)), LOG_S("id", s->id),
             LOG_S("decision", verdict_name(s->decision.verdict)),
             LOG_S("policy", s->decision.policy), LOG_S("reason", s->decision.reason));
  }
  if (!same)
    keep(s);
}

/* The last decision stays. */
static void note_trouble(struct subject *s, const char *why) {
  if (!s->trouble)
    log_warn("policy did not decide; the last decision stays", LOG_S("service", subject_service(s)),
             LOG_S("id", s->id), LOG_S("decision", verdict_name(s->decision.verdict)),
             LOG_S("error", why));
  free(s->trouble);
  s->trouble = strdup(why);
}

/* ---- deciding ---- */

static void on_registered(void *arg, int status, const char *message) {
  struct applicant *a = arg;
  struct subject *s = a->subject;
  char text[700];
  if (status == 0 && s && s->wanted && !s->shown) {
    const struct decision *d = &s->decision;
    const char *word = d->verdict == VERDICT_WITHDRAW ? "withdrawn" : "held";
    snprintf(text, sizeof text, "%s: %s\n", word,
             d->reason    ? d->reason
             : s->trouble ? s->trouble
                          : "its policy has not decided yet");
    message = text;
  }
  answer(a, status, message);
  if (s)
    subject_drop(s);
}

/* A refusal is about what they brought; what is held already stays as it was decided. */
static void refuse_applicants(struct subject *s, const struct decision *d) {
  char text[700];
  snprintf(text, sizeof text, "refused by the policy \"%s\": %s", d->policy ? d->policy : "",
           d->reason ? d->reason : "it says no more");
  for (struct applicant *a = s->applicants, *next; a; a = next) {
    next = a->next;
    if (a->asked && !a->sent)
      answer(a, -EPERM, text);
  }
}

static void admit_applicants(struct subject *s) {
  for (struct applicant *a = s->applicants, *next; a; a = next) {
    next = a->next;
    if (!a->asked || a->sent)
      continue;
    a->sent = true;
    int r = embedded_register(s->all->embedded, a->registration, on_registered, a);
    if (r != 0)
      answer(a, r, "");
  }
}

static struct applicant *newest(const struct subject *s) {
  struct applicant *last = NULL;
  for (struct applicant *a = s->applicants; a; a = a->next)
    last = a->sent ? last : a;
  return last;
}

static bool asked_for_applicants(const struct subject *s) {
  for (const struct applicant *a = s->applicants; a; a = a->next)
    if (a->asked && !a->sent)
      return true;
  return false;
}

static void on_decided(void *arg, struct decision *d, const char *why) {
  struct subject *s = arg;
  s->all->questions++;
  s->all->unanswered += d == NULL;
  if (d && d->verdict == VERDICT_REFUSE && asked_for_applicants(s)) {
    refuse_applicants(s, d);
    if (!s->wanted) {
      subject_drop(s);
      return;
    }
    s->stale = true; /* what is held is asked about again */
  } else {
    if (d)
      adopt(s, d);
    else
      note_trouble(s, why);
    subject_settle(s);
    admit_applicants(s);
  }
  if (s->stale)
    uv_timer_start(&s->timer, on_timer, 0, 0);
  else
    ask_again(s);
  subject_drop(s);
}

void subject_ask(struct subject *s) {
  const struct applicant *a = newest(s);
  const struct instance *in = a           ? a->registration->instance
                              : s->wanted ? s->wanted->registration->instance
                                          : NULL;
  if (!in || policy_chain_asked(s->chain)) {
    s->stale = true;
    return;
  }
  s->stale = false;
  for (struct applicant *one = s->applicants; one; one = one->next)
    one->asked = true;
  instance_unref(s->about);
  s->about = instance_ref(in);
  s->about_status = s->wanted                      ? s->wanted->status
                    : a->registration->check_count ? STATUS_CRITICAL
                                                   : STATUS_PASSING;
  policy_chain_ask(s->chain, in, s->about_status, s->shown != NULL, on_decided, s);
}

/* ---- what policies.c tells it ---- */

/* In the turn after the reload: it is still under way. */
static void on_reloaded(void *arg) {
  struct subject *s = arg;
  uv_timer_start(&s->timer, on_timer, 0, 0);
}

int subject_rule(struct subject *s, const struct config_policy *rule) {
  char path[600];
  struct findings findings = {0};
  snprintf(path, sizeof path, "services.%.500s.policy", rule->service);
  s->floor = rule->min_registered;
  if (s->chain && value_equal(s->policy, rule->policy))
    return 0;
  struct policy_chain *chain =
      policy_chain_new(s->all->with.plugins, rule->policy, rule->service, path, &findings);
  if (chain) {
    policy_chain_free(s->chain);
    value_unref(s->policy);
    s->chain = chain;
    policy_chain_follow(chain, on_reloaded, s);
    s->policy = value_ref(rule->policy);
  } else {
    log_error("policy cannot decide", LOG_S("service", rule->service), LOG_S("id", s->id),
              LOG_S("error", findings.count ? findings.items[0].text : "out of memory"));
  }
  findings_free(&findings);
  return chain ? 0 : -EINVAL;
}

void subject_want(struct subject *s, const struct registration_state *state) {
  registration_state_unref(s->wanted);
  s->wanted = registration_state_ref(state);
  s->fresh = true;
  subject_settle(s);
  const struct instance *in = state->registration->instance;
  if (s->stale || !s->about || s->about_status != state->status || !instance_equal(s->about, in))
    subject_ask(s);
}

void subject_leave(struct subject *s) {
  show(s, false);
  registration_state_unref(s->wanted);
  set_floored(s, false);
  s->wanted = NULL;
  s->decision.stays = false;
  subject_drop(s);
}

int subject_apply(struct subject *s, const struct registration *r, answer_fn done, void *arg) {
  struct applicant *a = calloc(1, sizeof *a), **last = &s->applicants;
  if (!a) {
    subject_drop(s);
    return -ENOMEM;
  }
  *a = (struct applicant){
      .subject = s, .registration = registration_ref(r), .done = done, .arg = arg};
  while (*last)
    last = &(*last)->next;
  *last = a;
  subject_ask(s);
  return 0;
}
