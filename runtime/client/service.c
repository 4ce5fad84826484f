#include "client/handle.h"
#include "client/wish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { TRIES = 3 };

const struct catalog_entry client_absent;

/* The handle is used by the thread that looks at its snapshots. */
static void own_thread(struct perigee_service *s) {
  atomic_store_explicit(&s->thread, __builtin_thread_pointer(), memory_order_relaxed);
}

/* A position and a generator of its own for each handle, in each process. */
static void seed(struct perigee_service *s) {
  uint64_t bits[2] = {(uint64_t)client_now_ns(), (uint64_t)(uintptr_t)s};
  if (getrandom(bits, sizeof bits, GRND_NONBLOCK) < 0)
    bits[1] ^= bits[0] * 0x9e3779b97f4a7c15u; /* early at boot; good enough for a position */
  s->state.random = bits[0];
  s->state.cursor = (uint32_t)bits[1];
}

static uint32_t pick_nothing(struct select_state *state, const struct catalog_view *v,
                             const struct select_ask *ask) {
  return SELECT_NOTHING;
}

/* Leaves a view that is never good, for a damaged file whose `current` is CLIENT_NEVER too. */
static void forget_view(struct perigee_service *s) {
  static _Atomic uint32_t zero;
  s->current = CLIENT_NEVER;
  s->view = (struct catalog_view){.epoch_word = &zero, .epoch = 1};
  s->pick = pick_nothing;
  s->walks = false;
  s->by_load = true;
}

/* Moves the handle to the newest file, where it has to find its service anew. False: it is on it
 * already, or that one cannot be mapped, and the view it has stays good. */
static bool move_on(struct perigee_service *s, bool look) {
  struct mapping *m = client_mapping(s->perigee, s->mapping, look);
  bool moved = m != s->mapping;
  if (moved) {
    forget_view(s);
    s->entry = &client_absent;
    s->directory_word = catalog_load32(&catalog_map_header(&m->map)->directory_word) - 1;
    struct mapping *old = s->mapping;
    s->mapping = m;
    s->load.map = NULL;
    s->load.host_total = NULL;
    m = old;
  }
  client_mapping_release(s->perigee, m);
  return moved;
}

/* -ERANGE: the file has outgrown the mapping. */
static int look_up(struct perigee_service *s) {
  int error;
  const struct catalog_header *h = catalog_map_header(&s->mapping->map);
  uint32_t word = atomic_load_explicit(&h->directory_word, memory_order_acquire);
  if (word == s->directory_word)
    return 0;
  const struct catalog_entry *e =
      catalog_map_find(&s->mapping->map, s->name, s->name_length, &error);
  if (e)
    s->entry = e;
  if (!error)
    s->directory_word = word;
  return error;
}

void client_find(struct perigee_service *s) {
  for (int i = 0; i < TRIES; i++) {
    if (*s->fork_mark == 0)
      client_notice_fork(s->perigee);
    if (client_forked(s)) {
      s->forks = *s->fork_mark;
      own_thread(s);
      seed(s);
      client_lane_none(s);
    }
    bool old = atomic_load_explicit(&s->entry->current, memory_order_acquire) == CATALOG_MOVED;
    if (s->entry == &client_absent)
      old = look_up(s) == -ERANGE || catalog_load32(&catalog_map_header(&s->mapping->map)->retired);
    if (!old || !move_on(s, false))
      return;
  }
}

void client_look(struct perigee_service *s) {
  move_on(s, true);
}

static void use_view(struct perigee_service *s, const struct catalog_view *v, uint64_t current) {
  s->view = *v;
  s->current = current;
  const struct select_balancer *balancer = select_by_number(v->balancer);
  s->pick = !v->pickable ? pick_nothing : s->chooser ? s->chooser : balancer->pick;
  s->walks = s->pick == balancer->pick && balancer->walks;
  s->by_load = balancer->by_load || s->chooser;
  s->by_latency = balancer->by_latency || s->chooser;
  own_thread(s);
  if (s->by_load) {
    s->state.now_ns = select_now_ns();
    client_hear(s, s->state.now_ns);
  }
}

int client_refresh(struct perigee_service *s) {
  for (int i = 0; i < TRIES; i++) {
    struct catalog_view v;
    client_find(s);
    uint64_t current = atomic_load_explicit(&s->entry->current, memory_order_acquire);
    if (current == s->current && current != CLIENT_NEVER)
      return 0;
    if (current == CATALOG_MOVED) /* the newer file cannot be mapped: what was known stays */
      return s->current == CLIENT_NEVER ? -EAGAIN : 0;
    if (!current) {
      forget_view(s);
      wish_tell(s);
      return -ENOENT;
    }
    int r = catalog_view_open(&v, &s->mapping->map, current);
    if (r == 0)
      return use_view(s, &v, current), 0;
    if (r == -EPROTO || (r == -ERANGE && !move_on(s, false)))
      return forget_view(s), r == -EPROTO ? r : -EAGAIN;
  }
  return -EAGAIN;
}

void client_choose(struct perigee_service *s, chooser_fn chooser, void *arg) {
  s->chooser = chooser;
  s->state.chooser = arg;
  s->current = CLIENT_NEVER; /* the next pick looks at its balancer anew */
}

int perigee_service_open(struct perigee *p, const char *name, struct perigee_service **out) {
  size_t length = strlen(name);
  *out = NULL;
  if (length == 0 || length > CATALOG_NAME_MAX)
    return -EINVAL;
  struct perigee_service *s = calloc(1, sizeof *s);
  if (!p->page->mark)
    client_notice_fork(p);
  struct tally *tally = s ? tally_open(p, name) : NULL;
  if (!tally) {
    free(s);
    return -ENOMEM;
  }
  s->tally = tally;
  s->load.tally = &tally->counts;
  s->perigee = p;
  s->fork_mark = &p->page->mark;
  s->forks = p->page->mark;
  s->mapping = client_mapping(p, NULL, false);
  s->entry = &client_absent;
  s->directory_word = catalog_load32(&catalog_map_header(&s->mapping->map)->directory_word) - 1;
  s->name_length = (uint32_t)length;
  memcpy(s->name, name, length);
  forget_view(s);
  seed(s);
  s->state.load = &s->load;
  client_find(s);
  if (s->entry == &client_absent)
    wish_tell(s);
  *out = s;
  return 0;
}

void perigee_service_close(struct perigee_service *s) {
  if (!s)
    return;
  lanes_leave(s);
  tally_close(s->perigee, s->tally);
  client_mapping_release(s->perigee, s->mapping);
  free(s);
}

uint64_t perigee_version(struct perigee_service *s) {
  client_find(s);
  uint64_t current = atomic_load_explicit(&s->entry->current, memory_order_acquire);
  if (current == CATALOG_MOVED) /* the newer file cannot be mapped */
    return s->current == CLIENT_NEVER ? 0 : s->view.version;
  return current ? atomic_load_explicit(&s->entry->version, memory_order_acquire) : 0;
}
