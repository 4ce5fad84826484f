#include "catalog/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { REST_BYTES = 64 << 20 };

static int64_t read_clock(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint64_t arena_unix_us(void) {
  return (uint64_t)read_clock(CLOCK_REALTIME) / 1000;
}

int64_t arena_now_ns(void) {
  return read_clock(CLOCK_MONOTONIC);
}

int64_t arena_thread_ns(void) {
  return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

int64_t arena_coarse_ns(void) {
  return read_clock(CLOCK_MONOTONIC_COARSE);
}

static bool is_used(const struct arena *a, uint32_t g) {
  return a->used[g / 64] >> (g % 64) & 1;
}

static void mark(struct arena *a, uint32_t granule, uint32_t granules, bool used) {
  for (uint32_t g = granule; g < granule + granules; g++) {
    if (used)
      a->used[g / 64] |= 1ull << (g % 64);
    else
      a->used[g / 64] &= ~(1ull << (g % 64));
  }
  a->taken = used ? a->taken + granules : a->taken - granules;
}

static uint32_t item_size(enum catalog_map_granule map) {
  return map == CATALOG_EPOCHS ? 4 : 64;
}

void *arena_item(const struct arena *a, enum catalog_map_granule map, uint32_t i) {
  const uint32_t *chunks = arena_at(a, map);
  return (unsigned char *)arena_at(a, catalog_load32(&chunks[i / CATALOG_CHUNK])) +
         (uint64_t)(i % CATALOG_CHUNK) * item_size(map);
}

uint64_t arena_current(const struct arena *a, uint32_t granule) {
  return catalog_current(catalog_load32(arena_item(a, CATALOG_EPOCHS, granule)), granule);
}

int arena_chunk(struct arena *a, enum catalog_map_granule map, uint32_t i) {
  uint32_t *chunks = arena_at(a, map), granule = 0;
  if (i / CATALOG_CHUNK >= CATALOG_CHUNK)
    return -ENOSPC;
  if (catalog_load32(&chunks[i / CATALOG_CHUNK]))
    return 0;
  uint32_t granules = catalog_granules((uint64_t)item_size(map) * CATALOG_CHUNK);
  uint32_t fresh = a->fresh;
  int r = arena_take(a, granules, &granule);
  if (r < 0)
    return r;
  uint64_t *words = arena_at(a, granule);
  madvise(words, granules * CATALOG_GRANULE, MADV_POPULATE_WRITE); /* one fault for all its pages */
  for (uint32_t w = 0; granule < fresh && w < granules * CATALOG_GRANULE / 8; w++)
    if (words[w])
      catalog_store64(&words[w], 0);
  chunks = arena_at(a, map); /* growing may have moved the mapping */
  catalog_release32(&chunks[i / CATALOG_CHUNK], granule);
  return 0;
}

/* The mapping reserves the largest size a file can have; where the process's address space is
 * limited, it is as large as the file and may move when that grows. */
static int map_file(struct arena *a, uint64_t size) {
  if (size <= a->mapped)
    return 0;
  void *base = MAP_FAILED;
  if (!a->base) {
    a->mapped = CATALOG_RESERVE;
    base = mmap(NULL, a->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
  }
  if (base == MAP_FAILED) {
    uint64_t old = a->base ? a->mapped : 0;
    base = old ? mremap(a->base, old, size, MREMAP_MAYMOVE)
               : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
    if (base == MAP_FAILED) {
      a->mapped = old;
      return -ENOMEM;
    }
    a->mapped = size;
  }
  a->base = base;
  return 0;
}

/* Adds steps until `need` granules in a row are free. The first granules of what is new hold its
 * epochs. Allocated on disk before anything may touch it: a hole in a full tmpfs is a SIGBUS. */
static int grow(struct arena *a, uint32_t need) {
  uint32_t steps = need / (CATALOG_STEP_GRANULES - 1) + 1, old = a->granules;
  uint64_t size = ((uint64_t)old + (uint64_t)steps * CATALOG_STEP_GRANULES) * CATALOG_GRANULE;
  if (size > CATALOG_RESERVE)
    return -ENOSPC;
  uint64_t *used = realloc(a->used, size / CATALOG_GRANULE / 8);
  if (!used)
    return -ENOMEM;
  a->used = used;
  int r;
  do {
    CATALOG_STORE_HOOK();
    r = posix_fallocate(a->fd, (off_t)old * CATALOG_GRANULE, (off_t)steps * CATALOG_STEP);
  } while (r == EINTR);
  if (r)
    return -r;
  if ((r = map_file(a, size)) < 0)
    return r;
  memset(used + old / 64, 0, steps * (CATALOG_STEP_GRANULES / 8));
  a->granules = (uint32_t)(size / CATALOG_GRANULE);
  uint32_t epochs = old ? old : CATALOG_FIRST_GRANULE, *chunks = arena_at(a, CATALOG_EPOCHS);
  mark(a, old, epochs - old + steps, true);
  for (uint32_t s = 0; s < steps; s++)
    catalog_store32(&chunks[old / CATALOG_CHUNK + s], epochs + s);
  a->next = epochs + steps;
  catalog_release64(&arena_header(a)->size, size);
  return 0;
}

int arena_write(struct arena *a, uint32_t granule, const void *bytes, size_t length) {
  off_t at = (off_t)granule * CATALOG_GRANULE;
  for (size_t done = 0; done < length;) {
    size_t left = length - done;
    CATALOG_STORE_HOOK();
    ssize_t n = pwrite(a->fd, (const char *)bytes + done,
                       left < CATALOG_WRITE_MOST ? left : CATALOG_WRITE_MOST, at + (off_t)done);
    if (n < 0 && errno != EINTR)
      return -errno;
    done += n > 0 ? (size_t)n : 0;
  }
  atomic_thread_fence(memory_order_release);
  return 0;
}

int arena_create(struct arena *a, int fd) {
  *a = (struct arena){.fd = fd};
  int r = grow(a, CATALOG_STEP_GRANULES / 2);
  if (r < 0)
    arena_close(a);
  return r;
}

void arena_close(struct arena *a) {
  if (a->base)
    munmap(a->base, a->mapped);
  if (a->fd >= 0)
    close(a->fd);
  free(a->used);
  free(a->rests);
  *a = (struct arena){.fd = -1};
}

/* A free run in [from, to), or 0. */
static uint32_t find_run(const struct arena *a, uint32_t granules, uint32_t from, uint32_t to) {
  uint32_t run = 0;
  for (uint32_t g = from; g < to; g++) {
    if (g % 64 == 0 && a->used[g / 64] == UINT64_MAX) {
      g += 63;
      run = 0;
    } else if (is_used(a, g)) {
      run = 0;
    } else if (++run == granules) {
      return g + 1 - granules;
    }
  }
  return 0;
}

static bool take_free(struct arena *a, uint32_t granules, uint32_t *granule) {
  uint32_t g = 0;
  if (granules <= a->granules - a->taken) {
    g = find_run(a, granules, a->next, a->granules);
    if (!g)
      g = find_run(a, granules, CATALOG_FIRST_GRANULE, a->granules);
  }
  if (!g)
    return false;
  mark(a, g, granules, true);
  a->next = g + granules;
  a->fresh = a->next > a->fresh ? a->next : a->fresh;
  *granule = g;
  return true;
}

static void end_oldest_rest(struct arena *a) {
  struct arena_rest *r = &a->rests[a->rest_first];
  catalog_epoch_bump(arena_item(a, CATALOG_EPOCHS, r->granule));
  mark(a, r->granule, r->granules, false);
  a->resting -= r->granules;
  a->rest_first = (a->rest_first + 1) % a->rest_room;
  a->rest_count--;
}

void arena_reclaim(struct arena *a, int64_t now_ns) {
  while (a->rest_count && (now_ns - a->rests[a->rest_first].since_ns >= CATALOG_REST_NS ||
                           a->resting > REST_BYTES / CATALOG_GRANULE))
    end_oldest_rest(a);
}

int arena_take(struct arena *a, uint32_t granules, uint32_t *granule) {
  arena_reclaim(a, arena_now_ns());
  if (take_free(a, granules, granule))
    return 0;
  int r = grow(a, granules);
  if (r == 0)
    return take_free(a, granules, granule) ? 0 : -ENOSPC;
  while (a->rest_count) {
    end_oldest_rest(a);
    if (take_free(a, granules, granule))
      return 0;
  }
  return r;
}

int arena_rest(struct arena *a, uint32_t granule, uint32_t granules) {
  if (a->rest_count == a->rest_room) {
    uint32_t room = a->rest_room ? a->rest_room * 2 : 64;
    struct arena_rest *ring = malloc(room * sizeof *ring);
    if (!ring)
      return -ENOMEM;
    for (uint32_t i = 0; i < a->rest_count; i++)
      ring[i] = a->rests[(a->rest_first + i) % a->rest_room];
    free(a->rests);
    a->rests = ring;
    a->rest_first = 0;
    a->rest_room = room;
  }
  a->rests[(a->rest_first + a->rest_count++) % a->rest_room] =
      (struct arena_rest){granule, granules, arena_now_ns()};
  a->resting += granules;
  return 0;
}

void arena_give_back(struct arena *a, uint32_t granule, uint32_t granules) {
  mark(a, granule, granules, false);
}
