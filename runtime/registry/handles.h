/* handles: numbers for things that may be gone when somebody comes back with the number. A number
 * is a place and how often that place was given out, so it is never reused. Zero-initialised is
 * empty. */
#pragma once

#include <stdint.h>

struct handles {
  struct handle_place *places;
  uint32_t count, capacity, free; /* `free`: the first free place + 1 */
};

void handles_free(struct handles *all);
int handles_reserve(struct handles *all, uint32_t more); /* 0 or -ENOMEM */
/* Room must have been reserved. Never 0. */
uint64_t handle_give(struct handles *all, void *thing);
void *handle_thing(const struct handles *all, uint64_t handle); /* NULL: taken back */
void handle_change(struct handles *all, uint64_t handle, void *thing);
void handle_take_back(struct handles *all, uint64_t handle);
