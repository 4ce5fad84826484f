/* outcome: what an operation came to, and when the next one of its entry is. */
#include "registry/reconciler_inside.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const double wake_s = 3;     /* after an outage all look again within this time */
static const double least_s = 0.25; /* between two renewals */

/* The registry answers, and will not have this one entry: that says nothing of the others. */
static bool is_refusal(int status) {
  return status == -EACCES || status == -EPERM || status == -EINVAL || status == -E2BIG;
}

/* After the first EACCES whoever carries operations out reads the credentials anew, so it is tried
 * once more at once. */
void entry_failed(struct desired_entry *e, int status, const char *why) {
  struct reconciler *r = e->owner;
  r->stats.failures++;
  r->failing |= !is_refusal(status);
  if (status == -EACCES && !e->refused) {
    e->refused = true;
    entry_look(e, 0);
    return;
  }
  e->failures++;
  double delay = backoff_s(e->failures, r->retry_s);
  log_warn("the registry did not do it; trying again", LOG_S("registry", r->desired.registry),
           LOG_S("instance", e->key), LOG_S("error", why && *why ? why : strerror(-status)),
           LOG_N("again_in", delay));
  entry_look(e, delay);
}

/* That somebody else has it is no failure of the registry's. Looked at again as if it were one: the
 * other's lease may run out. */
static void taken(struct desired_entry *e, const char *why) {
  struct reconciler *r = e->owner;
  const char *text = why && *why ? why : "somebody else has it there";
  if (!e->taken || strcmp(e->taken, text) != 0) {
    log_warn("not registered, as it is somebody else's; looking again from time to time",
             LOG_S("registry", r->desired.registry), LOG_S("instance", e->key),
             LOG_S("reason", text));
    free(e->taken);
    e->taken = strdup(text);
  }
  e->refused = false;
  e->held = 0;
  entry_look(e, backoff_s(++e->failures, r->retry_s));
}

/* The registry answers again, or takes one that it had refused: whoever backs off for long comes
 * within wake_s. */
static void recovered(struct reconciler *r, bool refused) {
  if (!r->failing && !refused)
    return;
  r->failing = false;
  int64_t latest = clock_now_ns() + (int64_t)(wake_s * (double)SECOND);
  for (uint32_t i = 0; i < r->desired.table.count; i++) {
    struct desired_entry *e = r->desired.table.items[i];
    if (alarm_is_set(&e->due) && e->due.due_ns > latest)
      entry_look(e, clock_random_unit() * wake_s);
  }
  if (!r->cannot_list && !r->listing && !r->stopping)
    alarm_set(&r->alarms, &r->audit,
              clock_now_ns() + (int64_t)(clock_random_unit() * wake_s * (double)SECOND));
}

static void attend(struct desired_entry *e) {
  struct reconciler *r = e->owner;
  if (r->how->attend && !r->stopping && !e->attended)
    r->how->attend(r->arg);
}

/* A third of the lease's time, a little sooner or later than others, but together with those that
 * come next to it: an adapter may renew them at once. What a registry says of the time may be
 * anything. */
static void keep(struct desired_entry *e, double ttl) {
  struct reconciler *r = e->owner;
  if (ttl <= 0)
    return;
  double seconds = (ttl / 3 > least_s ? ttl / 3 : least_s) * (0.9 + 0.2 * clock_random_unit());
  int64_t due = clock_now_ns() + (int64_t)(seconds * (double)SECOND);
  if (seconds > 4 * (double)TOGETHER_NS / (double)SECOND)
    due -= (due + r->phase_ns) % TOGETHER_NS;
  alarm_set(&r->alarms, &e->due, due);
}

static void registered(struct desired_entry *e, struct value *lease, double ttl) {
  struct reconciler *r = e->owner;
  bool was_lost = e->failures > 0 || e->held == 0;
  e->failures = 0;
  e->refused = false;
  free(e->taken);
  e->taken = NULL;
  e->held = e->asked;
  r->stats.registered++;
  desired_hold(&r->desired, e, lease ? lease : value_table(), r->stopping ? r->stop_ttl : r->ttl);
  if (was_lost && !r->stopping)
    log_info("registered", LOG_S("registry", r->desired.registry), LOG_S("instance", e->key));
  if (entry_next(e) == OPERATION_RENEW) {
    keep(e, ttl);
    attend(e);
  } else {
    entry_look(e, 0);
  }
}

void entry_renewed(struct desired_entry *e, double ttl, const char *why) {
  struct reconciler *r = e->owner;
  e->failures = 0;
  e->refused = false;
  if (ttl > 0) {
    r->stats.renewed++;
    if (entry_next(e) == OPERATION_RENEW) {
      keep(e, ttl);
      attend(e);
    } else {
      entry_look(e, 0);
    }
    return;
  }
  e->held = 0;
  if (why) {
    log_info("registering again", LOG_S("registry", r->desired.registry), LOG_S("instance", e->key),
             LOG_S("reason", why));
  } else {
    r->stats.lost++;
    log_warn("the registry has lost it; registering again", LOG_S("registry", r->desired.registry),
             LOG_S("instance", e->key));
  }
  entry_look(e, 0);
}

static void deregistered(struct desired_entry *e) {
  struct reconciler *r = e->owner;
  e->failures = 0;
  e->refused = false;
  r->stats.deregistered++;
  log_info("deregistered", LOG_S("registry", r->desired.registry), LOG_S("instance", e->key));
  if (!e->wanted) {
    withdrawn_add(&r->swept, e->key);
    if (r->how->gone)
      r->how->gone(r->arg, e);
    entry_forget(e);
    return;
  }
  value_unref(e->lease); /* wanted again meanwhile */
  e->lease = NULL;
  e->held = 0;
  entry_look(e, 0);
}

void reconciler_done(struct reconciler *r, struct desired_entry *e, int status, const char *why,
                     struct value *lease, double ttl) {
  enum operation op = e->busy;
  e->busy = OPERATION_NONE;
  r->running--;
  r->hanging -= e->hangs;
  e->hangs = false;
  alarm_clear(&r->alarms, &e->due);
  if (status == -ENOENT && op == OPERATION_RENEW)
    status = 0, ttl = 0;
  if (status == -EEXIST && op == OPERATION_REGISTER) {
    recovered(r, false);
    taken(e, why);
  } else if (status != 0) {
    entry_failed(e, status, why);
  } else {
    recovered(r, e->refused);
    if (op == OPERATION_REGISTER)
      registered(e, lease, ttl);
    else if (op == OPERATION_RENEW)
      entry_renewed(e, ttl, why);
    else
      deregistered(e);
  }
  reconciler_drained(r);
  reconciler_pump(r);
}
