#include "base/alarms.h"

#include <errno.h>
#include <stdlib.h>

void alarms_free(struct alarms *all) {
  free(all->heap);
  *all = (struct alarms){0};
}

int alarms_join(struct alarms *all, uint32_t more) {
  uint64_t need = (uint64_t)all->members + more;
  if (need > UINT32_MAX / 4)
    return -ENOMEM;
  if (need > all->capacity) {
    uint32_t room = (uint32_t)need + all->capacity / 2 + 4;
    struct alarm **grown = realloc(all->heap, room * sizeof(struct alarm *));
    if (!grown)
      return -ENOMEM;
    all->heap = grown;
    all->capacity = room;
  }
  all->members = (uint32_t)need;
  return 0;
}

void alarms_leave(struct alarms *all, uint32_t less) {
  all->members -= less;
}

static void put(struct alarms *all, uint32_t at, struct alarm *a) {
  all->heap[at] = a;
  a->position = at + 1;
  all->moves++;
}

static void rise(struct alarms *all, uint32_t at, struct alarm *a) {
  while (at > 0 && all->heap[(at - 1) / 2]->due_ns > a->due_ns) {
    put(all, at, all->heap[(at - 1) / 2]);
    at = (at - 1) / 2;
  }
  put(all, at, a);
}

static void sink(struct alarms *all, uint32_t at, struct alarm *a) {
  for (uint32_t child; (child = 2 * at + 1) < all->count; at = child) {
    if (child + 1 < all->count && all->heap[child + 1]->due_ns < all->heap[child]->due_ns)
      child++;
    if (all->heap[child]->due_ns >= a->due_ns)
      break;
    put(all, at, all->heap[child]);
  }
  put(all, at, a);
}

static void settle(struct alarms *all, uint32_t at, struct alarm *a) {
  if (at > 0 && all->heap[(at - 1) / 2]->due_ns > a->due_ns)
    rise(all, at, a);
  else
    sink(all, at, a);
}

void alarm_set(struct alarms *all, struct alarm *a, int64_t due_ns) {
  a->due_ns = due_ns;
  if (a->position)
    settle(all, a->position - 1, a);
  else
    rise(all, all->count++, a);
}

void alarm_clear(struct alarms *all, struct alarm *a) {
  if (!a->position)
    return;
  uint32_t at = a->position - 1;
  struct alarm *last = all->heap[--all->count];
  a->position = 0;
  if (last != a)
    settle(all, at, last);
}

struct alarm *alarms_first(const struct alarms *all) {
  return all->count ? all->heap[0] : NULL;
}

uint32_t alarms_run(struct alarms *all, int64_t now_ns, uint32_t most) {
  uint32_t fired = 0;
  while (fired < most && all->count && all->heap[0]->due_ns <= now_ns) {
    struct alarm *a = all->heap[0];
    alarm_clear(all, a);
    a->fire(a);
    fired++;
  }
  return fired;
}
