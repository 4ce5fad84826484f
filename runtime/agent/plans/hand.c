#include "agent/plans/hand.h"

#include "agent/plans/outcome_value.h"
#include "base/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where it is, or belongs. */
static size_t place_of(const struct hand *h, const char *id) {
  size_t i = 0;
  while (i < h->override_count && strcmp(h->overrides[i].id, id) < 0)
    i++;
  return i;
}

static bool is_at(const struct hand *h, size_t i, const char *id) {
  return i < h->override_count && strcmp(h->overrides[i].id, id) == 0;
}

const struct override *hand_find(const struct hand *h, const char *id) {
  size_t i = place_of(h, id);
  return is_at(h, i, id) ? &h->overrides[i] : NULL;
}

int hand_override(struct hand *h, const char *id, double weight, int64_t until_us) {
  size_t i = place_of(h, id);
  if (!is_at(h, i, id)) {
    struct override *more = realloc(h->overrides, (h->override_count + 1) * sizeof *more);
    char *own = strdup(id);
    h->overrides = more ? more : h->overrides;
    if (!more || !own) {
      free(own);
      return -ENOMEM;
    }
    memmove(&more[i + 1], &more[i], (h->override_count++ - i) * sizeof *more);
    more[i].id = own;
  }
  h->overrides[i].weight = weight;
  h->overrides[i].until_us = until_us;
  return 0;
}

static void take_out(struct hand *h, size_t i) {
  free(h->overrides[i].id);
  memmove(&h->overrides[i], &h->overrides[i + 1], (--h->override_count - i) * sizeof *h->overrides);
}

bool hand_release(struct hand *h, const char *id) {
  size_t i = place_of(h, id);
  bool there = is_at(h, i, id);
  if (there)
    take_out(h, i);
  return there;
}

bool hand_expire(struct hand *h, int64_t now_us) {
  size_t before = h->override_count;
  bool thaws = h->is_frozen && h->thaws_us && h->thaws_us <= now_us;
  if (thaws)
    hand_freeze(h, NULL, 0);
  for (size_t i = 0; i < h->override_count;)
    if (h->overrides[i].until_us <= now_us)
      take_out(h, i);
    else
      i++;
  return thaws || h->override_count < before;
}

int64_t hand_due_us(const struct hand *h) {
  int64_t due = h->is_frozen ? h->thaws_us : 0;
  for (size_t i = 0; i < h->override_count; i++)
    if (due == 0 || h->overrides[i].until_us < due)
      due = h->overrides[i].until_us;
  return due;
}

void hand_freeze(struct hand *h, struct outcome *frozen, int64_t thaws_us) {
  outcome_free(&h->frozen);
  h->thaws_us = thaws_us;
  h->is_frozen = frozen != NULL;
  if (frozen) {
    h->frozen = *frozen;
    *frozen = (struct outcome){0};
  }
}

static size_t promoted_at(const struct hand *h, const char *plugin) {
  size_t i = 0;
  while (i < h->promoted_count && strcmp(h->promoted[i], plugin) != 0)
    i++;
  return i;
}

int hand_promote(struct hand *h, const char *plugin, bool live) {
  size_t i = promoted_at(h, plugin);
  if (live == (i < h->promoted_count))
    return 0;
  if (!live) {
    free(h->promoted[i]);
    h->promoted[i] = h->promoted[--h->promoted_count];
    return 0;
  }
  char **more = realloc(h->promoted, (h->promoted_count + 1) * sizeof *more);
  h->promoted = more ? more : h->promoted;
  char *own = more ? strdup(plugin) : NULL;
  if (!own)
    return -ENOMEM;
  more[h->promoted_count++] = own;
  return 0;
}

bool hand_is_empty(const struct hand *h) {
  return h->override_count == 0 && !h->is_frozen && h->promoted_count == 0;
}

bool hand_apply(const struct hand *h, const struct plan_question *q, struct plan_row *out) {
  bool any = false;
  for (size_t i = 0, at = 0; at < h->override_count && i < q->count; i++) {
    int order = -1;
    while (at < h->override_count &&
           (order = strcmp(h->overrides[at].id, q->rows[i].instance->id)) < 0)
      at++;
    if (at == h->override_count || order != 0)
      continue;
    out[i].weight = h->overrides[at].weight;
    out[i].drop = false; /* who is given a weight by hand takes part */
    out[i].by = PLAN_OVERRIDE;
    any = true;
  }
  return any;
}

void hand_free(struct hand *h) {
  for (size_t i = 0; i < h->override_count; i++)
    free(h->overrides[i].id);
  free(h->overrides);
  for (size_t i = 0; i < h->promoted_count; i++)
    free(h->promoted[i]);
  free(h->promoted);
  outcome_free(&h->frozen);
  *h = (struct hand){0};
}

/* ---- in the store ----
 *
 *     { overrides = { { ID, WEIGHT, UNTIL }, ... }, promoted = { NAME, ... },
 *       frozen = AN OUTCOME, thaws = UNTIL } */

static struct value *text_of(const char *text) {
  return value_text(text, strlen(text));
}

/* A NULL in between shows in the end: appending to it, or it, fails. */
static struct value *list_of(struct value *a, struct value *b, struct value *c) {
  struct value *list = value_table();
  int r = value_append(list, a);
  r = value_append(list, b) ? -ENOMEM : r;
  r = value_append(list, c) ? -ENOMEM : r;
  if (r == 0)
    return list;
  value_unref(list);
  return NULL;
}

static int add_overrides(const struct hand *h, struct value *v) {
  struct value *list = value_table();
  int r = 0;
  for (size_t i = 0; r == 0 && i < h->override_count; i++) {
    const struct override *o = &h->overrides[i];
    r = value_append(
        list, list_of(text_of(o->id), value_number(o->weight), value_number((double)o->until_us)));
  }
  int set = value_set(v, "overrides", list);
  return r ? r : set;
}

static int add_promoted(const struct hand *h, struct value *v) {
  struct value *list = value_table();
  int r = 0;
  for (size_t i = 0; r == 0 && i < h->promoted_count; i++)
    r = value_append(list, text_of(h->promoted[i]));
  int set = value_set(v, "promoted", list);
  return r ? r : set;
}

static int add_frozen(const struct hand *h, struct value *v) {
  int r = value_set(v, "frozen", outcome_to_value(&h->frozen));
  return r ? r : value_set(v, "thaws", value_number((double)h->thaws_us));
}

struct value *hand_to_value(const struct hand *h) {
  struct value *v = value_table();
  int r = add_overrides(h, v);
  if (r == 0)
    r = add_promoted(h, v);
  if (r == 0 && h->is_frozen)
    r = add_frozen(h, v);
  if (r == 0)
    return v;
  value_unref(v);
  return NULL;
}

static int read_frozen(struct hand *h, const char *service, const struct value *v) {
  struct outcome o = {0};
  int r = outcome_from_value(&o, service, value_get(v, "frozen"));
  if (r == 0)
    hand_freeze(h, &o, (int64_t)value_as_number(value_get(v, "thaws"), 0));
  return r;
}

int hand_from_value(struct hand *h, const char *service, const struct value *v) {
  const struct value *overrides = value_get(v, "overrides"), *promoted = value_get(v, "promoted");
  int r = value_kind(v) == VALUE_TABLE ? 0 : -EPROTO;
  for (size_t i = 0; r == 0 && i < value_length(overrides); i++) {
    const struct value *one = value_at(overrides, i);
    r = hand_override(h, value_as_text(value_at(one, 0), ""), value_as_number(value_at(one, 1), 1),
                      (int64_t)value_as_number(value_at(one, 2), 0));
  }
  for (size_t i = 0; r == 0 && i < value_length(promoted); i++)
    r = hand_promote(h, value_as_text(value_at(promoted, i), ""), true);
  if (r == 0 && value_get(v, "frozen"))
    r = read_frozen(h, service, v);
  return r;
}
