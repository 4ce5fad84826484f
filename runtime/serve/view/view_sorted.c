#include "serve/view/view_sorted.h"

#include <stdlib.h>
#include <string.h>

struct gathered {
  const void **items;
  size_t count;
};

static int gather_service(void *arg, const struct view_service *s) {
  struct gathered *g = arg;
  g->items[g->count++] = s;
  return 0;
}

static int gather_registration(void *arg, const struct registration_state *s) {
  struct gathered *g = arg;
  g->items[g->count++] = s;
  return 0;
}

static int by_name(const void *a, const void *b) {
  const struct view_service *const *x = a, *const *y = b;
  return strcmp((*x)->name, (*y)->name);
}

static int by_id(const void *a, const void *b) {
  const struct registration_state *const *x = a, *const *y = b;
  return strcmp((*x)->registration->instance->id, (*y)->registration->instance->id);
}

const struct view_service **services_sorted(const struct view_root *root, size_t *count) {
  struct gathered g = {.items = malloc((view_service_count(root) + 1) * sizeof *g.items)};
  if (!g.items)
    return NULL;
  view_each_service(root, gather_service, &g);
  qsort(g.items, g.count, sizeof *g.items, by_name);
  *count = g.count;
  return (const struct view_service **)g.items;
}

const struct registration_state **registrations_sorted(const struct view_root *root,
                                                       size_t *count) {
  struct gathered g = {.items = malloc((view_registration_count(root) + 1) * sizeof *g.items)};
  if (!g.items)
    return NULL;
  view_each_registration(root, gather_registration, &g);
  qsort(g.items, g.count, sizeof *g.items, by_id);
  *count = g.count;
  return (const struct registration_state **)g.items;
}
