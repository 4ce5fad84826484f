#include "agent/plans/outcome_value.h"

#include "base/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A NULL in between shows in the end: appending to it, or it, fails. */
static int add_row(struct value *list, const struct outcome_row *row) {
  const char *id = row->instance->id;
  struct value *one = value_table();
  int r = value_append(one, value_text(id, strlen(id)));
  if (r == 0)
    r = value_append(one, value_number(row->row.weight));
  if (r == 0)
    r = value_append(one, value_number(row->row.tier));
  if (r == 0)
    r = value_append(one, value_boolean(row->row.drop));
  if (r == 0)
    r = value_append(one, value_number(row->row.by));
  int added = value_append(list, one);
  return r ? r : added;
}

struct value *outcome_to_value(const struct outcome *o) {
  struct value *list = value_table();
  int r = value_set(list, "at", value_number((double)o->at_us));
  for (size_t i = 0; r == 0 && i < o->count; i++)
    r = add_row(list, &o->rows[i]);
  if (r == 0)
    return list;
  value_unref(list);
  return NULL;
}

static enum plan_by by_of(const struct value *v) {
  double by = value_as_number(v, PLAN_REGISTRY);
  return by >= PLAN_REGISTRY && by <= PLAN_OVERRIDE ? (enum plan_by)by : PLAN_REGISTRY;
}

int outcome_from_value(struct outcome *o, const char *service, const struct value *v) {
  size_t count = value_length(v);
  o->at_us = (int64_t)value_as_number(value_get(v, "at"), 0);
  o->rows = calloc(count ? count : 1, sizeof *o->rows);
  for (; o->rows && o->count < count; o->count++) {
    const struct value *one = value_at(v, o->count);
    const struct instance_draft draft = {.id = value_as_text(value_at(one, 0), ""),
                                         .service = service};
    struct outcome_row *row = &o->rows[o->count];
    row->instance = instance_new(&draft);
    if (!row->instance)
      break;
    row->row = (struct plan_row){
        value_as_number(value_at(one, 1), 1), (uint16_t)value_as_number(value_at(one, 2), 0),
        value_as_boolean(value_at(one, 3), false), by_of(value_at(one, 4))};
  }
  if (o->rows && o->count == count)
    return 0;
  outcome_free(o);
  return -ENOMEM;
}
