/* view_read: what has been published, as workers and the control thread read it. */
#include "serve/view/view_inside.h"

#define SECOND INT64_C(1000000000)

const struct view_root *view_enter(struct view *v, unsigned worker) {
  /* All sequentially consistent: either the control thread sees us inside, or we see its new root.
   */
  atomic_store(&v->readers[worker].entered, atomic_load(&v->epoch));
  return atomic_load(&v->root);
}

void view_leave(struct view *v, unsigned worker) {
  atomic_store_explicit(&v->readers[worker].entered, 0, memory_order_release);
}

const struct view_node *view_node(const struct view *v) {
  return &atomic_load(&v->node)->node;
}

uint64_t view_index(const struct view_root *r) {
  return r->index ? r->index : 1;
}

uint64_t view_list_index(const struct view_root *r) {
  return r->listed ? r->listed : 1;
}

uint64_t mark_of(const struct view_root *root, const char *service) {
  const struct shard_entry *e = shard_find(&root->marks, service);
  return e ? ((const struct mark_box *)e->value)->index : 0;
}

uint64_t view_service_index(const struct view_root *r, const char *service) {
  uint64_t index = mark_of(r, service);
  if (!index)
    index = r->ended > r->begun ? r->ended : r->begun;
  return index ? index : 1;
}

uint64_t view_ended(const struct view_root *r) {
  return r->ended;
}

uint64_t view_number(const struct view_root *r) {
  return r->number;
}

uint64_t view_shard_shown(const struct view_root *r, unsigned shard) {
  const struct shard *s = r->marks.shards[shard];
  return s ? s->shown : 0;
}

bool view_is_old(struct view *v, const struct view_root *r) {
  return atomic_load(&v->root) != r;
}

uint32_t view_service_count(const struct view_root *r) {
  return r->services.count;
}

uint32_t view_registration_count(const struct view_root *r) {
  return r->registrations.count;
}

static const struct view_service *service_of(const struct shard_entry *e) {
  return &((const struct service_box *)e->value)->service;
}

static const struct registration_state *state_of(const struct shard_entry *e) {
  return ((const struct state_box *)e->value)->state;
}

const struct view_service *view_service(const struct view_root *r, const char *name) {
  const struct shard_entry *e = shard_find(&r->services, name);
  return e ? service_of(e) : NULL;
}

/* Written once a second at most, so that workers do not contend for it. */
void view_service_use(const struct view_service *s, int64_t until_ns) {
  int64_t used = atomic_load_explicit(s->used_ns, memory_order_relaxed);
  while (used + SECOND < until_ns &&
         !atomic_compare_exchange_weak_explicit(s->used_ns, &used, until_ns, memory_order_relaxed,
                                                memory_order_relaxed))
    ;
}

const struct registration_state *view_registration(const struct view_root *r, const char *id) {
  const struct shard_entry *e = shard_find(&r->registrations, id);
  return e ? state_of(e) : NULL;
}

int view_each_service(const struct view_root *r,
                      int (*each)(void *arg, const struct view_service *s), void *arg) {
  int stop = 0;
  for (unsigned i = 0; i < SHARDS && !stop; i++) {
    const struct shard *s = r->services.shards[i];
    for (uint32_t k = 0; s && k < s->count && !stop; k++)
      stop = each(arg, service_of(&s->entries[k]));
  }
  return stop;
}

int view_each_registration(const struct view_root *r,
                           int (*each)(void *arg, const struct registration_state *s), void *arg) {
  int stop = 0;
  for (unsigned i = 0; i < SHARDS && !stop; i++) {
    const struct shard *s = r->registrations.shards[i];
    for (uint32_t k = 0; s && k < s->count && !stop; k++)
      stop = each(arg, state_of(&s->entries[k]));
  }
  return stop;
}
