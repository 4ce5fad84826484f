/* slots: the numbers that instances keep for life. Freed ones rest 60 s, so that a late report of
 * a call is not counted for the next owner; the generation tells the two apart. Numbers begin at 1,
 * generations at `first`: later than all of a file before this one that was not taken over, so that
 * what a process holds from there is nobody's here.
 * Control thread only. */
#pragma once

#include "catalog/arena.h"

struct slot_rest {
  uint32_t slot;
  int64_t since_ns;
};

struct slots {
  uint8_t *taken;  /* by slot: 1 = an instance has it */
  uint32_t room;   /* of `taken` */
  uint32_t count;  /* the largest number given out */
  uint32_t in_use; /* taken ones */
  uint32_t first;  /* not 0 */
  uint32_t *free;  /* a stack */
  uint32_t free_count;
  struct slot_rest *rests; /* a ring, oldest first */
  uint32_t rest_first, rest_count, rest_room;
};

int slots_take(struct slots *s, struct arena *a, uint32_t *slot, uint32_t *generation);
void slots_free(struct slots *s, uint32_t slot); /* ignores what is not taken */
void slots_reclaim(struct slots *s, int64_t now_ns);
void slots_end(struct slots *s);

/* Take-over: brings `slot` with its generation into a new file and takes it. 0 also when it is
 * taken already. -ENOSPC, -ENOMEM. */
int slots_restore(struct slots *s, struct arena *a, uint32_t slot, uint32_t generation);
/* After the last of them: all numbers below the largest that nobody has begin to rest. */
int slots_restored(struct slots *s, struct arena *a, uint32_t count);
