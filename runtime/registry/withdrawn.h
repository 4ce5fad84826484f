/* withdrawn: what this agent itself has taken out of a registry lately. A watch hears of that when
 * the entry is long forgotten here, and the guard against mass loss asks whether it was meant.
 * Control thread only. */
#pragma once

#include "watch/table.h"

#include <stdbool.h>

struct withdrawn_one;
struct withdrawn {
  struct table table;
  struct withdrawn_one *first, **last; /* oldest first */
};

void withdrawn_init(struct withdrawn *w);
void withdrawn_end(struct withdrawn *w);

/* By desired_key. For a minute; without memory for it, not at all. */
void withdrawn_add(struct withdrawn *w, const char *key);
bool withdrawn_has(const struct withdrawn *w, const char *service, const char *id);
