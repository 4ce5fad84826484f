#include "agent/policies/decision.h"

#include "base/buf.h"
#include "base/fault.h"
#include "base/text.h"
#include "base/value.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {[VERDICT_NONE] = "undecided",
                                    [VERDICT_REGISTER] = "register",
                                    [VERDICT_HOLD] = "hold",
                                    [VERDICT_WITHDRAW] = "withdraw",
                                    [VERDICT_REFUSE] = "refuse"};
enum { TEXTS_MAX = 64, TEXT_MAX = 1024 }; /* of tags, and of meta, that one policy adds */
enum { VERDICTS = sizeof names / sizeof *names };

const char *verdict_name(enum verdict v) {
  return names[v];
}

int verdict_parse(const char *word, enum verdict *out) {
  for (int i = VERDICT_REGISTER; i < VERDICTS; i++)
    if (strcmp(names[i], word) == 0) {
      *out = (enum verdict)i;
      return 0;
    }
  return -EINVAL;
}

void decision_clear(struct decision *d) {
  free(d->reason);
  free(d->policy);
  value_unref(d->changes);
  *d = (struct decision){0};
}

bool decision_equal(const struct decision *a, const struct decision *b) {
  return a->verdict == b->verdict && a->stays == b->stays && value_equal(a->changes, b->changes);
}

/* ---- for the store ---- */

static struct value *text(const char *t) {
  return t ? value_text(t, strlen(t)) : value_nil();
}

int decision_encode(const struct decision *d, struct buf *out) {
  struct value *t = value_table();
  int r = value_set(t, "verdict", text(verdict_name(d->verdict)));
  if (r == 0 && d->reason)
    r = value_set(t, "reason", text(d->reason));
  if (r == 0 && d->policy)
    r = value_set(t, "policy", text(d->policy));
  if (r == 0 && d->changes)
    r = value_set(t, "changes", value_ref(d->changes));
  if (r == 0 && d->stays)
    r = value_set(t, "stays", value_boolean(true));
  if (r == 0)
    r = value_encode(t, out);
  value_unref(t);
  return r;
}

static char *copy(const struct value *v) {
  const char *t = value_as_text(v, NULL);
  return t ? strdup(t) : NULL;
}

int decision_decode(const void *bytes, size_t length, struct decision *out) {
  struct value *t = NULL;
  *out = (struct decision){0};
  int r = value_decode(bytes, length, &t);
  if (r == 0)
    r = verdict_parse(value_as_text(value_get(t, "verdict"), ""), &out->verdict) ? -EPROTO : 0;
  const struct value *changes = value_get(t, "changes");
  for (size_t i = 0; r == 0 && i < value_length(changes); i++)
    r = changes_check(value_at(changes, i), NULL) ? -EPROTO : 0;
  if (r == 0) {
    out->reason = copy(value_get(t, "reason"));
    out->policy = copy(value_get(t, "policy"));
    out->changes = changes ? value_ref(changes) : NULL;
    out->stays = value_as_boolean(value_get(t, "stays"), false);
  }
  value_unref(t);
  return r;
}

/* ---- changes ---- */

static int check_texts(const struct value *v, const char *field, bool named, struct fault *f) {
  size_t count = named ? value_fields(v) : value_length(v);
  bool right = value_kind(v) == VALUE_TABLE && (named ? value_length(v) : value_fields(v)) == 0 &&
               count <= TEXTS_MAX;
  for (size_t i = 0; right && i < count; i++) {
    const char *key = "";
    const struct value *text = named ? value_field(v, i, &key) : value_at(v, i);
    right = value_kind(text) == VALUE_TEXT && value_text_length(text) <= TEXT_MAX &&
            strlen(key) <= TEXT_MAX;
  }
  return right ? 0
               : fault_set(f, -EINVAL,
                           "changes.%s: expected a %s of at most %d strings of at most %d bytes",
                           field, named ? "table" : "list", TEXTS_MAX, TEXT_MAX);
}

static int check_one(const char *field, const struct value *v, struct fault *f) {
  static const char *const known[] = {"tags", "meta", "weight", "zone"};
  double weight = value_as_number(v, NAN);
  if (strcmp(field, "tags") == 0 || strcmp(field, "meta") == 0)
    return check_texts(v, field, field[0] == 'm', f);
  if (strcmp(field, "weight") == 0)
    return weight >= 0 && weight <= 65535
               ? 0
               : fault_set(f, -EINVAL, "changes.weight: expected a number from 0 to 65535");
  if (strcmp(field, "zone") == 0)
    return value_kind(v) == VALUE_TEXT && value_text_length(v) <= 63
               ? 0
               : fault_set(f, -EINVAL, "changes.zone: expected at most 63 bytes");
  const char *near = nearest_word(field, known, sizeof known / sizeof *known);
  return fault_set(f, -EINVAL, "changes: \"%.100s\" cannot be changed%s%s%s", field,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

int changes_check(const struct value *changes, struct fault *f) {
  if (value_kind(changes) != VALUE_TABLE || value_length(changes))
    return fault_set(f, -EINVAL, "changes: expected a table with tags, meta, weight or zone");
  int r = 0;
  for (size_t i = 0; r == 0 && i < value_fields(changes); i++) {
    const char *field;
    const struct value *v = value_field(changes, i, &field);
    r = check_one(field, v, f);
  }
  return r;
}

/* The old ones, and those of the new that are not among them; `out` has room for all. */
static uint16_t add_tags(const struct instance *in, const struct value *more, const char **out) {
  size_t n = in->tag_count;
  memcpy(out, in->tags, n * sizeof *out);
  for (size_t i = 0; i < value_length(more); i++) {
    const char *tag = value_as_text(value_at(more, i), "");
    size_t k = 0;
    while (k < n && strcmp(out[k], tag) != 0)
      k++;
    out[k] = tag;
    n += k == n;
  }
  return (uint16_t)n;
}

static uint16_t add_meta(const struct instance *in, const struct value *more,
                         struct catalog_pair *out) {
  size_t n = 0;
  for (size_t i = 0; i < in->meta_count; i++)
    if (!value_get(more, in->meta[i].key))
      out[n++] = in->meta[i];
  for (size_t i = 0; i < value_fields(more); i++, n++)
    out[n].value = value_as_text(value_field(more, i, &out[n].key), "");
  return (uint16_t)n;
}

int changes_apply(const struct instance *in, const struct value *changes, struct instance **out,
                  struct fault *f) {
  const struct value *tags = value_get(changes, "tags"), *meta = value_get(changes, "meta");
  size_t tag_room = in->tag_count + value_length(tags),
         meta_room = in->meta_count + value_fields(meta);
  if (tag_room > UINT16_MAX || meta_room > UINT16_MAX)
    return fault_set(f, -EINVAL, "changes: too many tags or meta");
  const char **all_tags = calloc(tag_room + 1, sizeof *all_tags);
  struct catalog_pair *all_meta = calloc(meta_room + 1, sizeof *all_meta);
  struct instance *made = NULL;
  if (all_tags && all_meta)
    made = instance_new(&(struct instance_draft){
        .id = in->id,
        .service = in->service,
        .address = in->address,
        .zone = value_as_text(value_get(changes, "zone"), in->zone),
        .port = in->port,
        .weight = value_as_number(value_get(changes, "weight"), in->weight),
        .tags = all_tags,
        .tag_count = add_tags(in, tags, all_tags),
        .meta = all_meta,
        .meta_count = add_meta(in, meta, all_meta),
        .ports = in->ports,
        .port_count = in->port_count});
  free(all_tags);
  free(all_meta);
  int r = made ? instance_check(made, f) : fault_set(f, -ENOMEM, "out of memory");
  if (r == 0)
    *out = made;
  else
    instance_unref(made);
  return r;
}

static struct registration_state *with_instance(const struct registration_state *s,
                                                struct instance *in) {
  struct registration changed = *s->registration;
  changed.instance = in;
  struct registration *r = registration_new(&changed);
  struct registration_state *made =
      r ? registration_state_new(&(struct registration_state){.registration = r,
                                                              .create_index = s->create_index,
                                                              .modify_index = s->modify_index,
                                                              .checks = s->checks})
        : NULL;
  registration_unref(r);
  return made;
}

struct registration_state *changes_show(const struct registration_state *s,
                                        const struct value *list) {
  if (value_length(list) == 0)
    return registration_state_ref(s);
  struct instance *in = instance_ref(s->registration->instance);
  int r = 0;
  for (size_t i = 0; r == 0 && i < value_length(list); i++) {
    struct instance *next = NULL;
    r = changes_apply(in, value_at(list, i), &next, NULL);
    if (r == -EINVAL) { /* with other facts than those that it was checked with */
      r = 0;
    } else if (r == 0) {
      instance_unref(in);
      in = next;
    }
  }
  struct registration_state *made = r == 0 ? with_instance(s, in) : NULL;
  instance_unref(in);
  return made;
}
