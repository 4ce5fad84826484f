#include "catalog/live.h"

#include "catalog/writer_state.h"

struct catalog_slot *catalog_live_slot(const struct catalog_writer *w, uint32_t slot) {
  return slot && slot <= w->slots.count ? arena_item(&w->arena, CATALOG_SLOTS, slot) : NULL;
}

uint32_t catalog_live_slots(const struct catalog_writer *w) {
  return w->slots.count;
}

void catalog_live_service(const struct catalog_writer *w, const char *service, uint32_t in_flight,
                          uint32_t retries) {
  int64_t number = directory_find(&w->directory, &w->arena, service);
  if (number < 0)
    return;
  struct catalog_entry *entry = directory_entry(&w->arena, (uint32_t)number);
  catalog_store32(&entry->in_flight, in_flight);
  catalog_store32(&entry->retries, retries);
}

void catalog_live_collecting(const struct catalog_writer *w, bool on) {
  catalog_store32(&arena_header(&w->arena)->collecting, on);
}
