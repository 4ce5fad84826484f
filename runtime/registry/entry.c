#include "registry/inside.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entry *entry_find(const struct embedded *e, const char *id) {
  return table_find(&e->entries, id);
}

static void on_lease(struct alarm *a) {
  struct entry *en = (struct entry *)((char *)a - offsetof(struct entry, lease));
  en->overdue = true;
  entry_expire_overdue(en);
}

struct entry *entry_get(struct embedded *e, const char *id) {
  struct entry *en = entry_find(e, id);
  if (en)
    return en;
  size_t length = strlen(id);
  en = calloc(1, sizeof *en + length + 1);
  if (!en)
    return NULL;
  en->all = e;
  en->lease.fire = on_lease;
  memcpy(en->id, id, length + 1);
  if (alarms_join(&e->alarms, 1) != 0) {
    free(en);
    return NULL;
  }
  if (table_add(&e->entries, en) != 0) {
    alarms_leave(&e->alarms, 1);
    free(en);
    return NULL;
  }
  return en;
}

void entry_drop(struct entry *en) {
  if (en->state || en->pending)
    return;
  table_remove(&en->all->entries, en);
  alarms_leave(&en->all->alarms, 1);
  free(en);
}

void holding_free(struct holding *h) {
  if (!h)
    return;
  owner_untie(&h->tie);
  alarms_leave(&h->entry->all->alarms, 2 * h->count);
  free(h);
}

/* ---- its end ---- */

static uint64_t *count_of(struct embedded *e, enum status s) {
  return s == STATUS_PASSING   ? &e->stats.passing
         : s == STATUS_WARNING ? &e->stats.warning
                               : &e->stats.critical;
}

void entry_end(struct entry *en) {
  struct embedded *e = en->all;
  struct registration_state *last = en->state;
  struct holding *h = en->holding;
  for (uint32_t i = 0; i < h->count; i++) {
    check_end(&h->checks[i]);
    table_remove(&e->checks, &h->checks[i]);
  }
  entry_lease(en, 0);
  en->state = NULL;
  en->holding = NULL;
  e->stats.registrations--;
  (*count_of(e, last->status))--;
  if (e->events.changed)
    e->events.changed(e->arg, last, true);
  holding_free(h); /* after the event: `last` is what the checks' definitions are in */
  registration_state_unref(last);
  entry_drop(en);
}

static void on_owner_died(struct owner_tie *tie) {
  struct holding *h = (struct holding *)((char *)tie - offsetof(struct holding, tie));
  struct entry *en = h->entry;
  struct embedded *e = en->all;
  const struct registration *r = en->state->registration;
  log_info("deregistered: its owner has ended", LOG_S("service", r->instance->service),
           LOG_S("id", en->id), LOG_I("pid", r->owner_pid));
  e->stats.orphaned++;
  record_delete(e, en->id);
  entry_end(en);
  schedule(e);
}

/* ---- its lease ---- */

void entry_lease(struct entry *en, int64_t deadline_ns) {
  struct embedded *e = en->all;
  bool had = alarm_is_set(&en->lease) || en->overdue;
  en->overdue = false;
  if (deadline_ns)
    alarm_set(&e->alarms, &en->lease, deadline_ns);
  else
    alarm_clear(&e->alarms, &en->lease);
  e->stats.leases += (uint64_t)(deadline_ns != 0) - had;
}

void entry_expire_overdue(struct entry *en) {
  struct embedded *e = en->all;
  if (!en->overdue || en->pending)
    return;
  log_debug("deregistered: its lease ran out",
            LOG_S("service", en->state->registration->instance->service), LOG_S("id", en->id));
  e->stats.expired++;
  record_delete(e, en->id);
  entry_end(en);
}

/* ---- its beginning ---- */

int checks_conflict(const struct embedded *e, const struct registration *r, struct fault *f) {
  for (uint32_t i = 0; i < r->check_count; i++) {
    const struct check *other = table_find(&e->checks, r->checks[i].id);
    if (other && strcmp(other->entry->id, r->instance->id) != 0)
      return fault_set(f, -EEXIST, "the check id %s belongs to the instance %s", r->checks[i].id,
                       other->entry->id);
  }
  return 0;
}

/* What was known of the check under its id, if it is still the same kind of check. */
static struct check *check_before(struct entry *en, const struct check_definition *c) {
  struct holding *h = en->holding;
  for (uint32_t i = 0; h && i < h->count; i++)
    if (strcmp(h->checks[i].definition->id, c->id) == 0 &&
        strcmp(h->checks[i].definition->plugin, c->plugin) == 0)
      return &h->checks[i];
  return NULL;
}

/* Everything that can fail, before anything changes. */
static int holding_new(struct entry *en, const struct registration *r, struct holding **out,
                       struct fault *f) {
  struct embedded *e = en->all;
  struct holding *h = calloc(1, sizeof *h + r->check_count * sizeof *h->checks);
  if (!h || table_reserve(&e->checks, r->check_count) != 0 ||
      handles_reserve(&e->handles, r->check_count) != 0 ||
      alarms_join(&e->alarms, 2 * r->check_count) != 0) {
    free(h);
    return fault_set(f, -ENOMEM, "out of memory");
  }
  h->entry = en;
  h->count = r->check_count;
  h->tie.died = on_owner_died;
  if (r->owner_pid) {
    int rc = owner_tie(e->owners, r->owner_pid, r->owner_start, &h->tie);
    if (rc) {
      holding_free(h);
      return fault_set(f, rc, "instance %s: its owner, process %d, %s", en->id, r->owner_pid,
                       rc == -ESRCH ? "does not run" : strerror(-rc));
    }
  }
  *out = h;
  return 0;
}

static struct registration_state *first_state(struct entry *en, const struct registration *r,
                                              bool restored) {
  struct check_state checks[REGISTRATION_CHECKS_MAX];
  uint64_t index = ++en->all->index;
  for (uint32_t i = 0; i < r->check_count; i++) {
    const struct check *before = check_before(en, &r->checks[i]);
    if (before)
      checks[i] = en->state->checks[before->i];
    else
      checks[i] = (struct check_state){.status = restored ? STATUS_CRITICAL : r->checks[i].initial,
                                       .output = "",
                                       .modify_index = index};
  }
  return registration_state_new(
      &(struct registration_state){.registration = (struct registration *)r,
                                   .create_index = en->state ? en->state->create_index : index,
                                   .modify_index = index,
                                   .checks = checks});
}

/* The old checks hand over to the new ones what goes on, and the others stop. */
static void checks_change_over(struct entry *en, struct holding *h, const struct registration *r,
                               bool same_instance) {
  struct embedded *e = en->all;
  for (uint32_t i = 0; i < h->count; i++) {
    struct check *c = &h->checks[i];
    struct check *before = check_before(en, &r->checks[i]);
    *c = (struct check){.entry = en, .definition = &r->checks[i], .i = i};
    check_begin(c, before,
                before && same_instance &&
                    check_definition_equal(before->definition, c->definition));
  }
  for (uint32_t i = 0; en->holding && i < en->holding->count; i++) {
    check_end(&en->holding->checks[i]);
    table_remove(&e->checks, &en->holding->checks[i]);
  }
  for (uint32_t i = 0; i < h->count; i++)
    table_add(&e->checks, &h->checks[i]); /* room was reserved, conflicts were looked for */
}

/* Those that nobody runs yet. */
static void checks_start(struct entry *en) {
  struct embedded *e = en->all;
  struct holding *h = en->holding;
  for (uint32_t i = 0; i < h->count; i++) {
    struct check *c = &h->checks[i];
    if (c->handle || check_is_ttl(c->definition))
      continue;
    c->handle = handle_give(&e->handles, c);
    if (e->events.check_start)
      e->events.check_start(e->arg, c->handle, en->state->registration, i);
  }
}

void entry_change_state(struct entry *en, struct registration_state *state) {
  struct embedded *e = en->all;
  struct registration_state *old = en->state;
  if (old)
    (*count_of(e, old->status))--;
  (*count_of(e, state->status))++;
  en->state = state;
  if (old && e->events.changed &&
      strcmp(old->registration->instance->service, state->registration->instance->service) != 0)
    e->events.changed(e->arg, old, true);
  if (e->events.changed)
    e->events.changed(e->arg, state, false);
  registration_state_unref(old);
}

int entry_hold(struct entry *en, const struct registration *r, bool restored, struct fault *f) {
  struct embedded *e = en->all;
  struct holding *h = NULL;
  int rc = checks_conflict(e, r, f);
  if (rc == 0)
    rc = holding_new(en, r, &h, f);
  if (rc)
    return rc;
  const struct registration_state *old = en->state;
  struct registration_state *state = first_state(en, r, restored);
  if (!state) {
    holding_free(h);
    return fault_set(f, -ENOMEM, "out of memory");
  }
  struct holding *before = en->holding;
  checks_change_over(en, h, state->registration,
                     old && instance_equal(old->registration->instance, r->instance));
  en->holding = h;
  e->stats.registrations += !old;
  entry_change_state(en, state);
  holding_free(before);
  for (uint32_t i = 0; i < h->count; i++)
    check_watch(&h->checks[i]);
  checks_start(en);
  return 0;
}
