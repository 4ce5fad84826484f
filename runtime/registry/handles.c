#include "registry/handles.h"

#include <errno.h>
#include <stdlib.h>

enum { PLACE_BITS = 24 };

struct handle_place {
  void *thing;     /* NULL: free */
  uint64_t handle; /* the number it has, or had last */
  uint32_t next;   /* of the free ones, + 1 */
};

void handles_free(struct handles *all) {
  free(all->places);
  *all = (struct handles){0};
}

int handles_reserve(struct handles *all, uint32_t more) {
  uint64_t need = (uint64_t)all->count + more; /* as if none were free */
  if (need <= all->capacity)
    return 0;
  if (need >= 1u << PLACE_BITS)
    return -ENOMEM;
  uint32_t room = (uint32_t)need + all->capacity / 2 + 4;
  struct handle_place *grown = realloc(all->places, room * sizeof *grown);
  if (!grown)
    return -ENOMEM;
  all->places = grown;
  all->capacity = room;
  return 0;
}

uint64_t handle_give(struct handles *all, void *thing) {
  struct handle_place *p;
  if (all->free) {
    p = &all->places[all->free - 1];
    all->free = p->next;
  } else {
    p = &all->places[all->count];
    *p = (struct handle_place){.handle = all->count++};
  }
  p->handle += UINT64_C(1) << PLACE_BITS;
  p->thing = thing;
  return p->handle;
}

static struct handle_place *find(const struct handles *all, uint64_t handle) {
  uint32_t at = (uint32_t)handle & ((1u << PLACE_BITS) - 1);
  if (at >= all->count || all->places[at].handle != handle || !all->places[at].thing)
    return NULL;
  return &all->places[at];
}

void *handle_thing(const struct handles *all, uint64_t handle) {
  struct handle_place *p = find(all, handle);
  return p ? p->thing : NULL;
}

void handle_change(struct handles *all, uint64_t handle, void *thing) {
  struct handle_place *p = find(all, handle);
  if (p)
    p->thing = thing;
}

void handle_take_back(struct handles *all, uint64_t handle) {
  struct handle_place *p = find(all, handle);
  if (!p)
    return;
  p->thing = NULL;
  p->next = all->free;
  all->free = (uint32_t)(p - all->places) + 1;
}
