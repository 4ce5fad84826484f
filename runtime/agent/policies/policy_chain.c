#include "agent/policies/policy_chain.h"

#include "agent/plugins/plugins.h"
#include "agent/plugins/uses.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/value.h"
#include "config/use.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t deadline_ns = 10 * INT64_C(1000000000);
static const double every_s = 10; /* of a policy that does not say */
enum { REASON_MAX = 500 };

struct policy_chain {
  struct plugins *plugins;
  void (*changed)(void *arg);
  void *changed_arg;
  policy_done done;
  void *arg;
  struct instance *instance; /* as changed so far; NULL: it is not being asked */
  enum status status;
  bool registered;
  struct decision decision; /* being made */
  struct call *call;
  size_t at, count;
  struct attachment *policies[];
};

static void on_reloaded(void *arg) {
  struct policy_chain *c = arg;
  if (c->changed)
    c->changed(c->changed_arg);
}

static const struct attachment_events reloads = {.arrived = on_reloaded};

void policy_chain_follow(struct policy_chain *c, void (*changed)(void *arg), void *arg) {
  c->changed = changed;
  c->changed_arg = arg;
}

struct policy_chain *policy_chain_new(struct plugins *plugins, const struct value *policy,
                                      const char *service, const char *path,
                                      struct findings *findings) {
  size_t count = uses_count(policy);
  struct policy_chain *c = calloc(1, sizeof *c + count * sizeof *c->policies);
  if (!c)
    return NULL;
  c->plugins = plugins;
  for (; c->count < count; c->count++) {
    const struct value *use = uses_at(policy, c->count);
    char where[700];
    snprintf(where, sizeof where, "%s.%s", path, use_name(use));
    struct attachment **a = &c->policies[c->count];
    if (use_attach(plugins, "policy", use_name(use), use, where, a, findings) != 0) {
      policy_chain_free(c);
      return NULL;
    }
    attachment_service(*a, service);
    attachment_follow(*a, &reloads, c);
  }
  return c;
}

static struct plugin *asked_plugin(const struct policy_chain *c) {
  return attachment_plugin(c->policies[c->at]);
}

static void forget(struct policy_chain *c) {
  instance_unref(c->instance);
  c->instance = NULL;
  decision_clear(&c->decision);
}

void policy_chain_free(struct policy_chain *c) {
  if (!c)
    return;
  if (c->call) {
    call_cancel(c->call);
    plugins_note(c->plugins, asked_plugin(c), false);
  }
  for (size_t i = 0; i < c->count; i++)
    attachment_free(c->policies[i]);
  forget(c);
  free(c);
}

bool policy_chain_asked(const struct policy_chain *c) {
  return c->instance != NULL;
}

double policy_chain_every(const struct policy_chain *c) {
  double least = 0;
  for (size_t i = 0; i < c->count; i++) {
    double every = plugin_every(attachment_plugin(c->policies[i]));
    every = every > 0 ? every : every_s;
    least = least == 0 || every < least ? every : least;
  }
  return least;
}

/* ---- asking ---- */

static void finish(struct policy_chain *c, const char *why) {
  struct decision decision = c->decision;
  c->decision = (struct decision){0};
  forget(c);
  c->done(c->arg, why ? NULL : &decision, why);
  decision_clear(&decision);
}

/* What `decide` returned. */
struct said {
  enum verdict verdict; /* VERDICT_NONE: nil, message */
  const char *reason;   /* L's */
  struct value *changes;
};

static int read_changes(lua_State *L, int index, struct policy_chain *c, struct said *out,
                        struct fault *f) {
  struct instance *changed = NULL;
  int r = read_value(L, index, &out->changes, f);
  if (r == 0)
    r = changes_check(out->changes, f);
  if (r == 0)
    r = changes_apply(c->instance, out->changes, &changed, f);
  if (r != 0)
    return r;
  instance_unref(c->instance);
  c->instance = changed;
  return 0;
}

static int read_said(const struct call_result *result, struct policy_chain *c, struct said *out,
                     struct fault *f) {
  lua_State *L = result->L;
  int first = -result->results;
  const char *word = call_text(result, 1);
  *out = (struct said){.reason = call_text(result, 2)};
  if (result->results > 1 && lua_isnil(L, first) && out->reason)
    return 0;
  if (!word || verdict_parse(word, &out->verdict) != 0)
    return fault_set(f, -EINVAL,
                     "decide must return \"register\", \"hold\", \"withdraw\" or \"refuse\", with "
                     "a reason, or nil and a message");
  if (result->results > 2 && !lua_isnil(L, first + 2))
    return read_changes(L, first + 2, c, out, f);
  return 0;
}

/* One line, for those who list it. */
static char *copy_reason(const char *reason) {
  char *copy = strndup(reason, REASON_MAX);
  for (char *p = copy; p && *p; p++)
    if (iscntrl((unsigned char)*p))
      *p = ' ';
  return copy;
}

static void ask_next(struct policy_chain *c);

/* The first that does not say "register" has decided. */
static void heed(struct policy_chain *c, struct said *said) {
  struct decision *d = &c->decision;
  if (said->changes) {
    if (!d->changes)
      d->changes = value_table();
    value_append(d->changes, said->changes);
    said->changes = NULL;
  }
  d->verdict = said->verdict;
  if (said->reason) {
    free(d->reason);
    d->reason = copy_reason(said->reason);
  }
  if (said->verdict != VERDICT_REGISTER) {
    d->policy = strdup(plugin_name(asked_plugin(c)));
    finish(c, NULL);
  } else {
    c->at++;
    ask_next(c);
  }
}

static void on_decided(void *arg, const struct call_result *result) {
  struct policy_chain *c = arg;
  struct said said = {0};
  struct fault f = {0};
  c->call = NULL;
  if (result->status == -ECANCELED)
    return;
  if (result->status == -ETIMEDOUT)
    fault_set(&f, -ETIMEDOUT, "no decision in %.3g s", (double)deadline_ns / 1e9);
  else if (result->status != 0)
    f = *result->fault;
  else
    read_said(result, c, &said, &f);
  bool fault = f.code != 0 && f.code != -ETIMEDOUT;
  plugins_note(c->plugins, asked_plugin(c), fault);
  if (f.code != 0)
    finish(c, f.text);
  else if (said.verdict == VERDICT_NONE)
    finish(c, said.reason);
  else
    heed(c, &said);
  value_unref(said.changes);
}

static int push_subject(lua_State *L, void *arg) {
  const struct policy_chain *c = arg;
  push_instance(L, c->instance);
  lua_pushstring(L, status_name(c->status));
  lua_setfield(L, -2, "status");
  lua_pushboolean(L, c->registered);
  lua_setfield(L, -2, "registered");
  return 1;
}

static void ask_next(struct policy_chain *c) {
  if (c->at == c->count) {
    finish(c, NULL);
    return;
  }
  struct attachment *a = c->policies[c->at];
  if (!plugins_allows(c->plugins, attachment_plugin(a))) {
    finish(c, "the policy is in quarantine, as it kept failing");
    return;
  }
  int r = attachment_subject(a, c->instance->address);
  if (r == 0)
    r = attachment_call(a, "decide", push_subject, on_decided, c, deadline_ns, &c->call);
  if (r != 0) {
    plugins_note(c->plugins, attachment_plugin(a), true);
    finish(c, strerror(-r));
  }
}

void policy_chain_ask(struct policy_chain *c, const struct instance *in, enum status status,
                      bool registered, policy_done done, void *arg) {
  c->done = done;
  c->arg = arg;
  c->instance = instance_ref(in);
  c->status = status;
  c->registered = registered;
  c->at = 0;
  ask_next(c);
}
