#include "vm/pick/pick_rules.h"

#include "base/value.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shared_rule {
  struct pick_rule rule; /* first */
  atomic_uint references;
  pthread_mutex_t lock; /* of `blamed` */
  char blamed[500];
};

struct pick_table {
  unsigned references; /* under the lock of its rules */
  size_t count;
  struct entry {
    char *service;
    struct pick_rule *rule;
  } entries[]; /* by service */
};

struct pick_rules {
  void (*faulted)(void *arg);
  void *arg;
  pthread_mutex_t lock;
  _Atomic uint64_t version;
  struct pick_table *now; /* under the lock */
};

static void rule_free(struct pick_rule *r) {
  struct shared_rule *s = (struct shared_rule *)r;
  free((char *)r->plugin);
  free((char *)r->path);
  value_unref(r->parts);
  free((char *)r->hash);
  value_unref(r->options);
  value_unref((struct value *)r->limits.grant);
  pthread_mutex_destroy(&s->lock);
  free(s);
}

struct pick_rule *pick_rule_new(const char *plugin, const char *path, struct value *parts,
                                const char *hash, const struct isolate_limits *limits,
                                const struct value *options) {
  struct shared_rule *s = aligned_alloc(_Alignof(struct shared_rule), sizeof *s);
  if (!s) {
    value_unref(parts);
    return NULL;
  }
  memset(s, 0, sizeof *s);
  struct pick_rule *r = &s->rule;
  pthread_mutex_init(&s->lock, NULL);
  atomic_init(&s->references, 1);
  r->plugin = strdup(plugin);
  r->path = strdup(path);
  r->parts = parts;
  r->hash = strdup(hash);
  r->options = options ? value_ref(options) : NULL;
  r->limits = *limits;
  r->limits.grant = limits->grant ? value_ref(limits->grant) : NULL;
  if (r->plugin && r->path && r->parts && r->hash)
    return r;
  rule_free(r);
  return NULL;
}

struct pick_rule *pick_rule_ref(struct pick_rule *r) {
  atomic_fetch_add(&((struct shared_rule *)r)->references, 1);
  return r;
}

void pick_rule_unref(struct pick_rule *r) {
  if (r && atomic_fetch_sub(&((struct shared_rule *)r)->references, 1) == 1)
    rule_free(r);
}

void pick_rule_blame(struct pick_rule *r, const char *text) {
  struct shared_rule *s = (struct shared_rule *)r;
  pthread_mutex_lock(&s->lock);
  snprintf(s->blamed, sizeof s->blamed, "%s", text);
  pthread_mutex_unlock(&s->lock);
}

void pick_rule_blamed(struct pick_rule *r, char *text, size_t size) {
  struct shared_rule *s = (struct shared_rule *)r;
  pthread_mutex_lock(&s->lock);
  snprintf(text, size, "%s", s->blamed);
  pthread_mutex_unlock(&s->lock);
}

struct pick_rules *pick_rules_new(void (*faulted)(void *arg), void *arg) {
  struct pick_rules *all = calloc(1, sizeof *all);
  if (!all)
    return NULL;
  all->faulted = faulted;
  all->arg = arg;
  pthread_mutex_init(&all->lock, NULL);
  return all;
}

static void table_free(struct pick_table *t) {
  for (size_t i = 0; i < t->count; i++) {
    free(t->entries[i].service);
    pick_rule_unref(t->entries[i].rule);
  }
  free(t);
}

void pick_rules_free(struct pick_rules *all) {
  if (!all)
    return;
  pick_table_give_back(all, all->now);
  pthread_mutex_destroy(&all->lock);
  free(all);
}

void pick_rules_faulted(const struct pick_rules *all) {
  if (all->faulted)
    all->faulted(all->arg);
}

static int by_service(const void *a, const void *b) {
  const struct entry *x = a, *y = b;
  return strcmp(x->service, y->service);
}

static struct pick_table *table_new(const struct pick_use *uses, size_t count) {
  struct pick_table *t = calloc(1, sizeof *t + count * sizeof *t->entries);
  if (!t)
    return NULL;
  t->references = 1;
  for (; t->count < count; t->count++) {
    struct entry *e = &t->entries[t->count];
    e->service = strdup(uses[t->count].service);
    if (!e->service) {
      table_free(t);
      return NULL;
    }
    e->rule = pick_rule_ref(uses[t->count].rule);
  }
  qsort(t->entries, count, sizeof *t->entries, by_service);
  return t;
}

int pick_rules_publish(struct pick_rules *all, const struct pick_use *uses, size_t count) {
  struct pick_table *t = count ? table_new(uses, count) : NULL;
  if (count && !t)
    return -ENOMEM;
  pthread_mutex_lock(&all->lock);
  struct pick_table *old = all->now;
  all->now = t;
  atomic_fetch_add(&all->version, 1);
  pthread_mutex_unlock(&all->lock);
  pick_table_give_back(all, old);
  return 0;
}

uint64_t pick_rules_version(const struct pick_rules *all) {
  return atomic_load_explicit(&all->version, memory_order_acquire);
}

struct pick_table *pick_rules_take(struct pick_rules *all, uint64_t *version) {
  pthread_mutex_lock(&all->lock);
  struct pick_table *t = all->now;
  if (t)
    t->references++;
  *version = atomic_load(&all->version);
  pthread_mutex_unlock(&all->lock);
  return t;
}

void pick_table_give_back(struct pick_rules *all, struct pick_table *t) {
  if (!t)
    return;
  pthread_mutex_lock(&all->lock);
  bool last = --t->references == 0;
  pthread_mutex_unlock(&all->lock);
  if (last)
    table_free(t);
}

struct pick_rule *pick_table_find(const struct pick_table *t, const char *service) {
  const struct entry wanted = {.service = (char *)service};
  const struct entry *e =
      t ? bsearch(&wanted, t->entries, t->count, sizeof *t->entries, by_service) : NULL;
  return e ? e->rule : NULL;
}

bool pick_table_has(const struct pick_table *t, const struct pick_rule *r) {
  for (size_t i = 0; t && i < t->count; i++)
    if (t->entries[i].rule == r)
      return true;
  return false;
}
