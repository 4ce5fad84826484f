#include "serve/view/parking.h"

#include "base/clock.h"
#include "serve/view/view.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_AT_ONCE = 256 }; /* alarms that are run in one turn */

static void on_timer(uv_timer_t *timer);

static void parking_arm(struct parking *all) {
  const struct alarm *first = alarms_first(&all->alarms);
  if (!first) {
    uv_timer_stop(&all->timer);
    return;
  }
  int64_t wait = first->due_ns - clock_now_ns();
  uv_timer_start(&all->timer, on_timer, wait > 0 ? (uint64_t)(wait + 999999) / 1000000 : 0, 0);
}

static void row_put(struct parked **row, struct parked *p) {
  p->next = *row;
  p->link = row;
  if (p->next)
    p->next->link = &p->next;
  *row = p;
}

static void row_take(struct parked *p) {
  *p->link = p->next;
  if (p->next)
    p->next->link = p->link;
}

void parking_remove(struct parked *p) {
  struct parking *all = p->parking;
  if (!all)
    return;
  row_take(p);
  alarm_clear(&all->alarms, &p->alarm);
  alarms_leave(&all->alarms, 1);
  free(p->service);
  *p = (struct parked){0};
  atomic_fetch_sub(&all->used, 1);
}

static void parked_ready(struct parked *p, bool over) {
  void (*ready)(struct parked * p, bool over) = p->parking->ready;
  parking_remove(p);
  ready(p, over);
}

static void on_due(struct alarm *a) {
  parked_ready((struct parked *)((char *)a - offsetof(struct parked, alarm)), true);
}

static void on_timer(uv_timer_t *timer) {
  struct parking *all = timer->data;
  alarms_run(&all->alarms, clock_now_ns(), LOOK_AT_ONCE);
  parking_arm(all);
}

void parking_open(struct parking *all, uv_loop_t *loop, struct view *view, unsigned worker) {
  all->view = view;
  all->worker = worker;
  uv_timer_init(loop, &all->timer);
  all->timer.data = all;
}

bool parking_add(struct parking *all, struct parked *p, const struct view_root *root,
                 const char *service, parking_state state, int64_t until_ns) {
  char *copy = service ? strdup(service) : NULL;
  if ((service && !copy) || alarms_join(&all->alarms, 1) != 0) {
    free(copy);
    return false;
  }
  *p = (struct parked){
      .parking = all, .state = state, .seen = state(root, service), .service = copy};
  p->alarm.fire = on_due;
  row_put(&all->rows[service ? shard_of(service) : SHARDS], p);
  alarm_set(&all->alarms, &p->alarm, until_ns);
  if (alarms_first(&all->alarms) == &p->alarm)
    parking_arm(all);
  /* From here on the control thread rings; what it has shown before that is looked for here. */
  atomic_fetch_add(&all->used, 1);
  if (view_is_old(all->view, root))
    all->ring(all->arg);
  return true;
}

/* Those of one row whose state is another now, into `moved`. */
static void row_look(struct parked **row, const struct view_root *root, struct parked **moved) {
  for (struct parked *p = *row, *next; p; p = next) {
    next = p->next;
    if (p->state(root, p->service) == p->seen)
      continue;
    row_take(p);
    row_put(moved, p);
  }
}

/* Whoever is ready may park again, or have others removed: so they are taken out first. */
void parking_look(struct parking *all) {
  struct parked *moved = NULL;
  if (atomic_load(&all->used) == 0)
    return;
  const struct view_root *root = view_enter(all->view, all->worker);
  for (unsigned i = 0; i < SHARDS; i++)
    if (all->rows[i] && view_shard_shown(root, i) > all->looked)
      row_look(&all->rows[i], root, &moved);
  if (view_number(root) > all->looked)
    row_look(&all->rows[SHARDS], root, &moved);
  all->looked = view_number(root);
  view_leave(all->view, all->worker);
  while (moved)
    parked_ready(moved, false);
  parking_arm(all);
}

void parking_end(struct parking *all) {
  for (unsigned i = 0; i < PARKING_ROWS; i++)
    while (all->rows[i])
      parked_ready(all->rows[i], true);
  uv_close((uv_handle_t *)&all->timer, NULL);
}

void parking_free(struct parking *all) {
  alarms_free(&all->alarms);
}
