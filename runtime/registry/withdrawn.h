/* withdrawn: what this agent itself has taken out of a registry lately. A watch hears of that when
 * the entry is long forgotten here, and the guard against mass loss asks whether it was meant.
 * Control thread only. */
#pragma once

#include "watch/table.h"

#include <stdbool.h>
#include <stdint.h>

struct withdrawn_one;
struct withdrawn {
  struct table table;
  int64_t remembered_ns;
  struct withdrawn_one *first, **last; /* oldest first */
};

void withdrawn_init(struct withdrawn *w, double seconds); /* for which it is remembered */
void withdrawn_end(struct withdrawn *w);

/* By desired_key. Without memory for it, not at all. */
void withdrawn_add(struct withdrawn *w, const char *key);
bool withdrawn_has(const struct withdrawn *w, const char *service, const char *id);
/* The same, and it was so at this time (clock_now_ns) already. */
bool withdrawn_before(const struct withdrawn *w, const char *service, const char *id,
                      int64_t time_ns);
