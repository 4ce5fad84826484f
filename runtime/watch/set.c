#include "watch/set.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/schema.h"
#include "base/text.h"
#include "base/value.h"
#include "select/select.h"
#include "watch/outlier_stage.h"
#include "watch/set_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *service_of(const void *item) {
  return ((const struct set *)item)->service;
}

struct sets *sets_new(struct catalog_writer *writer, sets_published_fn published, void *arg) {
  struct sets *all = calloc(1, sizeof *all);
  if (all) {
    all->writer = writer;
    all->published = published;
    all->arg = arg;
    all->table.key = service_of;
  }
  return all;
}

void set_free(struct set *s) {
  rows_free(&s->rows);
  value_unref(s->balancer);
  free(s);
}

void sets_free(struct sets *all) {
  if (!all)
    return;
  for (uint32_t i = 0; i < all->table.count; i++)
    set_free(all->table.items[i]);
  table_free(&all->table);
  free(all->endpoints);
  free(all->pairs);
  free(all->ports);
  free(all);
}

struct set *sets_find(struct sets *all, const char *service) {
  return table_find(&all->table, service);
}

struct set *sets_open(struct sets *all, const char *service) {
  size_t length = strlen(service);
  if (!name_valid(service, length))
    return NULL;
  struct set *s = sets_find(all, service);
  if (!s) {
    s = calloc(1, sizeof *s + length + 1);
    if (!s)
      return NULL;
    s->all = all;
    memcpy(s->service, service, length + 1);
    if (table_add(&all->table, s) != 0) {
      free(s);
      return NULL;
    }
  }
  s->opens++;
  return s;
}

/* `moved`: membership, status or facts, which move the service's version. */
static void set_changed(struct set *s, bool moved) {
  s->moved |= moved;
  if (s->dirty)
    return;
  s->dirty = true;
  s->next_dirty = s->all->dirty;
  s->all->dirty = s;
}

void set_close(struct set *s) {
  if (--s->opens == 0)
    set_changed(s, true);
}

const char *set_service(const struct set *s) {
  return s->service;
}

size_t set_count(const struct set *s) {
  return s->rows.count - s->rows.holes;
}

const struct set_row *set_rows(struct set *s) {
  rows_tidy(&s->rows);
  return s->rows.items;
}

static int set_apply(struct set *s, int changed) {
  if (changed > 0)
    set_changed(s, true);
  return changed < 0 ? changed : 0;
}

int set_put(struct set *s, const struct instance *in, enum status status) {
  return in->fit ? set_apply(s, rows_put(&s->rows, in, status)) : -EINVAL;
}

int set_remove(struct set *s, const char *id) {
  return set_apply(s, rows_remove(&s->rows, id));
}

int set_status(struct set *s, const char *id, enum status status) {
  return set_apply(s, rows_status(&s->rows, id, status));
}

int set_replace(struct set *s, struct instance *const *instances, const enum status *statuses,
                size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!instances[i]->fit)
      return -EINVAL;
  int changed = rows_replace(&s->rows, instances, statuses, count);
  if (changed == 0 && !s->in_catalog)
    changed = 1; /* that a service has no endpoints is news, the first time */
  return set_apply(s, changed);
}

/* The algorithm's name: "name", { "name", ... }, or the last stage of a list of such. */
static const char *algorithm_name(const struct value *v) {
  if (value_kind(v) != VALUE_TABLE)
    return value_as_text(v, NULL);
  size_t length = value_length(v);
  if (length == 0)
    return NULL;
  const struct value *first = value_at(v, 0), *last = value_at(v, length - 1);
  if (length == 1 && value_kind(first) == VALUE_TEXT)
    return value_as_text(first, NULL);
  return value_kind(last) == VALUE_TABLE ? value_as_text(value_at(last, 0), NULL)
                                         : value_as_text(last, NULL);
}

int balancer_check(const struct value *balancer, struct fault *f) {
  if (value_kind(balancer) == VALUE_NIL)
    return 0;
  const char *name = algorithm_name(balancer);
  if (!name)
    return fault_set(f, -EINVAL, "a balancer is a name, { name, options } or a list of these");
  if (select_by_name(name))
    return 0;
  const char *known[32];
  size_t count = 0;
  for (const struct select_balancer *b; count < 32 && (b = select_at((unsigned)count)); count++)
    known[count] = b->name;
  const char *near = nearest_word(name, known, count);
  return fault_set(f, -EINVAL, "there is no balancer %s%s%s%s", name, near ? ": did you mean " : "",
                   near ? near : "", near ? "?" : "");
}

int set_balancer(struct set *s, const struct value *balancer, struct fault *f) {
  int rc = balancer_check(balancer, f);
  if (rc || value_equal(s->balancer, balancer))
    return rc;
  struct value *old = s->balancer;
  s->balancer = balancer ? value_ref(balancer) : NULL;
  s->algorithm = balancer ? algorithm_name(s->balancer) : NULL;
  value_unref(old);
  const struct value *stage = outlier_stage_find(s->balancer);
  s->outlier = (struct outlier_rules){0};
  if (stage)
    outlier_stage_parse(stage, &s->outlier, &(struct fault){0});
  if (s->in_catalog)
    set_changed(s, false);
  return 0;
}

const struct outlier_rules *set_outlier_rules(const struct set *s) {
  return s->outlier.interval_ns ? &s->outlier : NULL;
}

void set_touch(struct set *s) {
  if (s->in_catalog)
    set_changed(s, false);
}

void set_stale(struct set *s, bool stale) {
  if (s->stale == stale)
    return;
  s->stale = stale;
  s->stale_since_ns = stale ? clock_now_ns() : 0;
  if (s->in_catalog)
    set_changed(s, false);
}
