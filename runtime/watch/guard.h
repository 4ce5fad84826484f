/* guard: does not believe a sudden loss at once. When more than half of a service's endpoints, and
 * at least three, vanish in one update, net of those that arrived with it, they are held for a
 * while
 * (`hold`, 30 s), or until somebody finds that they do not answer. One or two that go are no sudden
 * loss whatever they are of: of so few, that is how a service ends. What was withdrawn by this
 * agent itself is none either. Pure but for the clock; control thread only. */
#pragma once

#include "watch/instances.h"

#include <stdbool.h>

#define GUARD_HOLD_NS (INT64_C(30) * 1000000000)
enum { GUARD_LEAST = 3 };

struct guard_held {
  struct instance *instance; /* a reference */
  enum status status;
  int64_t until_ns;
};

struct guard {             /* zero-initialised holds nothing */
  struct guard_held *held; /* by id */
  size_t count, room;
};

struct guard_update {
  const struct set_row *before; /* what is published, by id */
  size_t before_count;
  const struct instances *now; /* what the source says, by id */
  /* Whether we withdrew it ourselves; may be NULL. */
  bool (*withdrew)(void *arg, const struct instance *in);
  void *arg;
  int64_t now_ns, hold_ns; /* hold_ns 0: whatever is lost is believed */
};

/* What of `before` is held is added to the guard. Returns how many were newly held; -ENOMEM: none.
 */
int guard_update(struct guard *g, const struct guard_update *u);
/* Lets go of one that does not answer: true when it was held. */
bool guard_disprove(struct guard *g, const char *id);
int64_t guard_due_ns(const struct guard *g); /* when the next is let go; 0: none is held */
void guard_free(struct guard *g);
