/* events: what is still to happen, earliest first; of two at the same time the one that was added
 * first, so that a run is the same each time. */
#pragma once

#include "backends.h"

#include <stddef.h>

enum event_kind { EVENT_CALL, EVENT_ANSWER, EVENT_SUM, EVENT_SWEEP, EVENT_PUBLISH };

struct event {
  uint64_t at_ns, number; /* `number` is given by events_add */
  enum event_kind kind;
  uint32_t process, slot;
  struct backend_answer answer;
};

/* Zero-initialise; ended by events_end. */
struct events {
  struct event *heap;
  size_t count, room;
  uint64_t added;
};

/* 0 or -ENOMEM. */
int events_add(struct events *e, struct event event);
/* False: nothing is left. */
bool events_next(struct events *e, struct event *next);
void events_end(struct events *e);
