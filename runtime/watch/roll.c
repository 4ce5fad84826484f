#include "watch/roll.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int roll_fill(struct roll *r, const struct set_row *rows, size_t count) {
  int rc = instances_copy(&r->has, rows, count);
  if (rc == 0) {
    free(r->places);
    r->places = NULL;
  }
  return rc;
}

void roll_free(struct roll *r) {
  instances_free(&r->has);
  free(r->places);
  *r = (struct roll){0};
}

/* ---- who is where ---- */

/* An address alone is a host's, which may have many instances; a path is one socket's. */
static bool has_place(const struct instance *in) {
  return in->port != 0 || in->address[0] == '/';
}

static int by_place(const void *a, const void *b) {
  const struct instance *x = *(struct instance *const *)a, *y = *(struct instance *const *)b;
  int order = strcmp(x->address, y->address);
  return order ? order : x->port - y->port;
}

static int by_id(const void *a, const void *b) {
  const struct instance *x = *(struct instance *const *)a, *y = *(struct instance *const *)b;
  return strcmp(x->id, y->id);
}

static bool places_make(struct roll *r) {
  if (r->places)
    return true;
  r->places = malloc((r->has.count + 1) * sizeof *r->places);
  if (!r->places)
    return false;
  r->place_count = 0;
  for (size_t i = 0; i < r->has.count; i++)
    if (has_place(r->has.items[i]))
      r->places[r->place_count++] = r->has.items[i];
  qsort(r->places, r->place_count, sizeof *r->places, by_place);
  return true;
}

static long index_of(const struct roll *r, const struct instance *in) {
  struct instance *const *found =
      r->has.count ? bsearch(&in, r->has.items, r->has.count, sizeof *r->has.items, by_id) : NULL;
  return found ? found - r->has.items : -ENOENT;
}

long roll_find(struct roll *r, const struct instance *in) {
  long i = index_of(r, in);
  if (i >= 0 || !has_place(in) || !places_make(r))
    return i;
  struct instance *const *found =
      bsearch(&in, r->places, r->place_count, sizeof *r->places, by_place);
  return found ? index_of(r, *found) : -ENOENT;
}

/* ---- two of them ---- */

int roll_unite(struct roll *a, struct roll *b, struct instances *out) {
  const struct instances *first = &a->has, *second = &b->has;
  size_t i = 0, k = 0;
  int rc = 0;
  while (rc == 0 && (i < first->count || k < second->count)) {
    bool from_first =
        k == second->count || (i < first->count && by_id(&first->items[i], &second->items[k]) <= 0);
    if (from_first)
      rc = instances_add(out, first->items[i], first->statuses[i]);
    else if (roll_find(a, second->items[k]) < 0)
      rc = instances_add(out, second->items[k], second->statuses[k]);
    i += from_first;
    k += !from_first;
  }
  return rc;
}

void roll_drop(struct roll *r, struct roll *those) {
  size_t kept = 0;
  for (size_t i = 0; i < r->has.count; i++) {
    if (roll_find(those, r->has.items[i]) >= 0) {
      instance_unref(r->has.items[i]);
      continue;
    }
    r->has.items[kept] = r->has.items[i];
    r->has.statuses[kept++] = r->has.statuses[i];
  }
  r->has.count = kept;
  free(r->places);
  r->places = NULL;
}

static bool is_unlike(const struct instance *a, const struct instance *b) {
  bool unlike = by_place(&a, &b) != 0 || strcmp(a->zone, b->zone) != 0 || a->weight < b->weight ||
                a->weight > b->weight || a->tag_count != b->tag_count;
  for (int i = 0; !unlike && i < a->tag_count; i++)
    unlike = strcmp(a->tags[i], b->tags[i]) != 0;
  return unlike;
}

void roll_compare(struct roll *a, struct roll *b, struct roll_difference *out) {
  *out = (struct roll_difference){0};
  for (size_t i = 0; i < a->has.count; i++) {
    long there = roll_find(b, a->has.items[i]);
    out->only_first += there < 0;
    out->unlike += there >= 0 && (is_unlike(a->has.items[i], b->has.items[there]) ||
                                  a->has.statuses[i] != b->has.statuses[there]);
  }
  for (size_t i = 0; i < b->has.count; i++)
    out->only_second += roll_find(a, b->has.items[i]) < 0;
}
