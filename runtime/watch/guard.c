#include "watch/guard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void held_drop(struct guard *g, size_t i) {
  instance_unref(g->held[i].instance);
  memmove(&g->held[i], &g->held[i + 1], (--g->count - i) * sizeof *g->held);
}

static int held_add(struct guard *g, const struct set_row *row, int64_t until_ns) {
  if (g->count == g->room) {
    size_t room = g->room ? g->room * 2 : 16;
    struct guard_held *held = realloc(g->held, room * sizeof *held);
    if (!held)
      return -ENOMEM;
    g->held = held;
    g->room = room;
  }
  g->held[g->count++] = (struct guard_held){instance_ref(row->instance), row->status, until_ns};
  return 0;
}

static int by_id(const void *a, const void *b) {
  return strcmp(((const struct guard_held *)a)->instance->id,
                ((const struct guard_held *)b)->instance->id);
}

static const struct guard_held *held_find(const struct guard *g, const struct instance *in) {
  const struct guard_held wanted = {.instance = (struct instance *)in};
  return g->count ? bsearch(&wanted, g->held, g->count, sizeof *g->held, by_id) : NULL;
}

static bool is_in(const struct instances *l, const char *id) {
  size_t low = 0, high = l->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    int order = strcmp(id, l->items[middle]->id);
    if (order == 0)
      return true;
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return false;
}

/* Those that came back, and those whose time is over. */
static void let_go(struct guard *g, const struct guard_update *u) {
  for (size_t i = g->count; i-- > 0;)
    if (g->held[i].until_ns <= u->now_ns || is_in(u->now, g->held[i].instance->id))
      held_drop(g, i);
}

static bool has_vanished(const struct guard *g, const struct guard_update *u,
                         const struct instance *in) {
  return !held_find(g, in) && !(u->withdrew && u->withdrew(u->arg, in));
}

/* Calls `each` with those of before that are not in the list now. Both are sorted by id. How many
 * stayed. */
static size_t compare(const struct guard_update *u,
                      void (*each)(void *arg, const struct set_row *row), void *arg) {
  size_t stayed = 0;
  for (size_t i = 0, k = 0; i < u->before_count; i++) {
    int order = 1;
    while (k < u->now->count &&
           (order = strcmp(u->now->items[k]->id, u->before[i].instance->id)) < 0)
      k++;
    if (k < u->now->count && order == 0)
      stayed++;
    else
      each(arg, &u->before[i]);
  }
  return stayed;
}

struct loss {
  struct guard *guard;
  const struct guard_update *update;
  struct guard known_before; /* the part that is sorted */
  size_t vanished;
  int rc, holding;
};

static void loss_count(void *arg, const struct set_row *row) {
  struct loss *l = arg;
  l->vanished += has_vanished(l->guard, l->update, row->instance);
}

static void loss_hold(void *arg, const struct set_row *row) {
  struct loss *l = arg;
  l->known_before.held = l->guard->held;
  if (l->rc == 0 && has_vanished(&l->known_before, l->update, row->instance) &&
      (l->rc = held_add(l->guard, row, l->update->now_ns + l->update->hold_ns)) == 0)
    l->holding++;
}

int guard_update(struct guard *g, const struct guard_update *u) {
  /* What was held before this update has been counted as lost; only what was really there counts.
   */
  size_t known = u->before_count - g->count;
  struct loss loss = {.guard = g, .update = u, .known_before = {.count = g->count}};
  size_t stayed = compare(u, loss_count, &loss), arrived = u->now->count - stayed;
  size_t net = loss.vanished > arrived ? loss.vanished - arrived : 0;
  if (u->hold_ns > 0 && net >= GUARD_LEAST && net * 2 > known)
    compare(u, loss_hold, &loss);
  if (loss.holding)
    qsort(g->held, g->count, sizeof *g->held, by_id);
  let_go(g, u);
  return loss.rc ? loss.rc : loss.holding;
}

bool guard_disprove(struct guard *g, const char *id) {
  for (size_t i = 0; i < g->count; i++)
    if (strcmp(g->held[i].instance->id, id) == 0) {
      held_drop(g, i);
      return true;
    }
  return false;
}

int64_t guard_due_ns(const struct guard *g) {
  int64_t due = 0;
  for (size_t i = 0; i < g->count; i++)
    if (due == 0 || g->held[i].until_ns < due)
      due = g->held[i].until_ns;
  return due;
}

void guard_free(struct guard *g) {
  while (g->count)
    held_drop(g, g->count - 1);
  free(g->held);
  *g = (struct guard){0};
}
