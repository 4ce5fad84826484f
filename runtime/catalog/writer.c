#include "catalog/writer.h"
#include "catalog/reader.h"
#include "catalog/rundir.h"
#include "catalog/writer_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Clock ticks since boot at which this process began: field 22 of its stat, counted from behind
 * the name, which may hold spaces and brackets. */
static uint64_t process_start(void) {
  char text[1024] = "", *at;
  FILE *f = fopen("/proc/self/stat", "re");
  size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
  if (f)
    fclose(f);
  text[n] = 0;
  at = strrchr(text, ')');
  for (int field = 2; at && field < 22; field++)
    at = strchr(at + 1, ' ');
  return at ? strtoull(at, NULL, 10) : 0;
}

/* Generations are compared as serial numbers (RFC 1982): units of an eighth of a second go round in
 * 17 years, and a slot's own go on by one a minute at most. */
enum { GENERATION_SHIFT = 17 };

static void write_header(struct catalog_writer *w) {
  struct catalog_header *h = arena_header(&w->arena);
  struct stat ns;
  uint64_t magic, pid = (uint64_t)getpid();
  uint32_t namespace = stat("/proc/self/ns/pid", &ns) == 0 ? (uint32_t)ns.st_ino : 0;
  memcpy(&magic, CATALOG_MAGIC, sizeof magic);
  catalog_store32(&h->layout, CATALOG_LAYOUT);
  catalog_store32(&h->agent_pid, (uint32_t)pid);
  catalog_store32(&h->agent_namespace, namespace);
  catalog_store64(&h->agent_start, process_start());
  catalog_store64(&h->heartbeat_ns, (uint64_t)arena_now_ns());
  catalog_store64(&h->version, w->version);
  catalog_release64(h->magic, magic);
}

/* The new file, filled from the one at the path, takes its place. */
static int build_file(struct catalog_writer *w) {
  struct catalog_map old;
  int fd = rundir_new_file(w->dir);
  if (fd < 0)
    return fd;
  int r = arena_create(&w->arena, fd);
  if (r < 0)
    return r;
  if (catalog_map_open(&old, w->dir, CATALOG_FILE) == 0) {
    r = takeover_copy(w, &old);
    catalog_map_close(&old);
  }
  if (r < 0)
    return r;
  write_header(w);
  return 0;
}

static int swap_files(struct catalog_writer *w) {
  int previous = rundir_previous_file(w->dir);
  if (previous >= 0) { /* the writer before died between its swap and telling the readers */
    takeover_retire(previous);
    rundir_forget_previous(w->dir);
  }
  int old = rundir_old_file(w->dir);
  if (old < 0 && old != -ENOENT)
    return old;
  int r = rundir_swap(w->dir);
  if (old >= 0 && r == 0)
    takeover_retire(old);
  else if (old >= 0)
    close(old);
  if (r == 0)
    rundir_forget_previous(w->dir);
  return r;
}

int catalog_writer_open(const char *run_dir, struct catalog_writer **out, int *pid) {
  struct catalog_writer *w = calloc(1, sizeof *w);
  *out = NULL;
  if (!w)
    return -ENOMEM;
  w->lock = -1;
  w->arena.fd = -1;
  w->opened_ns = arena_now_ns();
  w->version = arena_unix_us();
  w->slots.first = (uint32_t)(w->version >> GENERATION_SHIFT) | 1;
  int r = w->dir = rundir_open(run_dir);
  if (r >= 0)
    r = w->lock = rundir_lock(w->dir, pid);
  if (r >= 0)
    r = getrandom(&w->hash_seed, sizeof w->hash_seed, 0) < 0 ? -errno : 0;
  if (r >= 0)
    r = build_file(w);
  if (r >= 0)
    r = swap_files(w);
  if (r < 0) {
    if (w->lock >= 0)
      rundir_forget_new(w->dir);
    catalog_writer_close(w);
    return r;
  }
  *out = w;
  return 0;
}

void catalog_writer_close(struct catalog_writer *w) {
  if (!w)
    return;
  takeover_end(w);
  slots_end(&w->slots);
  block_end(&w->draft);
  arena_close(&w->arena);
  free(w->services);
  if (w->lock >= 0)
    close(w->lock);
  if (w->dir >= 0)
    close(w->dir);
  free(w);
}

uint64_t catalog_version(const struct catalog_writer *w) {
  return w->version;
}

void catalog_version_raise(struct catalog_writer *w, uint64_t floor) {
  if (floor <= w->version || floor >= CATALOG_VERSION_END)
    return;
  w->version = floor;
  catalog_store64(&arena_header(&w->arena)->version, floor);
}

int catalog_slot_take(struct catalog_writer *w, uint32_t *slot, uint32_t *generation) {
  return slots_take(&w->slots, &w->arena, slot, generation);
}

void catalog_slot_free(struct catalog_writer *w, uint32_t slot) {
  slots_free(&w->slots, slot);
}

void catalog_tick(struct catalog_writer *w) {
  int64_t now = arena_now_ns();
  catalog_store64(&arena_header(&w->arena)->heartbeat_ns, (uint64_t)now);
  arena_reclaim(&w->arena, now);
  slots_reclaim(&w->slots, now);
  takeover_settle(w);
}

void catalog_stats(const struct catalog_writer *w, struct catalog_stats *out) {
  *out = (struct catalog_stats){
      .publishes = w->publishes,
      .failed_publishes = w->failed_publishes,
      .blocks_resting = w->arena.rest_count,
      .bytes_resting = (uint64_t)w->arena.resting * CATALOG_GRANULE,
      .file_bytes = (uint64_t)w->arena.granules * CATALOG_GRANULE,
      .bytes_used = (uint64_t)w->arena.taken * CATALOG_GRANULE,
      .services = w->live_services,
      .endpoints = w->live_endpoints,
      .slots = w->slots.in_use,
  };
}
