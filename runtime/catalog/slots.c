#include "catalog/slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SLOT_REST_SECONDS = 60, SLOTS_MAX = CATALOG_CHUNK * CATALOG_CHUNK - 1 };

/* Room for slot `slot` in the private tables and the file. All the memory that freeing it needs
 * later is taken here, so that slots_free cannot fail. */
static int reserve(struct slots *s, struct arena *a, uint32_t slot) {
  if (slot > SLOTS_MAX)
    return -ENOSPC;
  if (slot >= s->room) {
    uint32_t room = s->room ? s->room * 2 : CATALOG_CHUNK;
    while (room <= slot)
      room *= 2;
    uint8_t *taken = realloc(s->taken, room);
    if (taken)
      s->taken = taken;
    uint32_t *stack = realloc(s->free, room * sizeof *stack);
    if (stack)
      s->free = stack;
    struct slot_rest *ring = malloc(room * sizeof *ring);
    if (!taken || !stack || !ring) {
      free(ring);
      return -ENOMEM;
    }
    for (uint32_t i = 0; i < s->rest_count; i++)
      ring[i] = s->rests[(s->rest_first + i) % s->rest_room];
    free(s->rests);
    s->rests = ring;
    s->rest_first = 0;
    s->rest_room = room;
    memset(taken + s->room, 0, room - s->room);
    s->room = room;
  }
  return arena_chunk(a, CATALOG_SLOTS, slot);
}

static void begin(struct slots *s, struct arena *a, uint32_t slot, uint32_t generation) {
  struct catalog_slot *live = arena_item(a, CATALOG_SLOTS, slot);
  catalog_store32(&live->in_flight, 0);
  catalog_store64(&live->latency_ns, 0);
  catalog_store64(&live->ejected_until_ns, 0);
  catalog_store64(&live->born_ns, 0);
  catalog_store32(&live->ejections, 0);
  catalog_store32(&live->failing, 0);
  catalog_release32(&live->generation, generation);
  s->taken[slot] = 1;
  s->in_use++;
}

static void rest(struct slots *s, uint32_t slot) {
  s->rests[(s->rest_first + s->rest_count++) % s->rest_room] =
      (struct slot_rest){slot, arena_coarse_ns()};
}

int slots_take(struct slots *s, struct arena *a, uint32_t *slot, uint32_t *generation) {
  uint32_t number = s->free_count ? s->free[s->free_count - 1] : s->count + 1;
  int r = reserve(s, a, number);
  if (r < 0)
    return r;
  if (s->free_count) {
    s->free_count--;
  } else {
    s->count = number;
    catalog_store32(&arena_header(a)->slots, number);
  }
  const struct catalog_slot *live = arena_item(a, CATALOG_SLOTS, number);
  uint32_t last = catalog_load32(&live->generation), next = last ? last + 1 : s->first;
  *slot = number;
  *generation = next ? next : 1;
  begin(s, a, number, *generation);
  return 0;
}

void slots_free(struct slots *s, uint32_t slot) {
  if (slot >= s->room || !s->taken[slot])
    return;
  s->taken[slot] = 0;
  s->in_use--;
  rest(s, slot);
}

void slots_reclaim(struct slots *s, int64_t now_ns) {
  const int64_t rest_ns = (int64_t)SLOT_REST_SECONDS * 1000000000;
  while (s->rest_count && now_ns - s->rests[s->rest_first].since_ns >= rest_ns) {
    s->free[s->free_count++] = s->rests[s->rest_first].slot;
    s->rest_first = (s->rest_first + 1) % s->rest_room;
    s->rest_count--;
  }
}

int slots_restore(struct slots *s, struct arena *a, uint32_t slot, uint32_t generation) {
  int r = reserve(s, a, slot);
  if (r == 0 && !s->taken[slot])
    begin(s, a, slot, generation);
  return r;
}

int slots_restored(struct slots *s, struct arena *a, uint32_t count) {
  for (uint32_t slot = 1; slot <= count; slot++) {
    int r = reserve(s, a, slot);
    if (r < 0)
      return r;
    if (!s->taken[slot])
      rest(s, slot);
  }
  s->count = count;
  catalog_store32(&arena_header(a)->slots, count);
  return 0;
}

void slots_end(struct slots *s) {
  free(s->taken);
  free(s->free);
  free(s->rests);
}
