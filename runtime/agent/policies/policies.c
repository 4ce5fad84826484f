#include "agent/policies/policies_inside.h"

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

static const char *subject_key(const void *item) {
  return ((const struct subject *)item)->id;
}

static int recall(void *arg, const char *id, const void *value, size_t length) {
  struct decision d;
  if (decision_decode(value, length, &d) != 0) {
    log_error("a decision in the store cannot be read: left there", LOG_S("id", id));
    return 0;
  }
  struct subject *s = subject_new(arg, id);
  if (s)
    s->decision = d;
  else
    decision_clear(&d);
  return s ? 0 : -ENOMEM;
}

static int recall_holder(void *arg, const char *id, const void *service, size_t length) {
  struct subject *s = subject_find(arg, id);
  if (!s)
    return 0;
  s->floor_kept = true;
  s->holds = strndup(service, length);
  return s->holds ? 0 : -ENOMEM;
}

struct policies *policies_new(const struct policies_with *with, struct embedded *embedded) {
  struct policies *all = calloc(1, sizeof *all);
  if (!all)
    return NULL;
  *all = (struct policies){.with = *with, .embedded = embedded, .subjects = {.key = subject_key}};
  if (store_each(with->store, POLICY_BUCKET, recall, all) == 0 &&
      store_each(with->store, FLOOR_BUCKET, recall_holder, all) == 0 &&
      drained_recall(&all->drained, with->store) == 0)
    return all;
  policies_free(all);
  return NULL;
}

void policies_free(struct policies *all) {
  if (!all)
    return;
  for (uint32_t i = 0; i < all->subjects.count; i++)
    subject_free(all->subjects.items[i]);
  table_free(&all->subjects);
  drained_free(&all->drained);
  free(all);
}

size_t policies_verify(struct plugins *plugins, const struct config *config,
                       struct findings *findings) {
  size_t before = findings->count;
  for (size_t i = 0; i < config->policy_count; i++) {
    const struct config_policy *p = &config->policies[i];
    char path[600];
    snprintf(path, sizeof path, "services.%.500s.policy", p->service);
    if (p->policy)
      policy_chain_free(policy_chain_new(plugins, p->policy, p->service, path, findings));
  }
  return findings->count - before;
}

/* ---- what is registered ---- */

void policies_tell(const struct policies *all, const struct registration_state *state, bool gone) {
  bool drained = drained_has(&all->drained, state->registration->instance->id);
  all->with.shown(all->with.arg, state, gone || drained);
}

/* A policy that cannot be used decides nothing, and holds back what is not registered yet. */
static void put_under(struct policies *all, const struct config_policy *rule,
                      const struct registration_state *state) {
  const char *id = state->registration->instance->id;
  struct subject *s = subject_find(all, id);
  if (!s)
    s = subject_new(all, id);
  if (s && (subject_rule(s, rule) == 0 || s->chain))
    subject_want(s, state);
  else
    log_error("not registered: its policy cannot be asked", LOG_S("id", id));
}

void policies_local(struct policies *all, const struct registration_state *state, bool gone) {
  const struct instance *in = state->registration->instance;
  struct subject *s = subject_find(all, in->id);
  const struct config_policy *rule = config_policy(all->config, in->service, in->id);
  if (s && s->wanted && gone)
    subject_leave(s);
  else if (rule && !gone)
    put_under(all, rule, state);
  else
    policies_tell(all, state, gone);
  if (gone && drained_has(&all->drained, in->id))
    drained_set(&all->drained, in->id, false, NULL, NULL);
}

struct showing {
  const struct policies *all;
  void (*each)(void *arg, const struct registration_state *state);
  void *arg;
};

const struct registration_state *policies_shown(const struct policies *all,
                                                const struct registration_state *state) {
  const struct subject *s = subject_find(all, state->registration->instance->id);
  return s && s->wanted ? s->shown : state;
}

static void show_one(void *arg, const struct registration_state *state) {
  const struct showing *to = arg;
  const struct registration_state *shown = policies_shown(to->all, state);
  if (shown && !drained_has(&to->all->drained, state->registration->instance->id))
    to->each(to->arg, shown);
}

void policies_each_shown(const struct policies *all,
                         void (*each)(void *arg, const struct registration_state *state),
                         void *arg) {
  struct showing to = {all, each, arg};
  embedded_each(all->embedded, show_one, &to);
}

int policies_register(struct policies *all, const struct registration *r, answer_fn done,
                      void *arg) {
  const struct instance *in = r->instance;
  const struct config_policy *rule = config_policy(all->config, in->service, in->id);
  struct subject *s = rule ? subject_find(all, in->id) : NULL;
  bool renewal = s && s->wanted && !s->applicants && registration_equal(s->wanted->registration, r);
  if (!rule || renewal)
    return embedded_register(all->embedded, r, done, arg);
  if (!s)
    s = subject_new(all, in->id);
  if (!s)
    return -ENOMEM;
  int rc = subject_rule(s, rule);
  if (rc != 0 && !s->chain) {
    if (!s->wanted && !s->applicants)
      subject_end(s);
    return rc;
  }
  return subject_apply(s, r, done, arg);
}

void policies_published(struct policies *all, const struct set_published *what) {
  for (uint32_t i = 0; i < all->subjects.count; i++) {
    struct subject *s = all->subjects.items[i];
    if (s->wanted && !s->shown && s->decision.verdict == VERDICT_WITHDRAW &&
        strcmp(subject_service(s), what->service) == 0)
      subject_settle(s);
  }
}

/* ---- the configuration ---- */

/* One that has no policy any more is shown as it was registered. */
static void release(struct subject *s) {
  struct policies *all = s->all;
  struct registration_state *state = registration_state_ref(s->wanted);
  subject_end(s);
  policies_tell(all, state, false);
  registration_state_unref(state);
}

/* What was shown without a policy stays until that says otherwise. */
static void reconsider(void *arg, const struct registration_state *state) {
  struct policies *all = arg;
  const struct instance *in = state->registration->instance;
  const struct config_policy *rule = config_policy(all->config, in->service, in->id);
  struct subject *s = subject_find(all, in->id);
  if (s && !rule) {
    release(s);
  } else if (s) {
    struct policy_chain *before = s->chain;
    if (subject_rule(s, rule) == 0 && s->chain != before)
      subject_ask(s);
    subject_settle(s);
  } else if (rule && (s = subject_new(all, in->id))) {
    s->shown = registration_state_ref(state);
    put_under(all, rule, state);
  }
}

int policies_configure(struct policies *all, const struct config *config, struct fault *f) {
  all->config = config;
  embedded_each(all->embedded, reconsider, all);
  return 0;
}

void policies_settle(struct policies *all) {
  for (uint32_t i = all->subjects.count; i-- > 0;) { /* what ends is replaced by the last one */
    struct subject *s = all->subjects.items[i];
    if (!s->wanted && !s->applicants)
      subject_end(s);
  }
  for (uint32_t i = 0; i < all->subjects.count; i++)
    if (((struct subject *)all->subjects.items[i])->wanted)
      subject_settle(all->subjects.items[i]); /* who held the floor may have ended */
  for (uint32_t i = all->drained.table.count; i-- > 0;)
    if (!embedded_find(all->embedded, all->drained.table.items[i]))
      drained_set(&all->drained, all->drained.table.items[i], false, NULL, NULL);
}
