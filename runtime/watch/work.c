#include "watch/work.h"

#include "catalog/tables.h"
#include "watch/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *copy_of(const void *bytes, size_t size) {
  void *copy = malloc(size ? size : 1);
  return copy && size ? memcpy(copy, bytes, size) : copy;
}

static void work_free(struct set_work *w) {
  for (size_t i = 0; w->rows && i < w->count; i++)
    instance_unref(w->rows[i].instance);
  if (w->build)
    catalog_build_end(w->build);
  free(w->endpoints);
  free(w->rows);
  free(w->plan);
  free(w->freed);
  free(w);
}

static struct set_work *work_new(const struct set *s, const struct catalog_snapshot *snapshot,
                                 const struct set_row *rows, size_t count,
                                 const struct plan_row *plan) {
  struct set_work *w = calloc(1, sizeof *w);
  if (!w)
    return NULL;
  w->endpoints = copy_of(snapshot->endpoints, snapshot->count * sizeof *w->endpoints);
  w->plan = copy_of(plan, plan ? count * sizeof *w->plan : 0);
  w->freed = copy_of(s->rows.freed, s->rows.freed_count * sizeof *w->freed);
  w->rows = copy_of(rows, count * sizeof *w->rows);
  for (size_t i = 0; w->rows && i < count; i++)
    instance_ref(rows[i].instance);
  w->count = count;
  w->planned = plan != NULL;
  w->freed_count = s->rows.freed_count;
  snprintf(w->service, sizeof w->service, "%s", s->service);
  if (w->endpoints && w->plan && w->freed && w->rows)
    return w;
  work_free(w);
  return NULL;
}

int work_begin(struct set *s, const struct catalog_snapshot *snapshot, const struct set_row *rows,
               size_t count, const struct plan_row *plan, struct set_work **out) {
  *out = NULL;
  if (!s->all->elsewhere || catalog_tables_quick(snapshot->balancer, snapshot->count))
    return 0;
  struct set_work *w = work_new(s, snapshot, rows, count, plan);
  if (!w)
    return -ENOMEM;
  struct catalog_snapshot copy = *snapshot;
  copy.service = w->service;
  copy.endpoints = w->endpoints;
  w->rules = *snapshot->rules;
  copy.rules = &w->rules;
  int rc = catalog_build_begin(s->all->writer, &copy, &w->build);
  if (rc || !w->build) {
    work_free(w);
    return rc;
  }
  w->set = s;
  w->now_ns = (int64_t)snapshot->now_ns;
  w->moved = s->moved;
  s->moved = false;
  s->rows.freed_count = 0;
  s->work = w;
  s->all->working++;
  *out = w;
  return 0;
}

void work_start(struct set_work *w) {
  struct sets *all = w->set->all;
  if (all->elsewhere(all->elsewhere_arg, w) == 0)
    return;
  set_work_run(w);
  set_work_over(w);
}

void work_orphan(struct set_work *w) {
  struct sets *all = w->set->all;
  for (uint32_t i = 0; i < w->freed_count; i++)
    catalog_slot_free(all->writer, w->freed[i]);
  w->set->work = NULL;
  w->set = NULL;
  all->working--;
}

void set_work_run(struct set_work *w) {
  catalog_build_run(w->build);
}

void set_work_over(struct set_work *w) {
  if (w->set) {
    w->set->all->working--;
    w->set->work = NULL;
    work_finish(w);
  }
  work_free(w);
}

void sets_elsewhere(struct sets *all, set_work_fn begin, void *arg) {
  all->elsewhere = begin;
  all->elsewhere_arg = arg;
}

size_t sets_working(const struct sets *all) {
  return all->working;
}
