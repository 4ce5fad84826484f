#include "agent/plans/prospect.h"

#include "base/fault.h"
#include "base/value.h"
#include "config/config.h"
#include "config/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An instance of the configuration that differs; NULL where it is not. */
struct own {
  const struct instance *before, *after;
  const struct value *left, *joined; /* the registries that have it before and after */
};

struct prospects {
  const struct config *old, *next;
  const struct config_watch **watches[2]; /* the old ones, the next: by service */
  struct own *own;                        /* by service, then id */
  size_t own_count;
  const char **services;
  size_t service_count;
};

/* ---- what differs ---- */

static const struct instance *own_instance(const struct own *o) {
  return o->before ? o->before : o->after;
}

static int by_place(const void *a, const void *b) {
  const struct instance *x = own_instance(a), *y = own_instance(b);
  int order = strcmp(x->service, y->service);
  return order ? order : strcmp(x->id, y->id);
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static struct own *all_of(const struct config *c, bool after) {
  struct own *list = calloc(c->service_count + 1, sizeof *list);
  for (size_t i = 0; list && i < c->service_count; i++)
    list[i] =
        after ? (struct own){.after = c->services[i]->instance, .joined = c->service_registries[i]}
              : (struct own){.before = c->services[i]->instance, .left = c->service_registries[i]};
  if (list)
    qsort(list, c->service_count, sizeof *list, by_place);
  return list;
}

static void add_if_different(struct prospects *all, struct own o) {
  if (!o.before || !o.after || !instance_equal(o.before, o.after) || !value_equal(o.left, o.joined))
    all->own[all->own_count++] = o;
}

static int compare(struct prospects *all) {
  size_t i = 0, k = 0, olds = all->old->service_count, news = all->next->service_count;
  struct own *old = all_of(all->old, false), *new = all_of(all->next, true);
  all->own = calloc(olds + news + 1, sizeof *all->own);
  bool made = old && new && all->own;
  while (made && (i < olds || k < news)) {
    int order = i == olds ? 1 : k == news ? -1 : by_place(&old[i], &new[k]);
    struct own o = {0};
    if (order <= 0) {
      o.before = old[i].before;
      o.left = old[i++].left;
    }
    if (order >= 0) {
      o.after = new[k].after;
      o.joined = new[k++].joined;
    }
    add_if_different(all, o);
  }
  free(old);
  free(new);
  return made ? 0 : -ENOMEM;
}

static int by_service(const void *a, const void *b) {
  const struct config_watch *const *x = a, *const *y = b;
  return strcmp((*x)->service, (*y)->service);
}

static int sort_watches(struct prospects *all) {
  for (int next = 0; next < 2; next++) {
    const struct config *c = next ? all->next : all->old;
    const struct config_watch **list = calloc(c->watch_count + 1, sizeof(struct config_watch *));
    all->watches[next] = list;
    if (!list)
      return -ENOMEM;
    for (size_t i = 0; i < c->watch_count; i++)
      list[i] = &c->watches[i];
    qsort(list, c->watch_count, sizeof *list, by_service);
  }
  return 0;
}

static int name_services(struct prospects *all) {
  size_t count = 0, kept = 0;
  all->services = calloc(all->old->watch_count + all->next->watch_count + all->own_count + 1,
                         sizeof *all->services);
  if (!all->services)
    return -ENOMEM;
  for (size_t i = 0; i < all->old->watch_count; i++)
    all->services[count++] = all->old->watches[i].service;
  for (size_t i = 0; i < all->next->watch_count; i++)
    all->services[count++] = all->next->watches[i].service;
  for (size_t i = 0; i < all->own_count; i++)
    all->services[count++] = own_instance(&all->own[i])->service;
  qsort(all->services, count, sizeof *all->services, by_name);
  for (size_t i = 0; i < count; i++)
    if (kept == 0 || strcmp(all->services[kept - 1], all->services[i]) != 0)
      all->services[kept++] = all->services[i];
  all->service_count = kept;
  return 0;
}

struct prospects *prospects_new(const struct config *old, const struct config *next) {
  struct prospects *all = calloc(1, sizeof *all);
  if (!all)
    return NULL;
  all->old = old;
  all->next = next;
  if (compare(all) == 0 && sort_watches(all) == 0 && name_services(all) == 0)
    return all;
  prospects_free(all);
  return NULL;
}

void prospects_free(struct prospects *all) {
  if (!all)
    return;
  free(all->own);
  free(all->watches[0]);
  free(all->watches[1]);
  free(all->services);
  free(all);
}

size_t prospects_count(const struct prospects *all) {
  return all->service_count;
}

const char *prospects_service(const struct prospects *all, size_t i) {
  return all->services[i];
}

/* ---- where it comes from ---- */

static int find_service(const void *service, const void *watch) {
  return strcmp(service, (*(const struct config_watch *const *)watch)->service);
}

const struct config_watch *prospects_watch(const struct prospects *all, const char *service,
                                           bool next) {
  const struct config *c = next ? all->next : all->old;
  const struct config_watch **found = bsearch(service, all->watches[next], c->watch_count,
                                              sizeof *all->watches[next], find_service);
  return found ? *found : NULL;
}

/* A registry, and the name there. */
struct origin_of {
  struct target target; /* to be cleared */
  bool embedded;        /* this agent's own */
};

static int read_origin(const struct config_watch *w, const char *service, struct origin_of *out) {
  struct fault f;
  *out = (struct origin_of){0};
  if (w) {
    int r = target_parse(w->target, &out->target, &f);
    out->embedded = r == 0 && !w->second && strcmp(out->target.registry, "embedded") == 0 &&
                    !*out->target.authority;
    return r;
  }
  out->embedded = true;
  out->target.name = strdup(service);
  return out->target.name ? 0 : -ENOMEM;
}

static bool same_text(const char *a, const char *b) {
  return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_source(const struct config_watch *a, const struct config_watch *b) {
  return a && b ? same_text(a->target, b->target) && same_text(a->second, b->second) : a == b;
}

/* In the old configuration. */
static bool feeds_itself(const struct prospects *all, const char *service) {
  struct origin_of o;
  int r = read_origin(prospects_watch(all, service, false), service, &o);
  bool itself = r == 0 && o.embedded && strcmp(o.target.name, service) == 0;
  target_clear(&o.target);
  return itself;
}

static bool is_listed(const struct value *names, const char *name) {
  for (size_t i = 0; i < value_length(names); i++)
    if (strcmp(value_as_text(value_at(names, i), ""), name) == 0)
      return true;
  return false;
}

/* ---- who will be there ---- */

/* As it will be; what a policy has made of it, which is how `now` differs from `before`, stays. */
static struct instance *remake(const struct own *o, const struct instance *now) {
  const struct instance *was = o->before, *next = o->after;
  const char **tags = calloc(next->tag_count + now->tag_count + 1, sizeof *tags);
  struct catalog_pair *meta = calloc(next->meta_count + now->meta_count + 1, sizeof *meta);
  size_t tag_count = 0, meta_count = 0;
  struct instance *made = NULL;
  for (size_t i = 0; tags && i < next->tag_count; i++)
    tags[tag_count++] = next->tags[i];
  for (size_t i = 0; tags && i < now->tag_count; i++)
    if (!instance_has_tag(was, now->tags[i]) && !instance_has_tag(next, now->tags[i]))
      tags[tag_count++] = now->tags[i];
  for (size_t i = 0; meta && i < next->meta_count; i++)
    if (same_text(instance_meta(now, next->meta[i].key), instance_meta(was, next->meta[i].key)))
      meta[meta_count++] = next->meta[i];
  for (size_t i = 0; meta && i < now->meta_count; i++)
    if (!same_text(now->meta[i].value, instance_meta(was, now->meta[i].key)))
      meta[meta_count++] = now->meta[i];
  if (tags && meta)
    made = instance_new(&(struct instance_draft){
        .id = next->id,
        .service = next->service,
        .address = next->address,
        .zone = strcmp(now->zone, was->zone) ? now->zone : next->zone,
        .port = next->port,
        .weight =
            now->weight < was->weight || now->weight > was->weight ? now->weight : next->weight,
        .ports = next->ports,
        .port_count = next->port_count,
        .tags = tags,
        .tag_count = (uint16_t)tag_count,
        .meta = meta,
        .meta_count = (uint16_t)meta_count});
  free(tags);
  free(meta);
  return made;
}

struct making {
  const struct prospects *all;
  const struct origin_of *from;
  struct prospect *out;
};

static int add(struct prospect *p, const struct set_row *row, struct instance *in) {
  if (!in)
    return -ENOMEM;
  p->rows[p->count] = *row;
  p->rows[p->count++].instance = in;
  return 0;
}

/* Whether the source has it before (`left`) or after (`joined`). */
static bool has(const struct making *m, const struct value *registries) {
  return m->from->embedded || is_listed(registries, m->from->target.registry);
}

/* One that is there now, and that the configuration changes; `o` NULL: it does not. */
static int keep_one(const struct making *m, const struct set_row *row, const struct own *o) {
  if (!o || !o->before || !has(m, o->left))
    return add(m->out, row, instance_ref(row->instance));
  if (!o->after || !has(m, o->joined))
    return 0;
  return add(m->out, row, remake(o, row->instance));
}

/* One that is not there: it comes, or it was held back, and is. */
static int add_one(const struct making *m, const struct own *o) {
  const struct instance *in = o->after;
  bool comes = in && has(m, o->joined) && !(o->before && has(m, o->left));
  if (!comes || config_policy(m->all->next, in->service, in->id))
    return 0;
  return add(m->out, &(struct set_row){.status = STATUS_PASSING}, instance_ref(in));
}

/* Those of one name: from *first to what is returned. */
static const struct own *own_of(const struct prospects *all, const char *name,
                                const struct own **first) {
  size_t low = 0, high = all->own_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (strcmp(own_instance(&all->own[middle])->service, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  *first = &all->own[low];
  while (low < all->own_count && strcmp(own_instance(&all->own[low])->service, name) == 0)
    low++;
  return &all->own[low];
}

static int merge(struct making *m, const struct set_row *rows, size_t count) {
  const struct own *o, *end = own_of(m->all, m->from->target.name, &o);
  size_t i = 0;
  int r = 0;
  m->out->rows = calloc(count + (size_t)(end - o) + 1, sizeof *m->out->rows);
  if (!m->out->rows)
    return -ENOMEM;
  while (r == 0 && (i < count || o < end)) {
    int order = i == count ? 1 : o == end ? -1 : strcmp(rows[i].instance->id, own_instance(o)->id);
    if (order > 0)
      r = add_one(m, o++);
    else
      r = keep_one(m, &rows[i++], order == 0 ? o++ : NULL);
  }
  return r;
}

static bool has_instances(const struct config *c, const char *service) {
  for (size_t i = 0; i < c->service_count; i++)
    if (strcmp(c->services[i]->instance->service, service) == 0)
      return true;
  return false;
}

/* What this agent's own registry has of a name that is to come from there from now on. */
static int rows_of(const struct prospects *all, const char *name, struct sets *sets,
                   const struct set_row **rows, size_t *count) {
  bool hidden = !feeds_itself(all, name); /* behind a watch of that name */
  struct set *s = hidden ? NULL : sets_find(sets, name);
  if (hidden && (prospects_watch(all, name, true) || has_instances(all->next, name)))
    return -ENODATA;
  *rows = s ? set_rows(s) : NULL;
  *count = s ? set_count(s) : 0;
  return 0;
}

bool prospects_concern(const struct prospects *all, const char *service) {
  const struct config_watch *old = prospects_watch(all, service, false),
                            *next = prospects_watch(all, service, true);
  const struct own *first, *end = NULL;
  struct origin_of from;
  int r = read_origin(next, service, &from);
  if (r == 0)
    end = own_of(all, from.target.name, &first);
  target_clear(&from.target);
  return r == 0 && (!same_source(old, next) || first != end);
}

int prospect_make(const struct prospects *all, const char *service, struct sets *sets,
                  const struct set_row *rows, size_t count, struct prospect *out) {
  const struct config_watch *old = prospects_watch(all, service, false),
                            *next = prospects_watch(all, service, true);
  struct origin_of from;
  struct making m = {all, &from, out};
  *out = (struct prospect){0};
  int r = read_origin(next, service, &from);
  if (r == 0 && !same_source(old, next))
    r = from.embedded ? rows_of(all, from.target.name, sets, &rows, &count) : -ENODATA;
  if (r == 0)
    r = merge(&m, rows, count);
  target_clear(&from.target);
  if (r != 0)
    prospect_free(out);
  return r;
}

void prospect_free(struct prospect *p) {
  for (size_t i = 0; i < p->count; i++)
    instance_unref(p->rows[i].instance);
  free(p->rows);
  p->rows = NULL;
  p->count = 0;
}
