#include "catalog/writer_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A service is published at most every ten times its build time. That is CPU time: readers are not
 * slow because the writer had to wait for a processor. */
enum { BUILD_TIMES = 10 };

int64_t writer_add_service(struct catalog_writer *w, const char *name) {
  if (w->directory.count == w->service_room) {
    uint32_t room = w->service_room ? w->service_room * 2 : 64;
    struct service *services = realloc(w->services, room * sizeof *services);
    if (!services)
      return -ENOMEM;
    memset(services + w->service_room, 0, (room - w->service_room) * sizeof *services);
    w->services = services;
    w->service_room = room;
  }
  return directory_add(&w->directory, &w->arena, name);
}

int writer_store_block(struct catalog_writer *w, const void *bytes, size_t length,
                       uint32_t *granule) {
  int r = arena_take(&w->arena, catalog_granules(length), granule);
  if (r < 0)
    return r;
  r = arena_write(&w->arena, *granule, bytes, length);
  if (r < 0)
    arena_give_back(&w->arena, *granule, catalog_granules(length));
  return r;
}

/* For people who look at the file's header. */
static void count(struct catalog_writer *w, const struct service *s, int sign) {
  struct catalog_header *h = arena_header(&w->arena);
  w->live_services += (uint64_t)sign;
  w->live_endpoints += (uint64_t)sign * s->count;
  catalog_store32(&h->services, (uint32_t)w->live_services);
  catalog_store32(&h->endpoints, (uint32_t)w->live_endpoints);
}

void writer_switch(struct catalog_writer *w, uint32_t entry, uint32_t granule, size_t length,
                   uint32_t endpoints, uint64_t version) {
  struct catalog_entry *e = directory_entry(&w->arena, entry);
  struct service *s = &w->services[entry], old = *s;
  /* First the block, then the version: who has read a version finds a block at least as new. */
  catalog_release64(&e->current, granule ? arena_current(&w->arena, granule) : 0);
  if (version) {
    catalog_store64(&arena_header(&w->arena)->version, w->version);
    catalog_release64(&e->version, version);
    catalog_release32(&e->futex, (uint32_t)version);
    catalog_wake(&e->futex);
  }
  s->granule = granule;
  s->granules = granule ? catalog_granules(length) : 0;
  s->count = endpoints;
  s->inherited = false;
  if (old.granule) {
    count(w, &old, -1);
    arena_rest(&w->arena, old.granule, old.granules); /* out of memory: those granules are lost */
  }
  if (granule)
    count(w, s, 1);
}

static int64_t find_or_add(struct catalog_writer *w, const char *name) {
  int64_t entry = directory_find(&w->directory, &w->arena, name);
  return entry < 0 ? writer_add_service(w, name) : entry;
}

/* The service's block, where its tables are those that the draft needs. */
static const struct catalog_block *same_tables(const struct catalog_writer *w, const char *name,
                                               const struct block_draft *d) {
  int64_t entry = d->key ? directory_find(&w->directory, &w->arena, name) : -ENOENT;
  if (entry < 0 || !w->services[entry].granule || w->services[entry].tables_key != d->key)
    return NULL;
  return arena_at(&w->arena, w->services[entry].granule);
}

/* What was built; `begun_ns` of this thread's CPU time, or so that the time of another one counts.
 */
static int publish_draft(struct catalog_writer *w, const struct block_draft *d,
                         const struct catalog_snapshot *snapshot, int64_t begun_ns,
                         uint64_t *version) {
  int64_t entry = find_or_add(w, snapshot->service);
  uint32_t granule;
  if (entry < 0)
    return (int)entry;
  struct service *s = &w->services[entry];
  uint64_t now = catalog_load64(&directory_entry(&w->arena, (uint32_t)entry)->version);
  bool moves = snapshot->moves_version || !s->granule;
  struct catalog_block *head = (struct catalog_block *)d->bytes;
  head->version = moves ? w->version + 1 : now;
  head->published_us = arena_unix_us();
  int r = writer_store_block(w, d->bytes, d->length, &granule);
  if (r < 0)
    return r;
  if (moves)
    w->version++;
  writer_switch(w, (uint32_t)entry, granule, d->length, (uint32_t)snapshot->count,
                moves ? w->version : 0);
  s->tables_key = d->key;
  s->published_ns = arena_now_ns();
  s->build_ns = arena_thread_ns() - begun_ns;
  *version = head->version;
  return 0;
}

static int build_and_publish(struct catalog_writer *w, const struct catalog_snapshot *snapshot,
                             uint64_t *version) {
  int64_t begun_ns = arena_thread_ns();
  int r = block_arrange(&w->draft, snapshot);
  if (r == 0)
    r = block_build(&w->draft, snapshot, same_tables(w, snapshot->service, &w->draft));
  return r < 0 ? r : publish_draft(w, &w->draft, snapshot, begun_ns, version);
}

static int counted(struct catalog_writer *w, int r) {
  if (r < 0)
    w->failed_publishes++;
  else
    w->publishes++;
  return r;
}

int catalog_publish(struct catalog_writer *w, const struct catalog_snapshot *snapshot,
                    uint64_t *version) {
  uint64_t given;
  return counted(w, build_and_publish(w, snapshot, version ? version : &given));
}

struct catalog_build {
  struct catalog_snapshot snapshot;
  struct block_draft draft;
  int result;
  int64_t took_ns;
};

int catalog_build_begin(struct catalog_writer *w, const struct catalog_snapshot *snapshot,
                        struct catalog_build **out) {
  *out = NULL;
  if (catalog_tables_quick(snapshot->balancer, snapshot->count))
    return 0;
  struct catalog_build *b = calloc(1, sizeof *b);
  if (!b)
    return -ENOMEM;
  b->snapshot = *snapshot;
  int r = block_arrange(&b->draft, snapshot);
  if (r < 0 || same_tables(w, snapshot->service, &b->draft)) {
    catalog_build_end(b);
    return r;
  }
  *out = b;
  return 0;
}

void catalog_build_run(struct catalog_build *b) {
  int64_t begun_ns = arena_thread_ns();
  b->result = block_build(&b->draft, &b->snapshot, NULL);
  b->took_ns = arena_thread_ns() - begun_ns;
}

int catalog_build_publish(struct catalog_writer *w, struct catalog_build *b, uint64_t *version) {
  int64_t begun_ns = arena_thread_ns() - b->took_ns;
  return counted(w, b->result < 0 ? b->result
                                  : publish_draft(w, &b->draft, &b->snapshot, begun_ns, version));
}

void catalog_build_end(struct catalog_build *b) {
  block_end(&b->draft);
  free(b);
}

int catalog_withdraw(struct catalog_writer *w, const char *service) {
  int64_t entry = directory_find(&w->directory, &w->arena, service);
  if (entry < 0 || !w->services[entry].granule)
    return -ENOENT;
  w->version++;
  writer_switch(w, (uint32_t)entry, 0, 0, 0, w->version);
  return 0;
}

int64_t catalog_publish_at(const struct catalog_writer *w, const char *service) {
  int64_t entry = directory_find(&w->directory, &w->arena, service);
  if (entry < 0 || !w->services[entry].granule)
    return 0;
  const struct service *s = &w->services[entry];
  return s->published_ns + BUILD_TIMES * s->build_ns;
}

int catalog_inherited(const struct catalog_writer *w, int (*each)(void *arg, const char *service),
                      void *arg) {
  int r = 0;
  for (uint32_t entry = 0; r == 0 && entry < w->directory.count; entry++) {
    const struct catalog_entry *e = directory_entry(&w->arena, entry);
    char name[CATALOG_NAME_MAX + 1] = "";
    if (!w->services[entry].inherited)
      continue;
    memcpy(name, w->arena.base + e->name, e->name_length);
    r = each(arg, name);
  }
  return r;
}
