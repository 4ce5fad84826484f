/* deadline: when to give up on each of a worker's connections, with one uv_timer for all. Every
 * kind has one span, so each kind's list is in order by itself, and setting a deadline costs two
 * list operations and no system call. Worker thread. */
#pragma once

#include <stdint.h>
#include <uv.h>

enum deadline_kind {
  DEADLINE_NONE,
  DEADLINE_IDLE,
  DEADLINE_HEADER,
  DEADLINE_BODY,
  DEADLINE_WRITE,
  DEADLINE_LINGER,
  DEADLINE_KINDS
};

struct deadline { /* zero-initialised: none set */
  struct deadline *previous, *next;
  uint64_t due_ms; /* by uv_now */
  enum deadline_kind kind;
};

struct deadlines {
  uv_timer_t timer;
  uint64_t armed_ms; /* when the timer fires; UINT64_MAX: it is not set */
  uint32_t span_ms[DEADLINE_KINDS];
  struct deadline lists[DEADLINE_KINDS]; /* rings, soonest first */
  void (*expired)(struct deadline *d, enum deadline_kind kind);
};

/* `span_ms` has DEADLINE_KINDS spans. `expired` is called once a deadline, which is then unset. */
void deadlines_open(struct deadlines *all, uv_loop_t *loop, const uint32_t *span_ms,
                    void (*expired)(struct deadline *d, enum deadline_kind kind));
void deadlines_close(struct deadlines *all); /* memory stays until the close callbacks ran */
/* From now; replaces the one that was set. DEADLINE_NONE unsets. */
void deadline_set(struct deadlines *all, struct deadline *d, enum deadline_kind kind);
