/* instances: a list of instances with their statuses, as sources say and sets take them. Holds a
 * reference of each. Zero-initialised is empty. Control thread only. */
#pragma once

#include "watch/set.h"

struct fault;

struct instances {
  struct instance **items;
  enum status *statuses;
  size_t count, room;
};

int instances_add(struct instances *l, const struct instance *in, enum status status);
/* 0, or -ENOMEM and the list is what it was. */
int instances_copy(struct instances *l, const struct set_row *rows, size_t count);
/* Sorts it by id, and of those that share one keeps the last: how many are gone, and in `first`,
 * where there was one, which and where. Or -ENOMEM, and the list is what it was. */
int instances_settle(struct instances *l, struct fault *first);
void instances_free(struct instances *l);
