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

static bool has_vanished(const struct guard *g, const struct guard_update *u, size_t i) {
  const struct instance *in = u->before[i].instance;
  return !is_in(u->now, in->id) && !held_find(g, in) && !(u->withdrew && u->withdrew(u->arg, in));
}

int guard_update(struct guard *g, const struct guard_update *u) {
  size_t known = u->before_count - g->count, vanished = 0, stayed = 0, first = g->count;
  /* What was held before this update has been counted as lost; only what was really there counts.
   */
  for (size_t i = 0; i < u->before_count; i++) {
    vanished += has_vanished(g, u, i);
    stayed += is_in(u->now, u->before[i].instance->id);
  }
  size_t arrived = u->now->count - stayed, net = vanished > arrived ? vanished - arrived : 0;
  bool hold = net >= GUARD_LEAST && net * 2 > known;
  int rc = 0, holding = 0;
  for (size_t i = 0; hold && rc == 0 && i < u->before_count; i++) {
    struct guard known_before = {.held = g->held, .count = first}; /* the part that is sorted */
    if (has_vanished(&known_before, u, i) &&
        (rc = held_add(g, &u->before[i], u->now_ns + GUARD_HOLD_NS)) == 0)
      holding++;
  }
  if (holding)
    qsort(g->held, g->count, sizeof *g->held, by_id);
  let_go(g, u);
  return rc ? rc : holding;
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
