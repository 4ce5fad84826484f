#include "registry/inside.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

enum { ALARMS_A_TURN = 256 };

static const char *entry_key(const void *item) {
  return ((const struct entry *)item)->id;
}

static const char *check_key(const void *item) {
  return ((const struct check *)item)->definition->id;
}

static void on_window(struct alarm *a) {
  renewals_send((struct embedded *)((char *)a - offsetof(struct embedded, window)));
}

static void on_timer(uv_timer_t *timer) {
  embedded_tick(timer->data);
}

int embedded_new(uv_loop_t *loop, struct store *store, const struct embedded_events *events,
                 void *arg, struct embedded **out) {
  struct embedded *e = calloc(1, sizeof *e);
  struct owners *owners = owners_new(loop);
  int rc =
      e && owners && alarms_join(&e->alarms, 1) == 0 ? uv_timer_init(loop, &e->timer) : -ENOMEM;
  if (rc) {
    owners_free(owners);
    if (e)
      alarms_free(&e->alarms);
    free(e);
    return rc;
  }
  e->timer.data = e;
  e->timer_due_ns = INT64_MAX;
  e->store = store;
  e->events = *events;
  e->arg = arg;
  e->owners = owners;
  e->window.fire = on_window;
  e->entries.key = entry_key;
  e->checks.key = check_key;
  e->answers_last = &e->answers;
  e->gathered_last = &e->gathered;
  e->index = (uint64_t)clock_wall_us();
  *out = e;
  return 0;
}

static void answers_tell(struct embedded *e) {
  struct answer *list = e->answers;
  e->answers = NULL;
  e->answers_last = &e->answers;
  for (struct answer *a = list, *next; a; a = next) {
    next = a->next;
    if (a->done)
      a->done(a->arg, a->fault.code, a->fault.text);
    free(a);
  }
}

static void on_closed(uv_handle_t *handle) {
  free(handle->data);
}

void embedded_free(struct embedded *e) {
  if (!e)
    return;
  requests_abandon(e);
  answers_tell(e);
  for (uint32_t i = 0; i < e->entries.count; i++) {
    struct entry *en = e->entries.items[i];
    holding_free(en->holding);
    registration_state_unref(en->state);
    free(en);
  }
  table_free(&e->entries);
  table_free(&e->checks);
  alarms_free(&e->alarms);
  handles_free(&e->handles);
  owners_free(e->owners);
  uv_close((uv_handle_t *)&e->timer, on_closed);
}

/* One timer for all alarms, armed for the earliest. It may be late (the loop was busy) or early
 * (the loop's idea of now is a turn old): whatever it finds not due, it is armed for again. */
static void arm(struct embedded *e, uint64_t least_ms) {
  const struct alarm *first = alarms_first(&e->alarms);
  int64_t now = clock_now_ns();
  int64_t due = e->answers ? now : first ? first->due_ns : INT64_MAX;
  if (due == e->timer_due_ns)
    return;
  e->timer_due_ns = due;
  if (due == INT64_MAX) {
    uv_timer_stop(&e->timer);
    return;
  }
  uint64_t ms = due > now ? (uint64_t)(due - now + 999999) / 1000000 : 0;
  uv_timer_start(&e->timer, on_timer, ms > least_ms ? ms : least_ms, 0);
}

void schedule(struct embedded *e) {
  arm(e, 0);
}

uint32_t embedded_tick(struct embedded *e) {
  e->timer_due_ns = INT64_MAX;
  uint32_t fired = alarms_run(&e->alarms, clock_now_ns(), ALARMS_A_TURN);
  answers_tell(e);
  arm(e, 1); /* 0, from within a timer, would run again before the loop looks at its I/O */
  return fired;
}

uint64_t embedded_index(const struct embedded *e) {
  return e->index;
}

void embedded_index_raise(struct embedded *e, uint64_t floor) {
  if (floor > e->index)
    e->index = floor;
}

size_t embedded_count(const struct embedded *e) {
  return e->stats.registrations;
}

const struct registration_state *embedded_find(const struct embedded *e, const char *instance_id) {
  const struct entry *en = entry_find(e, instance_id);
  return en ? en->state : NULL;
}

void embedded_each(const struct embedded *e,
                   void (*each)(void *arg, const struct registration_state *s), void *arg) {
  for (uint32_t i = 0; i < e->entries.count; i++) {
    const struct entry *en = e->entries.items[i];
    if (en->state)
      each(arg, en->state);
  }
}

void embedded_stats(const struct embedded *e, struct embedded_stats *out) {
  *out = e->stats;
  out->checks = e->checks.count;
  out->alarm_moves = e->alarms.moves;
}
