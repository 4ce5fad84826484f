#include "serve/http/deadline.h"

static void deadlines_arm(struct deadlines *all);

static void deadline_remove(struct deadline *d) {
  if (d->kind == DEADLINE_NONE)
    return;
  d->previous->next = d->next;
  d->next->previous = d->previous;
  *d = (struct deadline){0};
}

static void on_timer(uv_timer_t *timer) {
  struct deadlines *all = timer->data;
  uint64_t now = uv_now(timer->loop);
  all->armed_ms = UINT64_MAX;
  for (int kind = DEADLINE_NONE + 1; kind < DEADLINE_KINDS; kind++) {
    struct deadline *list = &all->lists[kind];
    while (list->next != list && list->next->due_ms <= now) {
      struct deadline *d = list->next;
      deadline_remove(d);
      all->expired(d, (enum deadline_kind)kind);
    }
  }
  deadlines_arm(all);
}

/* The timer is only ever moved to an earlier time. One that fires early, because what it was set
 * for went away, is set anew: rarely, as the spans are long and the requests are not. */
static void deadlines_arm(struct deadlines *all) {
  uint64_t soonest = UINT64_MAX;
  for (int kind = DEADLINE_NONE + 1; kind < DEADLINE_KINDS; kind++) {
    const struct deadline *list = &all->lists[kind];
    if (list->next != list && list->next->due_ms < soonest)
      soonest = list->next->due_ms;
  }
  if (soonest >= all->armed_ms)
    return;
  uint64_t now = uv_now(all->timer.loop);
  all->armed_ms = soonest;
  uv_timer_start(&all->timer, on_timer, soonest > now ? soonest - now : 0, 0);
}

void deadlines_open(struct deadlines *all, uv_loop_t *loop, const uint32_t *span_ms,
                    void (*expired)(struct deadline *d, enum deadline_kind kind)) {
  uv_timer_init(loop, &all->timer);
  all->timer.data = all;
  all->armed_ms = UINT64_MAX;
  all->expired = expired;
  for (int kind = 0; kind < DEADLINE_KINDS; kind++) {
    all->span_ms[kind] = span_ms[kind];
    all->lists[kind].previous = all->lists[kind].next = &all->lists[kind];
  }
}

void deadlines_close(struct deadlines *all) {
  uv_close((uv_handle_t *)&all->timer, NULL);
}

void deadline_set(struct deadlines *all, struct deadline *d, enum deadline_kind kind) {
  deadline_remove(d);
  if (kind == DEADLINE_NONE)
    return;
  struct deadline *list = &all->lists[kind];
  d->kind = kind;
  d->due_ms = uv_now(all->timer.loop) + all->span_ms[kind];
  d->previous = list->previous;
  d->next = list;
  list->previous->next = d;
  list->previous = d;
  if (d->due_ms < all->armed_ms)
    deadlines_arm(all);
}
