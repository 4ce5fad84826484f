/* policies_inside: what the files of the policies share. Not for others.
 *
 *   policies.c        which instances have a policy, and what is told of them
 *   policy_subject.c  one such instance: asking, deciding, what followers see
 *   policy_chain.c    its policies, asked in their order
 *   policies_drain.c  an operator's hand on what is shown
 *   policies_show.c   what one may ask of it */
#pragma once

#include "agent/policies/drained.h"
#include "agent/policies/policies.h"
#include "agent/policies/policy_chain.h"
#include "watch/table.h"

struct config_policy;

typedef void (*answer_fn)(void *arg, int status, const char *message);

/* One who registers, and waits for the decision, then for the disk. */
struct applicant {
  struct applicant *next;
  struct subject *subject; /* NULL: the policies have ended */
  struct registration *registration;
  bool asked; /* the question that is under way, or the last one, is about it */
  bool sent;  /* to the embedded registry */
  answer_fn done;
  void *arg;
};

/* An instance that a policy decides about. */
struct subject {
  struct policies *all;
  char *id;
  struct value *policy; /* as configured; NULL: only recalled so far */
  struct policy_chain *chain;
  uint32_t floor;
  struct registration_state *wanted; /* as registered; NULL: not yet */
  struct registration_state *shown;  /* as followers have it; NULL: they have not */
  struct applicant *applicants;      /* oldest first */
  struct decision decision;
  int64_t since_us;
  char *trouble;
  struct instance *about; /* the facts that were last asked about, and this status: */
  enum status about_status;
  bool stale; /* they have changed while it was asked; or it was due while nothing was registered */
  bool fresh; /* what is wanted, or the changes to it, are not what is shown */
  bool floored;
  bool floor_kept; /* the store has that it is */
  char *holds; /* the floor of this service, since a former life, until it is shown; else NULL */
  int64_t floored_until_ns;
  uv_timer_t timer;
};

struct policies {
  struct policies_with with;
  struct embedded *embedded;
  const struct config *config; /* NULL: not configured yet */
  struct table subjects;
  struct drained drained;
  uint64_t questions, unanswered; /* that were asked; that left the last decision */
  uint64_t floored;               /* withdrawals that a floor did not let through */
};

/* Of the store, both by instance id: decisions; and of what the floor keeps the service, so that
 * after a restart it keeps the same ones. */
#define POLICY_BUCKET "policy"
#define FLOOR_BUCKET "floor"

/* What followers see from now on; nothing of it while it is drained. */
void policies_tell(const struct policies *all, const struct registration_state *state, bool gone);
/* What would be shown of this registration if nobody drained it. NULL: nothing. */
const struct registration_state *policies_shown(const struct policies *all,
                                                const struct registration_state *state);

struct subject *subject_find(const struct policies *all, const char *id);
struct subject *subject_new(struct policies *all, const char *id); /* NULL: out of memory */
/* Its policies. 0, -ENOMEM, or -EINVAL: they cannot be used, which is logged. */
int subject_rule(struct subject *s, const struct config_policy *rule);
void subject_ask(struct subject *s);    /* as soon as the question that is under way is answered */
void subject_settle(struct subject *s); /* shows it to followers, or takes it back, as decided */
/* What is registered under its id, with its state. */
void subject_want(struct subject *s, const struct registration_state *state);
void subject_leave(struct subject *s); /* that has ended; so does the subject if nobody waits */
void subject_end(struct subject *s);   /* and with it its decision */
void subject_free(struct subject *s);  /* the decision is kept for the next life */
/* 0, and `done` is called once, later; or -ENOMEM. */
int subject_apply(struct subject *s, const struct registration *r, answer_fn done, void *arg);
const char *subject_service(const struct subject *s);
