/* Take-over: a new writer never edits an old file. It copies what is whole into a file of its own,
 * and only when that is in place tells the old one's readers to look at the path again. The same
 * whether the writer before crashed, was stopped, or was replaced. */
#include "catalog/reader.h"
#include "catalog/writer_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t mix(uint64_t h, const void *bytes, size_t length) {
  const unsigned char *b = bytes;
  for (size_t i = 0; i < length; i++)
    h = (h ^ b[i]) * 0x9e3779b97f4a7c15u;
  return (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
}

static uint64_t heir_key(const struct catalog_writer *w, uint32_t service, const char *id,
                         size_t length) {
  uint64_t h = mix(w->hash_seed, &service, sizeof service);
  h = mix(h, id, length);
  return (h ^ h >> 32) | 1;
}

/* The bucket of a key, or the free one where it belongs. */
static struct heir *heir_bucket(const struct catalog_writer *w, uint64_t key) {
  uint32_t i = (uint32_t)(key >> 20);
  while (w->heirs[i & (w->heir_room - 1)].key && w->heirs[i & (w->heir_room - 1)].key != key)
    i++;
  return &w->heirs[i & (w->heir_room - 1)];
}

static uint32_t heir_room_for(const struct catalog_map *old) {
  uint64_t count = catalog_load32(&catalog_map_header(old)->endpoints), room = 64;
  if (count > CATALOG_CHUNK * CATALOG_CHUNK)
    count = CATALOG_CHUNK * CATALOG_CHUNK;
  while (room < count * 2)
    room *= 2;
  return (uint32_t)room;
}

/* What is known of an instance, and is not counted anew. A clock that has not come to the old
 * file's last heartbeat is another boot's: then its times mean nothing. */
static void inherit_live(const struct catalog_writer *w, const struct catalog_map *old,
                         const struct catalog_slot *from, uint32_t slot) {
  struct catalog_slot *to = arena_item(&w->arena, CATALOG_SLOTS, slot);
  if ((int64_t)catalog_load64(&catalog_map_header(old)->heartbeat_ns) > w->opened_ns)
    return;
  catalog_store64(&to->latency_ns, catalog_load64(&from->latency_ns));
  catalog_store64(&to->ejected_until_ns, catalog_load64(&from->ejected_until_ns));
  catalog_store64(&to->born_ns, catalog_load64(&from->born_ns));
  catalog_store32(&to->ejections, catalog_load32(&from->ejections));
  catalog_store32(&to->failing, catalog_load32(&from->failing));
}

/* The instances of a block keep their slots, and can be asked for by id. A slot that is out of
 * range or of another generation is damage; the row stays, the slot is nobody's. */
static int inherit_rows(struct catalog_writer *w, const struct catalog_map *old,
                        const struct catalog_view *v, uint32_t entry, uint32_t *heirs) {
  uint32_t slots = catalog_load32(&catalog_map_header(old)->slots);
  char *id = malloc(CATALOG_TEXT_MAX);
  int r = id ? 0 : -ENOMEM;
  for (uint32_t row = 0; r == 0 && row < v->count; row++) {
    uint32_t slot = catalog_load32(&v->rows[row].slot);
    uint32_t generation = catalog_load32(&v->rows[row].slot_generation);
    const struct catalog_slot *live = catalog_map_item(old, CATALOG_SLOTS, slot);
    struct catalog_text text;
    if (!slot || slot > slots || !live || catalog_load32(&live->generation) != generation ||
        !catalog_view_text(v, row, CATALOG_ID, 0, &text) || *heirs * 2 >= w->heir_room)
      continue;
    r = slots_restore(&w->slots, &w->arena, slot, generation);
    if (r == 0)
      inherit_live(w, old, live, slot);
    catalog_view_copy(v, text, id);
    struct heir *h = heir_bucket(w, heir_key(w, entry, id, text.length));
    if (!h->key)
      ++*heirs;
    *h = (struct heir){heir_key(w, entry, id, text.length), slot, entry};
  }
  free(id);
  return r;
}

static int copy_service(struct catalog_writer *w, const struct catalog_map *old,
                        const struct catalog_entry *from, const char *name, uint32_t *heirs) {
  uint64_t current = catalog_load64(&from->current), version = catalog_load64(&from->version);
  struct catalog_view v;
  uint32_t granule;
  if (!current || current == CATALOG_MOVED || catalog_view_open(&v, old, current) < 0 ||
      version >= CATALOG_VERSION_END || strlen(name) == 0)
    return 0;
  /* The writer may have died between the block and the version. */
  version = v.version > version && v.version < CATALOG_VERSION_END ? v.version : version;
  int64_t entry = directory_find(&w->directory, &w->arena, name);
  if (entry >= 0) /* two entries of one name: damage */
    return 0;
  entry = writer_add_service(w, name);
  if (entry < 0)
    return (int)entry;
  int r = writer_store_block(w, v.block, v.bytes, &granule);
  if (r < 0)
    return r;
  if (version > w->version)
    w->version = version;
  writer_switch(w, (uint32_t)entry, granule, v.bytes, v.count, version);
  w->services[entry].inherited = true;
  return inherit_rows(w, old, &v, (uint32_t)entry, heirs);
}

/* Slots that nobody has any more: with their generations, so that these go on counting. */
static int copy_generations(struct catalog_writer *w, const struct catalog_map *old) {
  uint32_t count = catalog_load32(&catalog_map_header(old)->slots), slot = 1;
  for (; slot <= count; slot++) {
    const struct catalog_slot *live = catalog_map_item(old, CATALOG_SLOTS, slot);
    if (!live)
      break;
    int r = arena_chunk(&w->arena, CATALOG_SLOTS, slot);
    if (r < 0)
      return r;
    struct catalog_slot *to = arena_item(&w->arena, CATALOG_SLOTS, slot);
    catalog_store32(&to->generation, catalog_load32(&live->generation));
  }
  return slots_restored(&w->slots, &w->arena, slot - 1);
}

int takeover_copy(struct catalog_writer *w, const struct catalog_map *old) {
  uint64_t version = catalog_load64(&catalog_map_header(old)->version);
  uint32_t length, heirs = 0;
  const struct catalog_entry *from;
  const char *bytes;
  int r = 0;
  if (version > w->version && version < CATALOG_VERSION_END)
    w->version = version;
  w->heir_room = heir_room_for(old);
  w->heirs = calloc(w->heir_room, sizeof *w->heirs);
  if (!w->heirs)
    return -ENOMEM;
  uint32_t entries = catalog_load32(&catalog_map_header(old)->entries);
  for (uint32_t i = 0; r == 0 && i < entries && i < CATALOG_CHUNK * CATALOG_CHUNK; i++) {
    char name[CATALOG_NAME_MAX + 1] = "";
    from = catalog_map_entry(old, i, &bytes, &length);
    if (!from)
      continue;
    memcpy(name, bytes, length);
    r = copy_service(w, old, from, name, &heirs);
  }
  return r < 0 ? r : copy_generations(w, old);
}

static void move_readers(const struct catalog_map *m) {
  struct catalog_header *h = (struct catalog_header *)(uintptr_t)m->base;
  uint32_t length, entries = catalog_load32(&h->entries);
  const char *name;
  catalog_release32(&h->retired, 1);
  for (uint32_t i = 0; i < entries && i < CATALOG_CHUNK * CATALOG_CHUNK; i++) {
    struct catalog_entry *e =
        (struct catalog_entry *)(uintptr_t)catalog_map_entry(m, i, &name, &length);
    if (!e)
      continue;
    catalog_release64(&e->current, CATALOG_MOVED);
    catalog_release32(&e->futex, catalog_load32(&e->futex) + 1);
    catalog_wake(&e->futex);
  }
  catalog_release32(&h->directory_word, catalog_load32(&h->directory_word) + 1);
  catalog_wake(&h->directory_word);
}

/* A layout that this writer does not know: only the frozen bytes may be touched. */
static void retire_frozen(struct catalog_header *h) {
  if (memcmp(h->magic, CATALOG_MAGIC, sizeof h->magic) == 0)
    catalog_release32(&h->retired, 1);
}

void takeover_retire(int fd) {
  struct catalog_map m = {0};
  struct stat st;
  if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= CATALOG_GRANULE) {
    m.mapped = (uint64_t)st.st_size;
    void *base = mmap(NULL, m.mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base != MAP_FAILED) {
      m.base = base;
      if (catalog_map_check(&m, m.mapped) == 0)
        move_readers(&m);
      else
        retire_frozen(base);
      munmap(base, m.mapped);
    }
  }
  close(fd);
}

int catalog_slot_adopt(struct catalog_writer *w, const char *service, const char *id,
                       uint32_t *slot, uint32_t *generation) {
  int64_t entry = w->heirs ? directory_find(&w->directory, &w->arena, service) : -ENOENT;
  if (entry < 0)
    return -ENOENT;
  struct heir *h = heir_bucket(w, heir_key(w, (uint32_t)entry, id, strlen(id)));
  if (!h->key || !h->slot)
    return -ENOENT;
  const struct catalog_slot *live = arena_item(&w->arena, CATALOG_SLOTS, h->slot);
  *slot = h->slot;
  *generation = catalog_load32(&live->generation);
  h->slot = 0; /* the key stays, so that others are found behind it */
  return 0;
}

void takeover_settle(struct catalog_writer *w) {
  const int64_t wait_ns = 60 * 1000000000ll;
  uint32_t left = 0;
  if (!w->heirs || arena_now_ns() - w->opened_ns < wait_ns)
    return;
  for (uint32_t i = 0; i < w->heir_room; i++) {
    struct heir *h = &w->heirs[i];
    if (!h->slot)
      continue;
    if (w->services[h->service].inherited) {
      left++;
      continue;
    }
    slots_free(&w->slots, h->slot);
    h->slot = 0;
  }
  if (!left)
    takeover_end(w);
}

void takeover_end(struct catalog_writer *w) {
  free(w->heirs);
  w->heirs = NULL;
}
