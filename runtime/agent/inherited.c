#include "agent/inherited.h"

#include "base/log.h"
#include "catalog/writer.h"
#include "watch/set.h"

#include <stdlib.h>
#include <string.h>

/* The services to end: the catalog may not be changed while it lists them. */
struct endings {
  struct sets *sets;
  char **names;
  size_t count, room;
};

static int note(void *arg, const char *service) {
  struct endings *e = arg;
  if (sets_find(e->sets, service))
    return 0;
  if (e->count == e->room) {
    size_t room = e->room ? e->room * 2 : 64;
    char **names = realloc(e->names, room * sizeof *names);
    if (!names)
      return 1;
    e->names = names;
    e->room = room;
  }
  e->names[e->count] = strdup(service);
  return e->names[e->count++] ? 0 : 1;
}

void inherited_end(struct catalog_writer *catalog, struct sets *sets) {
  struct endings e = {.sets = sets};
  if (catalog_inherited(catalog, note, &e) != 0)
    log_error("out of memory: services that have ended stay in the catalog");
  for (size_t i = 0; i < e.count; i++) {
    if (e.names[i] && catalog_withdraw(catalog, e.names[i]) == 0)
      log_info("nobody publishes this service any more", LOG_S("service", e.names[i]));
    free(e.names[i]);
  }
  free(e.names);
}
