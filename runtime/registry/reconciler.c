#include "registry/reconciler_inside.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

static const double hangs_s = 1; /* an operation that has run for longer */

/* ---- when ---- */

static void on_timer(uv_timer_t *timer) {
  reconciler_tick(timer->data);
}

void reconciler_tick(struct reconciler *r) {
  alarms_run(&r->alarms, clock_now_ns(), UINT32_MAX);
  reconciler_pump(r);
}

void reconciler_soon(struct reconciler *r) {
  uv_timer_start(&r->timer, on_timer, 0, 0);
}

void reconciler_arm(struct reconciler *r) {
  const struct alarm *first = alarms_first(&r->alarms);
  if (!first) {
    uv_timer_stop(&r->timer);
    return;
  }
  int64_t wait = first->due_ns - clock_now_ns();
  uv_timer_start(&r->timer, on_timer, wait > 0 ? (uint64_t)(wait + 999999) / 1000000 : 0, 0);
}

void entry_look(struct desired_entry *e, double seconds) {
  struct reconciler *r = e->owner;
  if (e->ready)
    return;
  alarm_set(&r->alarms, &e->due, clock_now_ns() + (int64_t)(seconds * (double)SECOND));
}

static void on_due(struct alarm *a) {
  struct desired_entry *e =
      (struct desired_entry *)((char *)a - offsetof(struct desired_entry, due));
  struct reconciler *r = e->owner;
  if (e->busy) {
    e->hangs = true;
    r->hanging++;
    return;
  }
  e->ready = true;
  e->next_ready = NULL;
  *r->ready_last = e;
  r->ready_last = &e->next_ready;
}

/* ---- entries ---- */

bool entry_adopt(struct reconciler *r, struct desired_entry *e) {
  if (e->owner)
    return true;
  if (alarms_join(&r->alarms, 1) != 0) {
    desired_remove(&r->desired, e);
    return false;
  }
  e->owner = r;
  e->due.fire = on_due;
  return true;
}

void entry_forget(struct desired_entry *e) {
  struct reconciler *r = e->owner;
  alarm_clear(&r->alarms, &e->due);
  alarms_leave(&r->alarms, 1);
  desired_remove(&r->desired, e);
}

enum operation entry_next(const struct desired_entry *e) {
  const struct reconciler *r = e->owner;
  if (!e->wanted)
    return e->lease ? OPERATION_DEREGISTER : OPERATION_NONE;
  if (e->unproven)
    return OPERATION_NONE;
  if (r->stopping)
    return e->lease && e->lease_ttl != r->stop_ttl ? OPERATION_REGISTER : OPERATION_NONE;
  return e->lease && e->held == e->digest && e->lease_ttl == r->ttl ? OPERATION_RENEW
                                                                    : OPERATION_REGISTER;
}

static void operate(struct desired_entry *e) {
  struct reconciler *r = e->owner;
  enum operation op = entry_next(e);
  if (op == OPERATION_NONE) {
    if (!e->wanted)
      entry_forget(e);
    return;
  }
  double ttl = r->stopping ? r->stop_ttl : r->ttl;
  bool fresh = op == OPERATION_REGISTER && e->lease_ttl != ttl;
  e->busy = op;
  e->listed |= op != OPERATION_RENEW;   /* an audit that runs may have read it before this */
  e->attended &= op == OPERATION_RENEW; /* else it will have another lease */
  e->asked = e->digest;
  r->running++;
  int rc = r->how->operate(r->arg, e, op, fresh ? NULL : e->lease, ttl);
  if (rc == 0) {
    entry_look(e, hangs_s);
    return;
  }
  r->running--;
  e->busy = OPERATION_NONE;
  if (rc != -ENOSYS || op != OPERATION_RENEW) /* what needs no renewal is seen to by the audits */
    entry_failed(e, rc, NULL);
}

/* Those that hang take nobody's place: they are as many as began in the time that a call may take.
 */
static bool has_room(const struct reconciler *r) {
  return r->running - r->hanging < (r->failing ? 1u : OPERATIONS_AT_ONCE);
}

void reconciler_pump(struct reconciler *r) {
  while (r->ready && !r->draining && has_room(r)) {
    struct desired_entry *e = r->ready;
    r->ready = e->next_ready;
    if (!r->ready)
      r->ready_last = &r->ready;
    e->ready = false;
    if (!e->busy)
      operate(e);
  }
  reconciler_arm(r);
  reconciler_check_stopped(r);
}

/* ---- what is wanted ---- */

void reconciler_want(struct reconciler *r, const struct instance *in, enum status status,
                     bool heard) {
  struct desired_entry *e = desired_get(&r->desired, in->service, in->id);
  if (!e || !entry_adopt(r, e)) {
    log_error("out of memory: not registered", LOG_S("registry", r->desired.registry),
              LOG_S("instance", in->id));
    return;
  }
  if (!desired_set(e, in, status, heard) || e->busy)
    return;
  entry_look(e, 0);
  reconciler_arm(r);
}

void reconciler_unwant(struct reconciler *r, const char *service, const char *id) {
  struct desired_entry *e = desired_find(&r->desired, service, id);
  if (!e || !e->wanted)
    return;
  e->wanted = false;
  if (e->busy)
    return;
  entry_look(e, 0);
  reconciler_arm(r);
}

void reconciler_doubt(struct reconciler *r, struct desired_entry *e) {
  int64_t now = clock_now_ns(), last = e->doubted_ns;
  int64_t wait = last && last + DOUBT_NS > now ? last + DOUBT_NS - now : 0;
  e->doubted_ns = now + wait;
  if (e->busy || (alarm_is_set(&e->due) && e->due.due_ns <= now + wait))
    return; /* what comes of that is attended again */
  entry_look(e, (double)wait / (double)SECOND);
  reconciler_arm(r);
}

void reconciler_drained(struct reconciler *r) {
  if (!r->draining || r->running || r->listing)
    return;
  r->draining = false;
  for (uint32_t i = 0; i < r->desired.table.count; i++)
    entry_look(r->desired.table.items[i], 0);
  reconciler_arm(r);
}

void reconciler_renew_all(struct reconciler *r) {
  r->draining = true;
  reconciler_drained(r);
}

void reconciler_each_held(const struct reconciler *r,
                          void (*each)(void *arg, const struct desired_entry *e), void *arg) {
  for (uint32_t i = 0; i < r->desired.table.count; i++) {
    const struct desired_entry *e = r->desired.table.items[i];
    if (e->lease)
      each(arg, e);
  }
}

void reconciler_each_taken(const struct reconciler *r,
                           void (*each)(void *arg, const struct desired_entry *e), void *arg) {
  for (uint32_t i = 0; i < r->desired.table.count; i++) {
    const struct desired_entry *e = r->desired.table.items[i];
    if (e->wanted && e->taken)
      each(arg, e);
  }
}

static bool can_attend(const struct desired_entry *e) {
  return e->wanted && e->lease && e->held != 0 &&
         (e->busy == OPERATION_NONE || e->busy == OPERATION_RENEW);
}

bool reconciler_can_attend(const struct reconciler *r) {
  uint32_t i = 0;
  while (i < r->desired.table.count && !can_attend(r->desired.table.items[i]))
    i++;
  return i < r->desired.table.count;
}

void reconciler_attend_all(struct reconciler *r,
                           void (*each)(void *arg, const struct desired_entry *e), void *arg) {
  for (uint32_t i = 0; i < r->desired.table.count; i++) {
    struct desired_entry *e = r->desired.table.items[i];
    e->attended = can_attend(e);
    if (e->attended)
      each(arg, e);
  }
}

void reconciler_attend_none(struct reconciler *r) {
  for (uint32_t i = 0; i < r->desired.table.count; i++)
    ((struct desired_entry *)r->desired.table.items[i])->attended = false;
}

bool reconciler_withdrew(const struct reconciler *r, const char *service, const char *id) {
  const struct desired_entry *e = desired_find(&r->desired, service, id);
  return e && !e->wanted;
}

bool reconciler_holds(const struct reconciler *r, const char *service, const char *id) {
  const struct desired_entry *e = desired_find(&r->desired, service, id);
  return e && (e->lease || e->busy != OPERATION_NONE);
}

/* ---- it, itself ---- */

struct reconciler *reconciler_new(uv_loop_t *loop, const char *registry, double ttl,
                                  struct store *store, const struct reconciler_registry *how,
                                  void *arg) {
  struct reconciler *r = calloc(1, sizeof *r);
  if (!r)
    return NULL;
  *r = (struct reconciler){.how = how,
                           .arg = arg,
                           .ttl = ttl,
                           .retry_s = BACKOFF_LONGEST_S,
                           .failing = true,
                           .handles = 2};
  r->ready_last = &r->ready;
  r->audit.fire = on_audit;
  r->phase_ns = (int64_t)(clock_random_unit() * (double)TOGETHER_NS);
  withdrawn_init(&r->swept, 2 * AUDIT_LONGEST_S);
  if (desired_init(&r->desired, registry, store) != 0 || alarms_join(&r->alarms, 1) != 0) {
    free(r->desired.registry);
    alarms_free(&r->alarms);
    free(r);
    return NULL;
  }
  uv_timer_init(loop, &r->timer);
  uv_timer_init(loop, &r->patience);
  r->timer.data = r->patience.data = r;
  desired_recall(&r->desired);
  for (uint32_t i = r->desired.table.count; i-- > 0;) {
    struct desired_entry *e = r->desired.table.items[i];
    if (entry_adopt(r, e))
      entry_look(e, 0);
  }
  alarm_set(&r->alarms, &r->audit, clock_now_ns());
  reconciler_arm(r);
  return r;
}

void reconciler_disown(struct reconciler *r) {
  while (r->desired.table.count) {
    struct desired_entry *e = r->desired.table.items[0];
    alarm_clear(&r->alarms, &e->due);
    alarms_leave(&r->alarms, 1);
    desired_forget(&r->desired, e);
  }
}

static void handle_closed(uv_handle_t *timer) {
  struct reconciler *r = timer->data;
  if (--r->handles == 0)
    free(r);
}

void reconciler_change_ttl(struct reconciler *r, double ttl) {
  r->ttl = ttl;
}

void reconciler_change_retry(struct reconciler *r, double longest_s) {
  r->retry_s = longest_s;
}

void reconciler_free(struct reconciler *r) {
  if (!r)
    return;
  alarms_free(&r->alarms);
  desired_clear(&r->desired);
  withdrawn_end(&r->swept);
  uv_close((uv_handle_t *)&r->timer, handle_closed);
  uv_close((uv_handle_t *)&r->patience, handle_closed);
}

void reconciler_stats(const struct reconciler *r, struct reconciler_stats *out) {
  *out = r->stats;
  for (uint32_t i = 0; i < r->desired.table.count; i++) {
    const struct desired_entry *e = r->desired.table.items[i];
    out->wanted += e->wanted;
    out->held += e->wanted && e->lease && e->held == e->digest;
    out->taken += e->wanted && e->taken;
  }
}
