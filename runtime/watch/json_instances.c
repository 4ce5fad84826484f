#include "watch/json_instances.h"

#include "base/buf.h"
#include "watch/json_draft.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row {
  struct instance *instance;
  enum status status;
  uint64_t order; /* of the ids: what follows the part that all have in common */
  size_t within;  /* a place in `withins`; 0: nothing */
  size_t place;   /* in the answer */
};

struct reading {
  const struct json_answer *answer;
  struct json_left_out *left_out;
  struct fault *fault;
  struct json_draft draft;
  struct row *rows;
  size_t count, room, seen;
  struct buf withins;
  bool listed; /* `each` led somewhere */
};

/* ---- one instance ---- */

static int row_add(struct reading *r, struct instance *in) {
  if (r->count == r->room) {
    size_t room = r->room ? 2 * r->room : 256;
    struct row *rows = realloc(r->rows, room * sizeof *rows);
    if (!rows)
      return -ENOMEM;
    r->rows = rows;
    r->room = room;
  }
  const char *said = json_draft_within(&r->draft);
  size_t within = 0;
  if (said) {
    buf_char(&r->withins, '\0'); /* so that 0 is no text's place */
    within = r->withins.length;
    buf_add(&r->withins, said, strlen(said));
    if (r->withins.failed)
      return -ENOMEM;
  }
  r->rows[r->count++] =
      (struct row){.instance = in, .status = r->draft.status, .within = within, .place = r->seen};
  return 0;
}

static int leave_out(struct reading *r, const char *why) {
  fault_set(r->fault, -EINVAL, "instance %zu: %s", r->seen, why);
  if (!r->answer->lenient)
    return -EINVAL;
  if (r->left_out->count++ == 0)
    r->left_out->first = *r->fault;
  return 0;
}

static int draft_end(struct reading *r) {
  struct fault why = {0};
  if (r->draft.wrong)
    return leave_out(r, r->draft.wrong);
  struct instance *in = json_draft_make(&r->draft, r->answer->service);
  if (in && !in->fit) {
    instance_check(in, &why);
    instance_unref(in);
    return leave_out(r, why.text);
  }
  if (!in || row_add(r, in) != 0) {
    instance_unref(in);
    return fault_set(r->fault, -ENOMEM, "out of memory");
  }
  return r->count <= JSON_INSTANCES_MOST
             ? 0
             : fault_set(r->fault, -E2BIG, "more than %d instances", JSON_INSTANCES_MOST);
}

/* ---- the walk ---- */

static int say_instance(struct reading *r, const struct json_event *e) {
  r->listed |= e->kind == JSON_LIST || e->kind == JSON_NULL;
  if (e->kind == JSON_END)
    return draft_end(r);
  if (e->kind == JSON_LIST || e->kind == JSON_NULL || !r->listed)
    return 0;
  r->seen++;
  if (e->kind != JSON_OBJECT)
    return leave_out(r, "an object is expected");
  json_draft_begin(&r->draft);
  return 0;
}

static int on_event(void *arg, unsigned at, const struct json_event *e) {
  struct reading *r = arg;
  int rc = 0;
  for (const struct json_mark *m; rc == 0 && at; at = m->next) {
    m = &r->answer->map->marks[at];
    if (m->field == JSON_INSTANCE)
      rc = say_instance(r, e);
    else
      json_draft_say(&r->draft, m, e);
  }
  return rc;
}

/* ---- all of them ---- */

static int by_id(const void *a, const void *b) {
  const struct row *x = a, *y = b;
  if (x->order != y->order)
    return x->order < y->order ? -1 : 1;
  int order = strcmp(x->instance->id, y->instance->id);
  return order ? order : (x->place > y->place) - (x->place < y->place);
}

/* Ids of one service mostly begin alike. The eight bytes after that decide most comparisons, and
 * save two looks into memory for each. */
static void rows_order(struct reading *r) {
  size_t common = r->count ? strlen(r->rows[0].instance->id) : 0;
  for (size_t i = 1; i < r->count; i++) {
    const char *first = r->rows[0].instance->id, *id = r->rows[i].instance->id;
    size_t n = 0;
    while (n < common && first[n] == id[n])
      n++;
    common = n;
  }
  bool sorted = true;
  for (size_t i = 0; i < r->count; i++) {
    const char *rest = r->rows[i].instance->id + common;
    uint64_t order = 0;
    for (int k = 0; k < 8; k++) {
      order = order << 8 | (unsigned char)*rest;
      rest += *rest != '\0';
    }
    r->rows[i].order = order;
    sorted = sorted && (i == 0 || by_id(&r->rows[i - 1], &r->rows[i]) < 0);
  }
  if (!sorted)
    qsort(r->rows, r->count, sizeof *r->rows, by_id);
}

static bool same_id(const struct row *a, const struct row *b) {
  return strcmp(a->instance->id, b->instance->id) == 0;
}

/* The instance with its `within` before its id. NULL: out of memory. */
static struct instance *renamed(const struct reading *r, const struct row *row) {
  const struct instance *in = row->instance;
  struct buf id = {0};
  buf_format(&id, "%s/%s", r->withins.data + row->within, in->id);
  const struct instance_draft draft = {.id = id.data,
                                       .service = in->service,
                                       .address = in->address,
                                       .zone = in->zone,
                                       .port = in->port,
                                       .weight = in->weight,
                                       .ports = in->ports,
                                       .tags = in->tags,
                                       .meta = in->meta,
                                       .port_count = in->port_count,
                                       .tag_count = in->tag_count,
                                       .meta_count = in->meta_count};
  struct instance *out = id.failed ? NULL : instance_new(&draft);
  buf_free(&id);
  return out;
}

/* Gives those that share an id their longer ones. Whether there were any. */
static int rows_rename(struct reading *r, bool *any) {
  for (size_t i = 0, end; i < r->count; i = end) {
    end = i + 1;
    while (end < r->count && same_id(&r->rows[i], &r->rows[end]))
      end++;
    for (size_t k = i; end - i > 1 && k < end; k++) {
      if (!r->rows[k].within)
        continue;
      struct instance *in = renamed(r, &r->rows[k]);
      if (!in)
        return fault_set(r->fault, -ENOMEM, "out of memory");
      instance_unref(r->rows[k].instance);
      r->rows[k].instance = in;
      *any = true;
    }
  }
  return 0;
}

static int rows_hand_over(struct reading *r, struct instances *out) {
  for (size_t i = 0; i < r->count; i++) {
    const struct row *row = &r->rows[i];
    int rc = row->instance->fit ? instances_add(out, row->instance, row->status)
                                : leave_out(r, "its id is too long");
    if (rc != 0)
      return rc == -ENOMEM ? fault_set(r->fault, rc, "out of memory") : rc;
  }
  return 0;
}

int json_instances(const struct json_answer *answer, struct instances *out,
                   struct json_left_out *left_out, struct fault *f) {
  struct fault unasked;
  struct reading *r = calloc(1, sizeof *r);
  f = f ? f : &unasked;
  if (!r)
    return fault_set(f, -ENOMEM, "out of memory");
  r->answer = answer;
  r->left_out = left_out;
  r->fault = f;
  r->draft.map = answer->map;
  *left_out = (struct json_left_out){0};
  bool again = false;
  json_draft_begin(&r->draft);
  int rc = json_walk(answer->bytes, answer->length, answer->map->steps, on_event, r, f);
  if (rc == 0 && !r->listed)
    rc = fault_set(f, -EINVAL, "there is no list %s%s", *answer->map->each ? "at " : "of instances",
                   answer->map->each);
  if (rc == 0) {
    rows_order(r);
    rc = rows_rename(r, &again);
  }
  if (rc == 0 && again)
    rows_order(r);
  if (rc == 0)
    rc = rows_hand_over(r, out);
  for (size_t i = 0; i < r->count; i++) {
    instance_unref(r->rows[i].instance);
  }
  free(r->rows);
  buf_free(&r->withins);
  json_draft_free(&r->draft);
  free(r);
  return rc;
}
