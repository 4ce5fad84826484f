/* view: it is made, published and reclaimed. Control thread only. */
#include "serve/view/view_inside.h"

#include "watch/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void service_free(struct retired *r) {
  struct service_box *box = (struct service_box *)r;
  for (uint32_t i = 0; i < box->service.count; i++)
    instance_unref(box->service.rows[i].instance);
  if (--box->use->boxes == 0)
    free(box->use);
  free(box);
}

static void state_free(struct retired *r) {
  struct state_box *box = (struct state_box *)r;
  registration_state_unref(box->state);
  free(box);
}

static void mark_free(struct retired *r) {
  free(r);
}

static void root_free(struct retired *r) {
  free(r);
}

static void node_free(struct retired *r) {
  free(r);
}

static struct node_box *node_new(const struct view_node *node) {
  struct node_box *box = malloc(sizeof *box);
  if (box)
    *box = (struct node_box){.retired.free = node_free, .node = *node};
  return box;
}

int view_new(const struct view_node *node, unsigned workers, struct view **out) {
  if (workers < 1 || workers > WORKERS_MAX)
    return -EINVAL;
  struct view *v = aligned_alloc(64, (sizeof *v + 63) / 64 * 64);
  struct view_root *root = calloc(1, sizeof *root);
  struct node_box *box = node_new(node);
  if (!v || !root || !box) {
    free(v);
    free(root);
    free(box);
    return -ENOMEM;
  }
  memset(v, 0, sizeof *v);
  root->retired.free = root_free;
  atomic_init(&v->node, box);
  v->workers = workers;
  atomic_init(&v->root, root);
  atomic_init(&v->epoch, 1);
  *out = v;
  return 0;
}

void view_begin(struct view *v, uint64_t index) {
  struct view_root *root = atomic_load(&v->root);
  root->index = root->listed = root->begun = index;
}

void view_follow(struct view *v, void (*shown)(void *arg), void *arg) {
  v->shown = shown;
  v->shown_arg = arg;
}

static struct view_root *pending_root(struct view *v) {
  if (!v->pending) {
    struct view_root *root = malloc(sizeof *root);
    if (!root)
      return NULL;
    *root = *atomic_load_explicit(&v->root, memory_order_relaxed);
    root->retired = (struct retired){.free = root_free};
    v->pending = root;
  }
  return v->pending;
}

static struct service_box *service_new(const struct set_published *what,
                                       const struct shard_entry *before) {
  size_t rows = what->count * sizeof(struct view_row), name = strlen(what->service) + 1;
  size_t plan = what->plan ? what->count * sizeof *what->plan : 0;
  size_t via = what->via ? strlen(what->via) + 1 : 0;
  struct service_box *box = malloc(sizeof *box + rows + plan + name + via);
  struct use *use =
      before ? ((const struct service_box *)before->value)->use : calloc(1, sizeof *use);
  if (!box || !use) {
    free(box);
    if (!before)
      free(use);
    return NULL;
  }
  use->boxes++;
  box->use = use;
  box->retired = (struct retired){.free = service_free};
  struct view_service *s = &box->service;
  struct plan_row *planned = (struct plan_row *)&s->rows[what->count];
  char *text = (char *)planned + plan;
  memcpy(text, what->service, name);
  if (via)
    memcpy(text + name, what->via, via);
  if (plan)
    memcpy(planned, what->plan, plan);
  *s = (struct view_service){.name = text,
                             .version = what->version,
                             .stale = what->stale,
                             .stale_since_ns = what->stale ? what->stale_since_ns : 0,
                             .via = via ? text + name : NULL,
                             .plan = plan ? planned : NULL,
                             .used_ns = &use->used_ns,
                             .count = (uint32_t)what->count};
  for (size_t i = 0; i < what->count; i++)
    s->rows[i] = (struct view_row){.instance = instance_ref(what->rows[i].instance),
                                   .status = what->rows[i].status};
  return box;
}

static void root_raise(struct view_root *root, uint64_t index) {
  if (index > root->index)
    root->index = index;
}

static void root_raise_listed(struct view_root *root, uint64_t index) {
  if (index > root->listed)
    root->listed = index;
}

static bool same_tags(const struct instance *a, const struct instance *b) {
  bool same = a == b || a->tag_count == b->tag_count;
  for (unsigned i = 0; a != b && same && i < a->tag_count; i++)
    same = strcmp(a->tags[i], b->tags[i]) == 0;
  return same;
}

/* Whether a list of all services says the same of both, as far as that is found out at no cost. */
static bool listed_alike(const struct view_service *a, const struct view_service *b) {
  bool alike = a->count == b->count;
  for (uint32_t i = 0; alike && i < a->count; i++)
    alike = same_tags(a->rows[i].instance, b->rows[i].instance);
  return alike;
}

/* There is room for it: shard_reserve. Also where the index stays, the shard has been touched. */
static int mark_raise(struct view *v, struct view_root *root, const char *service, uint64_t index) {
  if (mark_of(root, service) >= index)
    return 0;
  struct mark_box *box = malloc(sizeof *box + strlen(service) + 1);
  if (!box)
    return -ENOMEM;
  *box = (struct mark_box){.retired.free = mark_free, .index = index};
  strcpy(box->service, service);
  struct retired *old = shard_put(&root->marks, box->service, &box->retired);
  if (old)
    retired_push(&v->leaving, old);
  return 0;
}

static void service_end(struct view *v, struct view_root *root, const struct set_published *what) {
  struct retired *service = shard_remove(&root->services, what->service),
                 *mark = shard_remove(&root->marks, what->service);
  if (service)
    retired_push(&v->leaving, service);
  if (mark)
    retired_push(&v->leaving, mark);
  if (what->version > root->ended)
    root->ended = what->version;
  root_raise(root, what->version);
  root_raise_listed(root, what->version);
}

int view_publish_service(struct view *v, const struct set_published *what) {
  struct view_root *root = pending_root(v);
  if (!root || !shard_reserve(&root->services, what->service, &v->leaving) ||
      !shard_reserve(&root->marks, what->service, &v->leaving))
    return -ENOMEM;
  if (what->gone) {
    service_end(v, root, what);
    return 0;
  }
  const struct shard_entry *before = shard_find(&root->services, what->service);
  struct service_box *box = service_new(what, before);
  if (!box || mark_raise(v, root, what->service, what->version ? what->version : 1) != 0) {
    if (box)
      service_free(&box->retired);
    return -ENOMEM;
  }
  if (!before || !listed_alike(&((struct service_box *)before->value)->service, &box->service))
    root_raise_listed(root, what->version);
  struct retired *old = shard_put(&root->services, box->service.name, &box->retired);
  if (old)
    retired_push(&v->leaving, old);
  root_raise(root, what->version);
  return 0;
}

int view_publish_registration(struct view *v, const struct registration_state *s, bool gone) {
  const struct registration *r = s->registration;
  const char *id = r->instance->id;
  struct view_root *root = pending_root(v);
  /* All memory first: what fails after a part was changed would leave the tree inconsistent. */
  if (!root || !shard_reserve(&root->registrations, id, &v->leaving) ||
      !shard_reserve(&root->marks, r->instance->service, &v->leaving))
    return -ENOMEM;
  struct state_box *box = NULL;
  if (!gone) {
    if (!(box = malloc(sizeof *box)))
      return -ENOMEM;
    *box = (struct state_box){.retired.free = state_free, .state = registration_state_ref(s)};
  }
  const char *service = r->instance->service;
  if (mark_of(root, service) && mark_raise(v, root, service, s->modify_index) != 0) {
    if (box)
      state_free(&box->retired);
    return -ENOMEM;
  }
  struct retired *old = box ? shard_put(&root->registrations, id, &box->retired)
                            : shard_remove(&root->registrations, id);
  if (old)
    retired_push(&v->leaving, old);
  root_raise(root, s->modify_index);
  return 0;
}

int view_publish_node(struct view *v, const struct view_node *node) {
  struct node_box *box = pending_root(v) ? node_new(node) : NULL;
  if (!box)
    return -ENOMEM;
  retired_push(&v->leaving, &atomic_exchange(&v->node, box)->retired);
  return 0;
}

/* A worker that entered at epoch E or later found the root that was swapped in before the epoch
 * became E. So what was stamped E is nobody's once no worker is inside since before E. */
static void reclaim(struct view *v) {
  uint64_t oldest = UINT64_MAX;
  for (unsigned i = 0; i < v->workers; i++) {
    uint64_t entered = atomic_load(&v->readers[i].entered);
    if (entered && entered < oldest)
      oldest = entered;
  }
  while (v->resting.first && v->resting.first->epoch <= oldest) {
    struct retired *r = retired_pop(&v->resting);
    r->free(r);
    v->resting_count--;
  }
}

void view_commit(struct view *v) {
  if (v->pending) {
    struct view_root *root = v->pending;
    v->pending = NULL;
    root->number++;
    shard_map_freeze(&root->services, root->number);
    shard_map_freeze(&root->registrations, root->number);
    shard_map_freeze(&root->marks, root->number);
    struct view_root *old = atomic_exchange(&v->root, root);
    uint64_t epoch = atomic_fetch_add(&v->epoch, 1) + 1;
    retired_push(&v->leaving, &old->retired);
    while (v->leaving.first) {
      struct retired *r = retired_pop(&v->leaving);
      r->epoch = epoch;
      retired_push(&v->resting, r);
      v->resting_count++;
    }
    if (v->shown)
      v->shown(v->shown_arg);
  }
  if (v->resting.first)
    reclaim(v);
}

uint64_t view_resting(const struct view *v) {
  return v->resting_count;
}

int64_t view_used(const struct view *v, const char *service) {
  const struct view_root *root = v->pending ? v->pending : atomic_load(&v->root);
  const struct view_service *s = view_service(root, service);
  return s ? atomic_load_explicit(s->used_ns, memory_order_relaxed) : 0;
}

void view_free(struct view *v) {
  if (!v)
    return;
  view_commit(v);
  reclaim(v);
  struct view_root *root = atomic_load(&v->root);
  shard_map_free(&root->services);
  shard_map_free(&root->registrations);
  shard_map_free(&root->marks);
  free(root);
  free(atomic_load(&v->node));
  free(v);
}
