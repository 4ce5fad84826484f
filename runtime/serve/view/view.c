#include "serve/view/view.h"

#include "serve/view/view_shard.h"
#include "watch/plan.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS_MAX = 64 };
#define SECOND INT64_C(1000000000)

struct view_root {
  struct retired retired;
  uint64_t number; /* of its commit */
  uint64_t index, listed, begun, ended;
  struct shard_map services, registrations, marks;
};

/* Values of the services map; of the registrations map. */
struct service_box {
  struct retired retired;
  struct use *use;
  struct view_service service;
};
/* Of all the boxes that a service has had, until the last of them is reclaimed. */
struct use {
  unsigned boxes; /* the control thread's */
  _Atomic int64_t used_ns;
};
struct state_box {
  struct retired retired;
  struct registration_state *state; /* a reference */
};
/* Of the marks map: a service's index, which moves more often than the service does. */
struct mark_box {
  struct retired retired;
  uint64_t index;
  char service[];
};

struct node_box {
  struct retired retired;
  struct view_node node;
};

struct reader {
  _Alignas(64) _Atomic uint64_t entered; /* the epoch it entered at; 0: quiescent */
};

struct view {
  _Atomic(struct node_box *) node;
  unsigned workers;
  _Atomic(struct view_root *) root;
  struct view_root *pending;   /* NULL: nothing was published since the last commit */
  struct retired_list leaving; /* replaced in `pending`; still in `root` */
  struct retired_list resting; /* in no tree; a worker may still be reading. By epoch */
  uint64_t resting_count;
  _Atomic uint64_t epoch; /* moves after each swap of the root; at least 1 */
  void (*shown)(void *arg);
  void *shown_arg;
  struct reader readers[WORKERS_MAX];
};

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

/* --- publishing: the control thread --- */

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

static uint64_t mark_of(const struct view_root *root, const char *service) {
  const struct shard_entry *e = shard_find(&root->marks, service);
  return e ? ((const struct mark_box *)e->value)->index : 0;
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

/* --- reading: the workers --- */

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
