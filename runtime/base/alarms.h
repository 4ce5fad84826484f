/* alarms: many deadlines in one binary heap, so that one timer serves 100,000 leases and setting,
 * moving or clearing one costs at most log2(n) swaps. The owner of an alarm embeds it; the heap
 * holds pointers. No thread of its own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct alarm {
  int64_t due_ns;    /* clock_now_ns */
  uint32_t position; /* in the heap, + 1; 0: not set */
  void (*fire)(struct alarm *a);
};

struct alarms { /* zero-initialised is empty */
  struct alarm **heap;
  uint32_t count, capacity;
  uint32_t members; /* alarms that exist, set or not: there is room for all of them */
  uint64_t moves;   /* heap places written, ever: what the work is */
};

void alarms_free(struct alarms *all);
/* `more` alarms exist from now on: setting them cannot fail. 0 or -ENOMEM. */
int alarms_join(struct alarms *all, uint32_t more);
void alarms_leave(struct alarms *all, uint32_t less);                /* after clearing them */
void alarm_set(struct alarms *all, struct alarm *a, int64_t due_ns); /* or moves it */
void alarm_clear(struct alarms *all, struct alarm *a);
static inline bool alarm_is_set(const struct alarm *a) {
  return a->position != 0;
}
/* The earliest, or NULL. */
struct alarm *alarms_first(const struct alarms *all);
/* Takes those due at `now_ns` out, earliest first, and calls their `fire`, which may set and clear
 * any; at most `most`. How many it called. */
uint32_t alarms_run(struct alarms *all, int64_t now_ns, uint32_t most);
