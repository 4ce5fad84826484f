/* drained: instances that an operator has taken out of everything that follows this agent's
 * registrations, for as long as they are registered, over restarts too. Control thread only. */
#pragma once

#include "registry/store.h"
#include "watch/table.h"

#include <stdbool.h>

struct drained {
  struct table table;
  struct store *store;
};

int drained_recall(struct drained *d, struct store *store); /* 0 or -ENOMEM */
void drained_free(struct drained *d);                       /* the store keeps them */
bool drained_has(const struct drained *d, const char *id);
/* `done` (may be NULL) is called when the disk has it. 0, or a negative errno and it is not; that
 * it is so already is said to the disk again. */
int drained_set(struct drained *d, const char *id, bool drained, store_done done, void *arg);
