#include "watch/plan.h"

#include "base/clock.h"
#include "watch/balancer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *plan_by_name(enum plan_by by) {
  static const char *const names[] = {"registry", "balancer", "frozen", "override"};
  return names[by];
}

/* As the stage `priority` reads it, so that a plan begins with what it would make of it. */
static uint16_t tier_of(const struct instance *in, const struct catalog_rules *rules) {
  for (uint16_t i = 0; rules->priority && i < in->meta_count; i++)
    if (strcmp(in->meta[i].key, rules->priority_key) == 0) {
      unsigned long tier = strtoul(in->meta[i].value, NULL, 10);
      return tier < UINT16_MAX ? (uint16_t)tier : UINT16_MAX;
    }
  return 0;
}

void plan_from_registry(const struct plan_question *q, struct plan_row *out) {
  for (size_t i = 0; i < q->count; i++) {
    const struct instance *in = q->rows[i].instance;
    out[i] = (struct plan_row){in->weight, tier_of(in, &q->rules->rules), false, PLAN_REGISTRY};
  }
}

bool plan_row_equal(const struct plan_row *a, const struct plan_row *b) {
  return a->weight == b->weight && a->tier == b->tier && a->drop == b->drop;
}

int outcome_set(struct outcome *o, const struct plan_question *q, const struct plan_row *said) {
  struct outcome_row *rows = malloc((q->count ? q->count : 1) * sizeof *rows);
  if (!rows)
    return -ENOMEM;
  for (size_t i = 0; i < q->count; i++)
    rows[i] = (struct outcome_row){instance_ref(q->rows[i].instance), said[i]};
  outcome_free(o);
  *o = (struct outcome){rows, q->count, clock_steady_us()};
  return 0;
}

int outcome_copy(struct outcome *to, const struct outcome *from) {
  struct outcome_row *rows = malloc((from->count + 1) * sizeof *rows);
  if (!rows)
    return -ENOMEM;
  for (size_t i = 0; i < from->count; i++)
    rows[i] = (struct outcome_row){instance_ref(from->rows[i].instance), from->rows[i].row};
  *to = (struct outcome){rows, from->count, from->at_us};
  return 0;
}

size_t outcome_apply(const struct outcome *o, const struct plan_question *q, struct plan_row *out) {
  size_t at = 0, known = 0;
  for (size_t i = 0; i < q->count; i++) {
    const char *id = q->rows[i].instance->id;
    int order = -1;
    while (at < o->count && (order = strcmp(o->rows[at].instance->id, id)) < 0)
      at++;
    if (at == o->count)
      break;
    if (order == 0) {
      out[i] = o->rows[at].row;
      known++;
    }
  }
  return known;
}

const struct plan_row *outcome_find(const struct outcome *o, const char *id) {
  size_t low = 0, high = o->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = strcmp(id, o->rows[middle].instance->id);
    if (order == 0)
      return &o->rows[middle].row;
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

bool outcome_is(const struct outcome *o, const struct plan_question *q,
                const struct plan_row *said) {
  bool same = o->count == q->count;
  for (size_t i = 0; same && i < q->count; i++) {
    const struct instance *a = o->rows[i].instance, *b = q->rows[i].instance;
    same = (a == b || strcmp(a->id, b->id) == 0) && plan_row_equal(&o->rows[i].row, &said[i]);
  }
  return same;
}

bool outcome_agrees(const struct outcome *a, const struct outcome *b) {
  size_t i = 0, k = 0, common = 0;
  while (i < a->count && k < b->count) {
    int order = strcmp(a->rows[i].instance->id, b->rows[k].instance->id);
    if (order == 0 && !plan_row_equal(&a->rows[i].row, &b->rows[k].row))
      return false;
    common += order == 0;
    i += order <= 0;
    k += order >= 0;
  }
  return common > 0;
}

void outcome_free(struct outcome *o) {
  for (size_t i = 0; i < o->count; i++)
    instance_unref(o->rows[i].instance);
  free(o->rows);
  *o = (struct outcome){0};
}
