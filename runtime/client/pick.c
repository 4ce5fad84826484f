/* The pick. What it costs is measured by spec/bench/pick.c; look there before changing a line. */
#include "client/handle.h"

#include <errno.h>
#include <string.h>

enum { TRIES = 3, TWO_WORDS = 16, ATTEMPTS = 8 };

_Static_assert(offsetof(struct perigee_endpoint, port) - offsetof(struct perigee_endpoint, slot) ==
                   offsetof(struct catalog_row, port),
               "the row's first two words are copied as they are");

#define COPY_WORD(to, word) memcpy((to), &(uint64_t){word}, sizeof(uint64_t))

/* An address that does not fit into two words. Out of line, as all that is rare here: a pick saves
 * only the registers that it needs itself. */
static __attribute__((noinline)) void copy_address(const struct catalog_view *v, uint32_t row,
                                                   struct perigee_endpoint *e) {
  struct catalog_text text = catalog_view_address(v, row);
  catalog_view_copy(v, text, e->address);
  e->address[text.length] = 0; /* at most 255 */
  e->address_length = text.length;
}

/* An id for which there is no room in whole words. */
static __attribute__((noinline)) int copy_id_tight(const uint64_t *from, size_t length, char *id,
                                                   size_t size) {
  if (length >= size)
    return -ENOSPC;
  for (size_t at = 0; at < length; at += 8) {
    uint64_t word = catalog_load64(from++);
    memcpy(id + at, &word, length - at < 8 ? length - at : 8);
  }
  id[length] = 0;
  return 0;
}

static inline int copy_id(const struct catalog_view *v, uint32_t at, char *id, size_t size) {
  if (at % 8 || (uint64_t)at + 8 > v->bytes)
    return -EPROTO;
  union {
    uint64_t word;
    struct catalog_detail detail;
  } u = {catalog_load64(v->block + at)};
  size_t length = u.detail.id_length, padded = (length + 8) & ~(size_t)7, i = 0;
  const uint64_t *from = (const uint64_t *)(v->block + at + 8);
  if (at + 8 + padded > v->bytes)
    return -EPROTO;
  if (padded > size)
    return copy_id_tight(from, length, id, size);
  for (; i + 16 <= padded; i += 16, from += 2) {
    COPY_WORD(id + i, catalog_load64(from));
    COPY_WORD(id + i + 8, catalog_load64(from + 1));
  }
  if (i < padded)
    COPY_WORD(id + i, catalog_load64(from));
  id[length] = 0;
  return 0;
}

static __attribute__((noinline)) int copy_port(const struct catalog_view *v, uint32_t row,
                                               const char *name, struct perigee_endpoint *e) {
  int port = catalog_view_port(v, row, name, strlen(name));
  if (port < 0)
    return -ENXIO;
  e->port = (uint16_t)port;
  return 0;
}

/* Whether the caller's options are new enough to have a field. */
#define HAS(options, field)                                                                        \
  ((options)->size >= offsetof(struct perigee_pick_options, field) + sizeof(options)->field)

static bool avoided(const struct perigee_service *s, const struct perigee_pick_options *options,
                    uint32_t row) {
  if (row >= s->view.count)
    return false;
  uint32_t slot = catalog_load32(&s->view.rows[row].slot);
  uint32_t generation = catalog_load32(&s->view.rows[row].slot_generation);
  for (size_t i = 0; i < options->avoid_count; i++)
    if (options->avoid[i].slot == slot && options->avoid[i].slot_generation == generation)
      return true;
  return false;
}

static bool is_ejected(const struct perigee_service *s, uint32_t row) {
  const struct select_load load = {.map = &s->mapping->map};
  const struct select_place place =
      select_load_find(&load, catalog_load32(&s->view.rows[row].slot));
  uint64_t now = select_now_ns();
  uint32_t generation = catalog_load32(&s->view.rows[row].slot_generation);
  return select_load_of(&place, generation, now).ejected_until_ns > now;
}

static struct catalog_row row_at(const struct catalog_view *v, uint32_t row) {
  union {
    struct catalog_row_words words;
    struct catalog_row row;
  } u = {catalog_view_row(v, row)};
  return u.row;
}

/* Who is not among those that picks choose from, but could be: wanted by a weight, and well thought
 * of. */
static bool stands_by(const struct perigee_service *s, uint32_t row) {
  return row_at(&s->view, row).weight > 0 && !is_ejected(s, row);
}

/* One of `n` rows that the caller does not avoid, from the one on that `bits` say; or
 * SELECT_NOTHING. */
static uint32_t pick_among(const struct perigee_service *s,
                           const struct perigee_pick_options *options, uint32_t first, uint32_t n,
                           uint64_t bits) {
  uint32_t skip = (uint32_t)((bits >> 32) * n >> 32);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t row = first + (i < n - skip ? skip + i : i - (n - skip));
    if (!avoided(s, options, row) && (row < s->view.pickable || stands_by(s, row)))
      return row;
  }
  return SELECT_NOTHING;
}

/* The healthy rows of one tier that picks do not choose among: where they end. */
static uint32_t end_of_tier(const struct catalog_view *v, uint32_t first) {
  uint32_t end = first + 1;
  while (end < v->healthy && row_at(v, end).tier == row_at(v, first).tier)
    end++;
  return end;
}

/* The balancer gave only what the caller avoids: any other row that can be picked, else one of the
 * first tier that has another. A key's is the same one in each process. */
static uint32_t pick_other(struct perigee_service *s, const struct perigee_pick_options *options,
                           const struct select_ask *ask, uint32_t last) {
  const struct catalog_view *v = &s->view;
  uint64_t bits = ask->keyed ? select_mix(ask->hash) : select_random_next(&s->state);
  uint32_t row = pick_among(s, options, 0, v->pickable, bits);
  for (uint32_t first = v->pickable, end; row == SELECT_NOTHING && first < v->healthy;
       first = end) {
    end = end_of_tier(v, first);
    row = pick_among(s, options, first, end - first, bits);
  }
  return row == SELECT_NOTHING ? last : row;
}

static __attribute__((noinline)) uint32_t pick_asked(struct perigee_service *s,
                                                     const struct perigee_pick_options *options) {
  struct select_ask ask = {.keyed = options->key != NULL};
  if (options->flags & PERIGEE_HASH && HAS(options, hash)) {
    ask.keyed = true;
    ask.hash = options->hash;
  } else if (ask.keyed) {
    ask.hash = select_hash(options->key, options->key_length);
    ask.key = options->key;
    ask.key_length = options->key_length;
  }
  uint32_t row = s->pick(&s->state, &s->view, &ask);
  if (!HAS(options, avoid_count) || options->avoid_count == 0)
    return row;
  while (ask.attempt < ATTEMPTS && avoided(s, options, row)) {
    ask.attempt++;
    row = s->pick(&s->state, &s->view, &ask);
  }
  return avoided(s, options, row) ? pick_other(s, options, &ask, row) : row;
}

/* The row's words for the caller; false: but for its address, which is a long one. */
static inline __attribute__((always_inline)) bool
copy_row(const struct catalog_view *v, uint32_t row, struct perigee_endpoint *e) {
  const uint64_t *address = (const uint64_t *)v->rows[row].address;
  struct catalog_row_words words = catalog_view_row(v, row);
  e->version = v->version;
  COPY_WORD(&e->slot, words.slot);
  COPY_WORD(&e->port, words.port);
  e->index = row;
  e->ticket = 0;
  if (__builtin_expect(words.address_length >= TWO_WORDS, 0))
    return false;
  COPY_WORD(e->address, catalog_load64(address));
  COPY_WORD(e->address + 8, catalog_load64(address + 1));
  e->address[words.address_length] = 0;
  e->address_length = words.address_length;
  return true;
}

/* From the handle's view, which may be out of date. -EAGAIN: it was. */
static inline __attribute__((always_inline)) int
give_row(const struct perigee_service *s, const struct perigee_pick_options *options, uint32_t row,
         struct perigee_endpoint *e, char *id, size_t size) {
  const struct catalog_view *v = &s->view;
  int r = 0;
  if (__builtin_expect(row >= v->count, 0))
    return !catalog_view_holds(v) ? -EAGAIN : v->pickable ? -EPROTO : -EHOSTUNREACH;
  if (!copy_row(v, row, e))
    copy_address(v, row, e);
  if (id)
    r = copy_id(v, catalog_view_row(v, row).detail, id, size);
  if (r == 0 && options && options->port)
    r = copy_port(v, row, options->port, e);
  return __builtin_expect(catalog_view_holds(v), 1) ? r : -EAGAIN;
}

static inline __attribute__((always_inline)) int
try_pick(struct perigee_service *s, const struct perigee_pick_options *options,
         struct perigee_endpoint *e, char *id, size_t size) {
  uint32_t row = options ? pick_asked(s, options) : s->pick(&s->state, &s->view, NULL);
  return give_row(s, options, row, e, id, size);
}

static __attribute__((noinline, cold)) int pick_anew(struct perigee_service *s,
                                                     const struct perigee_pick_options *options,
                                                     struct perigee_endpoint *e, char *id,
                                                     size_t size) {
  for (int i = 0; i < TRIES; i++) {
    int r = client_refresh(s);
    if (r == 0)
      r = try_pick(s, options, e, id, size);
    if (r != -EAGAIN)
      return r;
    s->current = CLIENT_NEVER; /* the epoch moved on: only a new view can be better */
  }
  return -EAGAIN;
}

static inline bool is_current(const struct perigee_service *s) {
  uint64_t current = atomic_load_explicit(&s->entry->current, memory_order_acquire);
  return __builtin_expect(current == s->current && !client_forked(s), 1);
}

static inline __attribute__((always_inline)) int pick(struct perigee_service *s,
                                                      const struct perigee_pick_options *options,
                                                      struct perigee_endpoint *e, char *id,
                                                      size_t size) {
  if (is_current(s)) {
    int r = try_pick(s, options, e, id, size);
    if (__builtin_expect(r != -EAGAIN, 1))
      return r;
  }
  return pick_anew(s, options, e, id, size);
}

/* What is usual where nobody walks. */
static __attribute__((noinline)) int pick_plain(struct perigee_service *s,
                                                struct perigee_endpoint *e) {
  return pick(s, NULL, e, NULL, 0);
}

/* A row that was chosen already. */
static __attribute__((noinline)) int pick_row(struct perigee_service *s, uint32_t row,
                                              struct perigee_endpoint *e, char *id, size_t size) {
  int r = give_row(s, NULL, row, e, id, size);
  return r == -EAGAIN ? pick_anew(s, NULL, e, id, size) : r;
}

/* pick_plain for who walks: what is usual needs no call, and so not a register to be saved. */
static inline __attribute__((always_inline)) int
pick_walking(struct perigee_service *s, struct perigee_endpoint *e, char *id, size_t size) {
  const struct catalog_view *v = &s->view;
  if (!is_current(s))
    return pick_anew(s, NULL, e, id, size);
  uint32_t row = select_walk(&s->state, v);
  if (__builtin_expect(row >= v->count, 0) || !copy_row(v, row, e))
    return pick_row(s, row, e, id, size);
  int r = id ? copy_id(v, catalog_view_row(v, row).detail, id, size) : 0;
  return __builtin_expect(catalog_view_holds(v), 1) ? r : pick_anew(s, NULL, e, id, size);
}

static __attribute__((noinline)) int pick_with(struct perigee_service *s,
                                               const struct perigee_pick_options *options,
                                               struct perigee_endpoint *e, char *id, size_t size) {
  uint32_t flags = options->flags;
  bool retry = flags & PERIGEE_RETRY, asks = flags & (PERIGEE_TRACK | PERIGEE_RETRY);
  if (s->by_load || asks)
    s->state.now_ns = select_now_ns();
  int r = retry ? client_may_retry(s) : 0;
  if (r == 0)
    r = pick(s, options, e, id, size);
  if (r == 0 && (s->by_load || asks) && !(flags & PERIGEE_NO_REPORT))
    client_track(s, e, retry);
  return r;
}

/* Also the first pick, which finds out whether the balancer goes by load. */
static __attribute__((noinline)) int
pick_by_load(struct perigee_service *s, struct perigee_endpoint *e, char *id, size_t size) {
  s->state.now_ns = select_now_ns();
  int r = pick(s, NULL, e, id, size);
  if (r == 0 && s->by_load)
    client_track(s, e, false);
  return r;
}

int perigee_pick(struct perigee_service *s, const struct perigee_pick_options *options,
                 struct perigee_endpoint *endpoint) {
  if (__builtin_expect(options != NULL, 0))
    return pick_with(s, options, endpoint, NULL, 0);
  if (__builtin_expect(s->walks, 1))
    return pick_walking(s, endpoint, NULL, 0);
  return s->by_load ? pick_by_load(s, endpoint, NULL, 0) : pick_plain(s, endpoint);
}

int perigee_pick_id(struct perigee_service *s, const struct perigee_pick_options *options,
                    struct perigee_endpoint *endpoint, char *id, size_t size) {
  if (__builtin_expect(options != NULL || size == 0, 0)) {
    static const struct perigee_pick_options none = {.size = sizeof none};
    return size ? pick_with(s, options ? options : &none, endpoint, id, size) : -ENOSPC;
  }
  if (__builtin_expect(s->walks, 1))
    return pick_walking(s, endpoint, id, size);
  return s->by_load ? pick_by_load(s, endpoint, id, size) : pick(s, NULL, endpoint, id, size);
}
