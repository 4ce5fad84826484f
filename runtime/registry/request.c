#include "registry/inside.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "registry/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW_NS = 10000000 };

/* ---- answers ---- */

int answer_later(struct embedded *e, embedded_done done, void *arg, const struct fault *f) {
  struct answer *a = calloc(1, sizeof *a);
  if (!a)
    return -ENOMEM;
  a->done = done;
  a->arg = arg;
  if (f)
    a->fault = *f;
  *e->answers_last = a;
  e->answers_last = &a->next;
  schedule(e);
  return 0;
}

static void request_free(struct request *q) {
  if (q->all) {
    *q->link = q->next;
    if (q->next)
      q->next->link = q->link;
    q->all->stats.pending--;
  }
  registration_unref(q->registration);
  free(q);
}

static struct request *request_new(struct entry *en, embedded_done done, void *arg) {
  struct embedded *e = en->all;
  struct request *q = calloc(1, sizeof *q);
  if (!q) {
    entry_drop(en);
    return NULL;
  }
  *q = (struct request){
      .next = e->requests, .link = &e->requests, .all = e, .entry = en, .done = done, .arg = arg};
  if (q->next)
    q->next->link = &q->next;
  e->requests = q;
  e->stats.pending++;
  en->pending++;
  return q;
}

void requests_abandon(struct embedded *e) {
  for (struct request *q = e->requests, *next; q; q = next) {
    next = q->next;
    q->entry->pending--;
    if (q->done)
      q->done(q->arg, -ECANCELED, "the agent stops");
    if (q->gathered)
      request_free(q);
    else
      q->all = NULL; /* the store still has it, and frees it by on_durable */
  }
  e->requests = NULL;
}

/* ---- records ---- */

static struct deadline_record deadline_of(int64_t deadline_ns) {
  return (struct deadline_record){clock_wall_us() + (deadline_ns - clock_now_ns()) / 1000,
                                  deadline_ns};
}

void record_delete(struct embedded *e, const char *id) {
  renewals_send(e); /* one of them may be this id's, and must not come after */
  struct store_change gone[] = {{.bucket = "registration", .key = id},
                                {.bucket = "deadline", .key = id}};
  int rc = store_apply(e->store, gone, 2, NULL, NULL);
  if (rc)
    log_warn("the store keeps a registration that has ended", LOG_S("id", id),
             LOG_S("error", strerror(-rc)));
}

/* What is durable turned out not to be what is held: the record becomes again what is. */
static void record_return(struct entry *en) {
  struct embedded *e = en->all;
  const struct registration *r = en->state ? en->state->registration : NULL;
  struct buf bytes = {0};
  if (!r || r->origin == ORIGIN_CONFIGURATION || registration_encode(r, &bytes) != 0) {
    buf_free(&bytes);
    record_delete(e, en->id);
    return;
  }
  struct deadline_record deadline = deadline_of(en->lease.due_ns);
  struct store_change changes[] = {
      {"registration", en->id, bytes.data, bytes.length},
      {"deadline", en->id, alarm_is_set(&en->lease) ? &deadline : NULL, sizeof deadline}};
  renewals_send(e);
  int rc = store_apply(e->store, changes, 2, NULL, NULL);
  if (rc)
    log_warn("the store has another registration than is held", LOG_S("id", en->id),
             LOG_S("error", strerror(-rc)));
  buf_free(&bytes);
}

/* ---- taking effect ---- */

static void renew(struct request *q, struct fault *f) {
  if (!q->entry->state)
    fault_set(f, -ENOENT, "the instance %s has ended meanwhile", q->entry->id);
  else if (q->entry->state->registration->lease_ms)
    entry_lease(q->entry, q->deadline_ns);
}

static void hold(struct request *q, struct fault *f) {
  struct entry *en = q->entry;
  const struct registration_state *now = en->state;
  if (en->all->leaving)
    fault_set(f, -ESHUTDOWN, "the agent stops");
  else if (now && now->registration->origin == ORIGIN_CONFIGURATION)
    fault_set(f, -EPERM, "the instance %s comes from the configuration", en->id);
  else if (!now || !registration_equal(now->registration, q->registration))
    entry_hold(en, q->registration, false, f);
  if (f->code)
    record_return(en);
  else
    entry_lease(en, q->deadline_ns);
}

/* An entry that is dropped while its request takes effect must outlive it: `pending` holds it. */
static void on_durable(void *arg, int status) {
  struct request *q = arg;
  struct embedded *e = q->all;
  if (!e) {
    request_free(q);
    return;
  }
  struct entry *en = q->entry;
  struct fault f = {0};
  if (status)
    fault_set(&f, status, "the change is not durable, so it was not made: %s", strerror(-status));
  else if (q->kind == REGISTER)
    hold(q, &f);
  else if (q->kind == RENEW)
    renew(q, &f);
  else if (en->state && en->state->registration->origin != ORIGIN_CONFIGURATION)
    entry_end(en);
  en->pending--;
  if (en->overdue)
    entry_expire_overdue(en);
  else
    entry_drop(en);
  schedule(e);
  if (q->done)
    q->done(q->arg, f.code, f.text);
  request_free(q);
}

/* ---- going to the store ---- */

/* `rc` other than 0: the store did not take it, so that no answer will come from there. */
static int sent(struct request *q, int rc) {
  if (rc == 0)
    return 0;
  struct entry *en = q->entry;
  struct embedded *e = en->all;
  struct fault f;
  fault_set(&f, rc, "the store does not take the change: %s", strerror(-rc));
  rc = rc == -ENOMEM ? rc : answer_later(e, q->done, q->arg, &f);
  request_free(q);
  en->pending--;
  entry_drop(en);
  return rc;
}

void renewals_send(struct embedded *e) {
  struct request *list = e->gathered;
  e->gathered = NULL;
  e->gathered_last = &e->gathered;
  alarm_clear(&e->alarms, &e->window);
  for (struct request *q = list, *after; q; q = after) {
    after = q->after;
    q->gathered = false;
    struct store_change change = {"deadline", q->entry->id, &q->deadline, sizeof q->deadline};
    if (sent(q, store_apply(e->store, &change, q->deadline_ns != 0, on_durable, q)) != 0)
      log_error("out of memory: a renewal gets no answer");
  }
}

static void deadline_set(struct request *q, int64_t lease_ms) {
  if (lease_ms == 0)
    return;
  q->deadline_ns = clock_now_ns() + lease_ms * 1000000;
  q->deadline = deadline_of(q->deadline_ns);
}

static int renewal_gather(struct entry *en, int64_t lease_ms, embedded_done done, void *arg) {
  struct embedded *e = en->all;
  struct request *q = request_new(en, done, arg);
  if (!q)
    return -ENOMEM;
  q->kind = RENEW;
  q->gathered = true;
  *e->gathered_last = q;
  e->gathered_last = &q->after;
  deadline_set(q, lease_ms);
  if (!alarm_is_set(&e->window))
    alarm_set(&e->alarms, &e->window, clock_now_ns() + WINDOW_NS);
  schedule(e);
  return 0;
}

static int registration_send(struct entry *en, struct registration *r, embedded_done done,
                             void *arg) {
  struct buf bytes = {0};
  int rc = registration_encode(r, &bytes);
  struct request *q = rc == 0 ? request_new(en, done, arg) : NULL;
  if (!q) {
    buf_free(&bytes);
    return rc ? rc : -ENOMEM;
  }
  q->kind = REGISTER;
  q->registration = registration_ref(r);
  deadline_set(q, r->lease_ms);
  en->newest_lease_ms = r->lease_ms;
  renewals_send(en->all);
  struct store_change changes[] = {
      {"registration", en->id, bytes.data, bytes.length},
      {"deadline", en->id, q->deadline_ns ? &q->deadline : NULL, sizeof q->deadline}};
  rc = sent(q, store_apply(en->all->store, changes, 2, on_durable, q));
  buf_free(&bytes);
  return rc;
}

/* ---- what one may ask ---- */

static int check_leaving(const struct embedded *e, struct fault *f) {
  return e->leaving ? fault_set(f, -ESHUTDOWN, "the agent stops") : 0;
}

/* The lease of the instance as it will be when everything pending has been done: -1: not there. */
static int64_t lease_to_be(const struct entry *en) {
  if (!en)
    return -1;
  if (en->pending)
    return en->newest_lease_ms;
  return en->state ? en->state->registration->lease_ms : -1;
}

static int check_known(const struct embedded *e, const char *id, struct fault *f) {
  const struct entry *en = entry_find(e, id);
  int rc = check_leaving(e, f);
  if (rc)
    return rc;
  if (lease_to_be(en) < 0)
    return fault_set(f, -ENOENT, "unknown instance id %s", id);
  return 0;
}

static bool from_configuration(const struct entry *en) {
  return en && en->state && en->state->registration->origin == ORIGIN_CONFIGURATION;
}

/* 0 and a reference in *out: `r`, or a copy that has its owner's start time. */
static int owner_complete(const struct registration *r, struct registration **out,
                          struct fault *f) {
  if (!r->owner_pid || r->owner_start) {
    *out = registration_ref(r);
    return 0;
  }
  struct registration whole = *r;
  if (owner_start_time(r->owner_pid, &whole.owner_start) != 0)
    return fault_set(f, -ESRCH, "instance %s: its owner, process %d, does not run", r->instance->id,
                     r->owner_pid);
  *out = registration_new(&whole);
  return *out ? 0 : fault_set(f, -ENOMEM, "out of memory");
}

static int check_register(struct embedded *e, const struct registration *r, struct fault *f) {
  int rc = check_leaving(e, f);
  if (rc == 0)
    rc = registration_check(r, f);
  if (rc)
    return rc;
  if (r->origin == ORIGIN_CONFIGURATION)
    return fault_set(f, -EINVAL, "instance %s: the configuration's go through embedded_configure",
                     r->instance->id);
  struct entry *en = entry_find(e, r->instance->id);
  if (from_configuration(en))
    return fault_set(f, -EPERM, "the instance %s comes from the configuration: change it there",
                     en->id);
  return checks_conflict(e, r, f);
}

int embedded_register(struct embedded *e, const struct registration *r, embedded_done done,
                      void *arg) {
  struct fault f = {0};
  struct registration *whole = NULL;
  int rc = check_register(e, r, &f);
  if (rc == 0)
    rc = owner_complete(r, &whole, &f);
  if (rc)
    return rc == -ENOMEM ? rc : answer_later(e, done, arg, &f);
  struct entry *en = entry_get(e, r->instance->id);
  if (!en)
    rc = -ENOMEM;
  else if (!en->pending && en->state && registration_equal(en->state->registration, whole))
    rc = whole->lease_ms ? renewal_gather(en, whole->lease_ms, done, arg)
                         : answer_later(e, done, arg, NULL);
  else
    rc = registration_send(en, whole, done, arg);
  registration_unref(whole);
  if (rc == -E2BIG) {
    entry_drop(en);
    fault_set(&f, -EINVAL, "instance %s: its checks' options are too large", r->instance->id);
    rc = answer_later(e, done, arg, &f);
  }
  return rc;
}

int embedded_deregister(struct embedded *e, const char *instance_id, embedded_done done,
                        void *arg) {
  struct fault f = {0};
  struct entry *en = entry_find(e, instance_id);
  int rc = check_known(e, instance_id, &f);
  if (rc == 0 && from_configuration(en))
    rc = fault_set(&f, -EPERM, "the instance %s comes from the configuration: change it there",
                   en->id);
  if (rc)
    return answer_later(e, done, arg, &f);
  struct request *q = request_new(en, done, arg);
  if (!q)
    return -ENOMEM;
  q->kind = DEREGISTER;
  en->newest_lease_ms = -1;
  renewals_send(e);
  struct store_change gone[] = {{.bucket = "registration", .key = en->id},
                                {.bucket = "deadline", .key = en->id}};
  return sent(q, store_apply(e->store, gone, 2, on_durable, q));
}

int embedded_renew(struct embedded *e, const char *instance_id, embedded_done done, void *arg) {
  struct fault f = {0};
  struct entry *en = entry_find(e, instance_id);
  if (check_known(e, instance_id, &f) != 0)
    return answer_later(e, done, arg, &f);
  int64_t lease_ms = lease_to_be(en);
  if (lease_ms == 0 && !en->pending)
    return answer_later(e, done, arg, NULL);
  if (!en->pending)
    en->newest_lease_ms = lease_ms;
  return renewal_gather(en, lease_ms, done, arg);
}
