/* policies: whether what is registered with this agent is shown to those who follow it (the sets,
 * the other registries), as the policy plugins decide. The embedded registry keeps everything that
 * is wanted, with its checks and leases; here it is held back, changed on the way, or withdrawn.
 *
 *     embedded registry ─► policies_local ─► decide ─► shown: sets, registrars
 *
 * A decision stays until the next one, over restarts too; where there is none yet, the instance
 * waits. A withdrawal that would leave fewer healthy instances of the service than its
 * `min_registered` is not carried out. Control thread only. */
#pragma once

#include "base/schema.h"
#include "registry/registration.h"
#include "watch/set.h"

#include <uv.h>

struct buf;
struct config;
struct embedded;
struct fault;
struct plugins;
struct policies;
struct store;

/* What it works with; all of it outlives it. */
struct policies_with {
  uv_loop_t *loop;
  struct plugins *plugins;
  struct store *store;
  struct sets *sets;
  /* What followers see: as embedded_events' `changed`. */
  void (*shown)(void *arg, const struct registration_state *state, bool gone);
  void *arg;
};

/* Recalls the decisions of a former life. NULL: out of memory. */
struct policies *policies_new(const struct policies_with *with, struct embedded *embedded);
/* Before the plugins; answers what is pending with -ECANCELED. */
void policies_free(struct policies *all);

/* Each policy of the configuration is there, and takes its options. Returns the number of findings
 * added. */
size_t policies_verify(struct plugins *plugins, const struct config *config,
                       struct findings *findings);
/* The configuration's policies from now on; what did not change goes on. 0 or -ENOMEM. */
int policies_configure(struct policies *all, const struct config *config, struct fault *f);
/* All that the store and the configuration have is registered: decisions about others go. */
void policies_settle(struct policies *all);

/* As embedded_register, but asks first, where a policy decides: -EPERM is its refusal. The message
 * of a success says so when the instance waits. */
int policies_register(struct policies *all, const struct registration *r,
                      void (*done)(void *arg, int status, const char *message), void *arg);

/* What the embedded registry says: a registration is new, changed, or `gone`. */
void policies_local(struct policies *all, const struct registration_state *state, bool gone);
/* A service's snapshot was published: what was withdrawn returns when too few are left. */
void policies_published(struct policies *all, const struct set_published *what);

/* What followers see now of all that is registered. */
void policies_each_shown(const struct policies *all,
                         void (*each)(void *arg, const struct registration_state *state),
                         void *arg);

/* An operator takes instances that are registered out of what is shown, whatever is decided of
 * them, for as long as they are registered; or lets them back. */
struct drain_order {
  const char *service, *id; /* NULL: all of the service */
  bool off;
  void (*done)(void *arg, int status); /* once, later: it is on the disk, or not */
  void *arg;
};
/* 0; -ENOENT: there is none, or another negative errno: then `done` is not called. */
int policies_drain(struct policies *all, const struct drain_order *order, struct fault *f);
void policies_each_drained(const struct policies *all, const char *service,
                           void (*each)(void *arg, const struct instance *in), void *arg);

/* What was decided about an instance that a policy decides about. */
struct policy_view {
  const char *service, *id;
  const char *verdict, *reason, *policy; /* the last two may be NULL */
  bool registered;
  bool floored;                /* it would be withdrawn, and too few would be left */
  const char *trouble;         /* why the last question got no answer; NULL: it got one */
  int64_t since_us;            /* Unix time of the verdict */
  const struct value *changes; /* a list of tables; NULL: none */
};
/* False: no policy decides about it. Valid until the loop goes on. */
bool policies_explain(const struct policies *all, const char *id, struct policy_view *out);
size_t policies_held_back(const struct policies *all); /* of these, how many are not registered */
void policies_each_held_back(const struct policies *all,
                             void (*each)(void *arg, const struct policy_view *view), void *arg);
void policies_show(const struct policies *all, struct buf *out); /* JSON, for GET /v1/policies */
void policies_metrics(const struct policies *all, struct buf *out);
