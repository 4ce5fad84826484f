#include "catalog/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 3 };

/* A file that is neither root's nor one's own could be anything, at any time. */
static int check_file(int fd, struct stat *st) {
  if (fstat(fd, st) < 0)
    return -errno;
  if (st->st_uid != 0 && st->st_uid != geteuid())
    return -EPERM;
  if (!S_ISREG(st->st_mode) || st->st_size < (off_t)CATALOG_STEP)
    return -EPROTO;
  return 0;
}

int catalog_map_check(const struct catalog_map *m, uint64_t file_size) {
  const struct catalog_header *h = catalog_map_header(m);
  uint64_t size = catalog_load64(&h->size);
  if (memcmp(h->magic, CATALOG_MAGIC, sizeof h->magic) != 0 || h->layout != CATALOG_LAYOUT)
    return -EPROTO;
  if (size < CATALOG_STEP || size % CATALOG_STEP || size > file_size || size > CATALOG_RESERVE)
    return -EPROTO;
  return 0;
}

static int map_fd(struct catalog_map *m, int fd) {
  struct stat st;
  int r = check_file(fd, &st), protection = PROT_READ | (CATALOG_TSAN ? PROT_WRITE : 0);
  if (r < 0)
    return r;
  /* Address space beyond the end, so that what the file grows by is seen. Where that is scarce
   * (RLIMIT_AS), as much as there is now. */
  m->mapped = CATALOG_RESERVE;
  void *base = mmap(NULL, m->mapped, protection, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) {
    m->mapped = (uint64_t)st.st_size;
    base = mmap(NULL, m->mapped, protection, MAP_SHARED, fd, 0);
  }
  if (base == MAP_FAILED)
    return -errno;
  m->base = base;
  m->device = st.st_dev;
  m->inode = st.st_ino;
  r = catalog_map_check(m, (uint64_t)st.st_size);
  if (r < 0)
    catalog_map_close(m);
  return r;
}

int catalog_map_open(struct catalog_map *m, int dir, const char *name) {
  int flags = (CATALOG_TSAN ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  int fd = openat(dir < 0 ? AT_FDCWD : dir, name, flags);
  *m = (struct catalog_map){0};
  if (fd < 0)
    return errno == ELOOP ? -EPERM : -errno;
  int r = map_fd(m, fd);
  close(fd);
  return r;
}

void catalog_map_close(struct catalog_map *m) {
  if (m->base)
    munmap((void *)(uintptr_t)m->base, m->mapped);
  m->base = NULL;
}

const struct catalog_entry *catalog_map_entry(const struct catalog_map *m, uint32_t number,
                                              const char **name, uint32_t *length) {
  const struct catalog_header *h = catalog_map_header(m);
  if (number >= atomic_load_explicit(&h->entries, memory_order_acquire))
    return NULL;
  const struct catalog_entry *e = catalog_map_item(m, CATALOG_DIRECTORY, number);
  if (!e)
    return NULL;
  uint64_t at = catalog_load32(&e->name);
  *length = catalog_load32(&e->name_length);
  if (*length == 0 || *length > CATALOG_NAME_MAX || at < CATALOG_GRANULE ||
      at + *length > catalog_map_limit(m))
    return NULL;
  *name = (const char *)m->base + at;
  return e;
}

int catalog_map_block(const struct catalog_map *m, uint64_t current, const unsigned char **block,
                      uint64_t *room, const _Atomic uint32_t **epoch_word) {
  uint64_t at = (current & UINT32_MAX) * CATALOG_GRANULE, limit = catalog_map_limit(m);
  int beyond = limit == m->mapped && limit < CATALOG_RESERVE ? -ERANGE : -EPROTO;
  if (at < CATALOG_FIRST_GRANULE * CATALOG_GRANULE || at >= CATALOG_RESERVE)
    return -EPROTO;
  *epoch_word = catalog_map_item(m, CATALOG_EPOCHS, (uint32_t)current);
  if (at >= limit || !*epoch_word)
    return beyond;
  *block = m->base + at;
  *room = limit - at;
  return 0;
}

static const struct catalog_entry *probe(const struct catalog_map *m, const uint64_t *words,
                                         uint32_t cells, const char *name, size_t length) {
  uint32_t hash = catalog_name_hash(name, length);
  for (uint32_t i = 0; i < cells; i++) {
    uint64_t cell = atomic_load_explicit((const _Atomic uint64_t *)&words[(hash + i) & (cells - 1)],
                                         memory_order_acquire);
    const char *found;
    uint32_t found_length;
    if (!cell)
      break;
    if (cell >> 32 != hash)
      continue;
    const struct catalog_entry *e = catalog_map_entry(m, (uint32_t)cell - 1, &found, &found_length);
    if (e && found_length == length && memcmp(found, name, length) == 0)
      return e;
  }
  return NULL;
}

const struct catalog_entry *catalog_map_find(const struct catalog_map *m, const char *name,
                                             size_t length, int *error) {
  for (int i = 0; i < TRIES; i++) {
    uint64_t room,
        current = atomic_load_explicit(&catalog_map_header(m)->index, memory_order_acquire);
    const _Atomic uint32_t *epoch_word;
    const unsigned char *block;
    const struct catalog_entry *found = NULL;
    *error = 0;
    if (!current)
      return NULL;
    int r = catalog_map_block(m, current, &block, &room, &epoch_word);
    if (r < 0 || room < sizeof(struct catalog_index)) {
      *error = r < 0 ? r : -EPROTO;
      return NULL;
    }
    const struct catalog_index *index = (const struct catalog_index *)block;
    uint64_t cells = catalog_load32(&index->cells);
    if (catalog_load32(&index->kind) == CATALOG_INDEX && cells && (cells & (cells - 1)) == 0 &&
        sizeof *index + cells * 8 <= room)
      found = probe(m, (const uint64_t *)(index + 1), (uint32_t)cells, name, length);
    if (catalog_epoch_is(epoch_word, (uint32_t)(current >> 32)))
      return found;
  }
  *error = -EAGAIN;
  return NULL;
}
