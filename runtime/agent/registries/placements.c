#include "agent/registries/placements.h"

#include "base/fault.h"
#include "base/value.h"
#include "config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_id(const void *a, const void *b) {
  return strcmp(((const struct placement *)a)->id, ((const struct placement *)b)->id);
}

const struct placement *placement_find(const struct placements *all, const char *id) {
  const struct placement wanted = {.id = (char *)id};
  return all->count == 0 ? NULL
                         : bsearch(&wanted, all->items, all->count, sizeof *all->items, by_id);
}

bool placement_names(const struct placement *p, const char *registry) {
  for (size_t i = 0; p && i < value_length(p->registries); i++)
    if (strcmp(value_as_text(value_at(p->registries, i), ""), registry) == 0)
      return true;
  return false;
}

bool placements_name(const struct placements *all, const char *registry) {
  for (size_t i = 0; i < all->count; i++)
    if (placement_names(&all->items[i], registry))
      return true;
  return false;
}

void placements_free(struct placements *all) {
  for (size_t i = 0; i < all->count; i++) {
    free(all->items[i].service);
    free(all->items[i].id);
    value_unref(all->items[i].registries);
  }
  free(all->items);
  *all = (struct placements){0};
}

int placements_of(const struct config *config, struct placements *out, struct fault *f) {
  *out = (struct placements){calloc(config->service_count + 1, sizeof *out->items), 0};
  bool whole = out->items != NULL;
  for (size_t i = 0; whole && i < config->service_count; i++) {
    struct placement *p = &out->items[out->count++];
    p->service = strdup(config->services[i]->instance->service);
    p->id = strdup(config->services[i]->instance->id);
    p->registries = value_ref(config->service_registries[i]);
    whole = p->service && p->id;
  }
  if (!whole) {
    placements_free(out);
    return fault_set(f, -ENOMEM, "out of memory");
  }
  qsort(out->items, out->count, sizeof *out->items, by_id);
  return 0;
}
