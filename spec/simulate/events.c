#include "events.h"

#include <errno.h>
#include <stdlib.h>

static bool before(const struct event *a, const struct event *b) {
  return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->number < b->number;
}

int events_add(struct events *e, struct event event) {
  if (e->count == e->room) {
    size_t room = e->room ? e->room * 2 : 1024;
    struct event *heap = realloc(e->heap, room * sizeof *heap);
    if (!heap)
      return -ENOMEM;
    e->heap = heap;
    e->room = room;
  }
  event.number = e->added++;
  size_t i = e->count++;
  for (; i > 0 && before(&event, &e->heap[(i - 1) / 2]); i = (i - 1) / 2)
    e->heap[i] = e->heap[(i - 1) / 2];
  e->heap[i] = event;
  return 0;
}

bool events_next(struct events *e, struct event *next) {
  if (e->count == 0)
    return false;
  *next = e->heap[0];
  struct event last = e->heap[--e->count];
  size_t i = 0, child;
  while ((child = 2 * i + 1) < e->count) {
    if (child + 1 < e->count && before(&e->heap[child + 1], &e->heap[child]))
      child++;
    if (!before(&e->heap[child], &last))
      break;
    e->heap[i] = e->heap[child];
    i = child;
  }
  e->heap[i] = last;
  return true;
}

void events_end(struct events *e) {
  free(e->heap);
}
