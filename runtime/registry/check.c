#include "registry/inside.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

enum { OUTPUT_MOST = 4096 };

static void on_ttl(struct alarm *a) {
  struct check *c = (struct check *)((char *)a - offsetof(struct check, ttl));
  check_state_set(c, STATUS_CRITICAL, "TTL expired");
}

static void on_reap(struct alarm *a) {
  struct check *c = (struct check *)((char *)a - offsetof(struct check, reap));
  struct entry *en = c->entry;
  struct embedded *e = en->all;
  log_info("deregistered: critical for too long",
           LOG_S("service", en->state->registration->instance->service), LOG_S("id", en->id),
           LOG_S("check", c->definition->id));
  e->stats.reaped++;
  record_delete(e, en->id);
  entry_end(en);
}

static void move_alarm(struct alarms *all, struct alarm *to, struct alarm *from) {
  if (!alarm_is_set(from))
    return;
  int64_t due = from->due_ns;
  alarm_clear(all, from);
  alarm_set(all, to, due);
}

void check_begin(struct check *c, struct check *before, bool goes_on) {
  c->ttl.fire = on_ttl;
  c->reap.fire = on_reap;
  if (!goes_on)
    return;
  struct embedded *e = c->entry->all;
  c->streak = before->streak;
  c->heard = before->heard;
  c->flap = before->flap;
  before->flap = (struct flap){0};
  c->handle = before->handle;
  if (c->handle)
    handle_change(&e->handles, c->handle, c);
  before->handle = 0;
  move_alarm(&e->alarms, &c->ttl, &before->ttl);
  move_alarm(&e->alarms, &c->reap, &before->reap);
}

void check_end(struct check *c) {
  struct embedded *e = c->entry->all;
  alarm_clear(&e->alarms, &c->ttl);
  alarm_clear(&e->alarms, &c->reap);
  e->stats.flapping -= c->flap.flapping;
  if (!c->handle)
    return;
  handle_take_back(&e->handles, c->handle);
  if (e->events.check_stop)
    e->events.check_stop(e->arg, c->handle);
  c->handle = 0;
}

void check_watch(struct check *c) {
  const struct check_definition *d = c->definition;
  struct alarms *alarms = &c->entry->all->alarms;
  bool critical = c->entry->state->checks[c->i].status == STATUS_CRITICAL;
  int64_t now = clock_now_ns();
  if (check_is_ttl(d) && !critical && !alarm_is_set(&c->ttl))
    alarm_set(alarms, &c->ttl, now + d->ttl_ns);
  if (!critical || !d->deregister_after_ns)
    alarm_clear(alarms, &c->reap);
  else if (!alarm_is_set(&c->reap))
    alarm_set(alarms, &c->reap, now + d->deregister_after_ns);
}

/* At most `most` bytes, not in the middle of a character. */
static size_t cut(const char *text, size_t most) {
  size_t length = strnlen(text, most + 1);
  if (length <= most)
    return length;
  for (length = most; length > most - 4 && ((unsigned char)text[length] & 0xc0) == 0x80;)
    length--;
  return length;
}

int check_state_set(struct check *c, enum status status, const char *output) {
  struct entry *en = c->entry;
  struct embedded *e = en->all;
  struct registration_state *old = en->state;
  const struct check_state *was = &old->checks[c->i];
  struct check_state checks[REGISTRATION_CHECKS_MAX];
  char text[OUTPUT_MOST + 1];
  size_t length = cut(output, OUTPUT_MOST);
  memcpy(text, output, length);
  text[length] = '\0';
  if (was->status == status && strcmp(was->output, text) == 0)
    return 0;
  uint64_t index = ++e->index;
  memcpy(checks, old->checks, old->registration->check_count * sizeof *checks);
  checks[c->i] =
      (struct check_state){.status = status,
                           .output = text,
                           .modify_index = index,
                           .changed_us = was->status == status ? was->changed_us : clock_wall_us()};
  struct registration_state *state =
      registration_state_new(&(struct registration_state){.registration = old->registration,
                                                          .create_index = old->create_index,
                                                          .modify_index = index,
                                                          .checks = checks});
  if (!state)
    return -ENOMEM;
  if (was->status != status) {
    e->stats.status_changes++;
    log_info("status changed", LOG_S("service", old->registration->instance->service),
             LOG_S("id", en->id), LOG_S("check", c->definition->id),
             LOG_S("from", status_name(was->status)), LOG_S("to", status_name(status)),
             LOG_S("output", text));
  }
  entry_change_state(en, state);
  check_watch(c);
  return 0;
}

static void note_flap(struct check *c, enum status result) {
  const struct instance *in = c->entry->state->registration->instance;
  if (!flap_note(&c->flap, result == STATUS_CRITICAL))
    return;
  if (c->flap.flapping)
    log_warn("a check flaps: it fails every now and then", LOG_S("service", in->service),
             LOG_S("id", in->id), LOG_S("check", c->definition->id));
  else
    log_info("a check flaps no more", LOG_S("service", in->service), LOG_S("id", in->id),
             LOG_S("check", c->definition->id));
  c->entry->all->stats.flapping += c->flap.flapping ? 1 : (uint64_t)-1;
}

/* HAProxy's rise and fall: so many results in a row turn it, but the very first decides alone.
 * Between passing and warning, both of which are healthy, there is no waiting. */
static bool turns(struct check *c, enum status result, enum status current) {
  bool down = result == STATUS_CRITICAL;
  if (!c->heard || down == (current == STATUS_CRITICAL)) {
    c->streak = 0;
    return true;
  }
  int needed = down ? c->definition->fall : c->definition->rise;
  if (++c->streak < (uint32_t)(needed > 1 ? needed : 1))
    return false;
  c->streak = 0;
  return true;
}

void embedded_check_result(struct embedded *e, uint64_t handle, enum status status,
                           const char *output) {
  struct check *c = handle_thing(&e->handles, handle);
  if (!c)
    return;
  enum status current = c->entry->state->checks[c->i].status;
  bool turn = turns(c, status, current);
  note_flap(c, status);
  /* No change of status, and yet what whoever has just registered it waits for. */
  if (!c->heard && status == STATUS_CRITICAL && current == STATUS_CRITICAL)
    log_info("the first check failed",
             LOG_S("service", c->entry->state->registration->instance->service),
             LOG_S("id", c->entry->id), LOG_S("check", c->definition->id),
             LOG_S("output", output ? output : ""));
  c->heard = true;
  if (turn && check_state_set(c, status, output ? output : "") != 0)
    log_error("out of memory: a check's result is lost", LOG_S("check", c->definition->id));
  schedule(e);
}

int embedded_check_update(struct embedded *e, const char *check_id, enum status status,
                          const char *output, embedded_done done, void *arg) {
  struct check *c = table_find(&e->checks, check_id);
  struct fault f = {0};
  if (!c)
    fault_set(&f, -ENOENT, "unknown check id %s", check_id);
  else if (!check_is_ttl(c->definition))
    fault_set(&f, -EINVAL, "the check %s is not a ttl check: it is run, not told", check_id);
  if (f.code == 0 && check_state_set(c, status, output ? output : "") == 0) {
    c->heard = true;
    note_flap(c, status);
    alarm_set(&e->alarms, &c->ttl, clock_now_ns() + c->definition->ttl_ns);
  } else if (f.code == 0) {
    return -ENOMEM;
  }
  return answer_later(e, done, arg, &f);
}
