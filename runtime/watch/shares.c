/* shares: what picks will make of a plan, before anything is published: select/'s own shape of it,
 * without the tables. */
#include "catalog/tables.h"
#include "catalog/writer.h"
#include "watch/balancer.h"
#include "watch/plan.h"

#include <errno.h>
#include <stdlib.h>

struct work {
  struct catalog_endpoint *endpoints;
  size_t *rows; /* of the question, of each endpoint */
  double *sums; /* of the groups' weights, over the largest */
  struct catalog_shape shape;
};

static void work_free(struct work *w) {
  free(w->endpoints);
  free(w->rows);
  free(w->sums);
  free(w->shape.weights);
  free(w->shape.groups);
  free(w->shape.shares);
}

static int work_make(struct work *w, size_t count) {
  size_t room = count ? count : 1;
  *w = (struct work){.endpoints = calloc(room, sizeof *w->endpoints),
                     .rows = calloc(room, sizeof *w->rows),
                     .sums = calloc(room, sizeof *w->sums),
                     .shape = {.weights = calloc(room, sizeof(double)),
                               .groups = calloc(room, sizeof(uint16_t)),
                               .shares = calloc(room, sizeof(struct catalog_share))}};
  if (w->endpoints && w->rows && w->sums && w->shape.weights && w->shape.groups && w->shape.shares)
    return 0;
  work_free(w);
  return -ENOMEM;
}

static size_t take_part(struct work *w, const struct plan_question *q,
                        const struct plan_row *rows) {
  size_t count = 0;
  for (size_t i = 0; i < q->count; i++) {
    const struct instance *in = q->rows[i].instance;
    if (rows[i].drop || !selection_has(&q->rules->select, in))
      continue;
    w->rows[count] = i;
    w->endpoints[count++] =
        (struct catalog_endpoint){.id = in->id,
                                  .zone = in->zone,
                                  .tier = rows[i].tier,
                                  .status = (uint8_t)q->rows[i].status,
                                  .ejected = q->live && q->live(q->live_arg, &q->rows[i]).ejected,
                                  .weight = rows[i].weight,
                                  .born_ns = (uint64_t)q->rows[i].born_ns};
  }
  return count;
}

static void divide(struct work *w, size_t count, double *shares) {
  const struct catalog_shape *shape = &w->shape;
  double largest = 0; /* a sum of the weights themselves may overflow */
  for (size_t i = 0; i < count; i++)
    largest = shape->weights[i] > largest ? shape->weights[i] : largest;
  for (size_t i = 0; i < count; i++)
    if (shape->weights[i] > 0)
      w->sums[shape->groups[i]] += shape->weights[i] / largest;
  for (size_t i = 0; i < count; i++)
    if (shape->weights[i] > 0)
      shares[w->rows[i]] = shape->weights[i] / largest / w->sums[shape->groups[i]] *
                           shape->shares[shape->groups[i]].share;
}

int plan_shares(const struct plan_question *q, const struct plan_row *rows, double *shares) {
  struct work w;
  int r = work_make(&w, q->count);
  if (r != 0)
    return r;
  struct catalog_rules rules = q->rules->rules;
  rules.priority_key = ""; /* the rows have the tiers */
  struct catalog_snapshot snapshot = {.service = q->service,
                                      .balancer = q->rules->algorithm,
                                      .rules = &rules,
                                      .endpoints = w.endpoints,
                                      .count = take_part(&w, q, rows),
                                      .now_ns = (uint64_t)q->now_ns};
  for (size_t i = 0; i < q->count; i++)
    shares[i] = 0;
  r = catalog_shape_build(&w.shape, &snapshot);
  if (r == 0)
    divide(&w, snapshot.count, shares);
  work_free(&w);
  return r;
}

double plan_moved(const double *before, const double *after, size_t count) {
  double moved = 0;
  for (size_t i = 0; i < count; i++)
    moved += after[i] > before[i] ? after[i] - before[i] : 0;
  return moved;
}
