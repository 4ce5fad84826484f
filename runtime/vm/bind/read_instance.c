#include "vm/bind/read_instance.h"

#include "base/fault.h"
#include "base/text.h"
#include "base/value.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const known[] = {"id",   "address", "port",   "ports",  "tags",
                                    "meta", "zone",    "weight", "status", "service"};

/* NULL: it is no text, or one that C would cut short. */
static const char *whole_text(const struct value *v) {
  const char *text = value_as_text(v, NULL);
  return text && strlen(text) == value_text_length(v) ? text : NULL;
}

static int read_text(const struct value *v, const char *name, const char **out, struct fault *f) {
  const struct value *field = value_get(v, name);
  if (value_kind(field) == VALUE_NIL)
    return 0;
  const char *text = whole_text(field);
  if (!text)
    return fault_set(f, -EINVAL, "%s: a text without a NUL in it is expected", name);
  *out = text;
  return 0;
}

static int read_port(const struct value *v, const char *name, uint16_t *out, struct fault *f) {
  double n = value_as_number(v, -1);
  if (value_kind(v) == VALUE_NIL)
    return 0;
  if (n != floor(n) || n < 0 || n > 65535)
    return fault_set(f, -EINVAL, "%s: a number from 0 to 65535 is expected", name);
  *out = (uint16_t)n;
  return 0;
}

/* The arrays of a draft, for as long as its instance is being made. */
struct arrays {
  struct catalog_port *ports;
  const char **tags;
  struct catalog_pair *meta;
};

static int read_arrays(const struct value *v, struct instance_draft *d, struct arrays *a,
                       struct fault *f) {
  const struct value *ports = value_get(v, "ports"), *tags = value_get(v, "tags"),
                     *meta = value_get(v, "meta");
  size_t port_count = value_fields(ports), tag_count = value_length(tags),
         meta_count = value_fields(meta);
  if (port_count > 1000 || tag_count > 1000 || meta_count > 1000)
    return fault_set(f, -EINVAL, "more than 1000 ports, tags or meta keys");
  a->ports = calloc(port_count + 1, sizeof *a->ports);
  a->tags = calloc(tag_count + 1, sizeof *a->tags);
  a->meta = calloc(meta_count + 1, sizeof *a->meta);
  if (!a->ports || !a->tags || !a->meta)
    return fault_set(f, -ENOMEM, "out of memory");
  for (size_t i = 0; i < port_count; i++) {
    const struct value *port = value_field(ports, i, &a->ports[i].name);
    int code = read_port(port, "ports", &a->ports[i].port, f);
    if (code != 0)
      return code;
  }
  for (size_t i = 0; i < tag_count; i++) {
    a->tags[i] = whole_text(value_at(tags, i));
    if (!a->tags[i])
      return fault_set(f, -EINVAL, "tags: a list of texts is expected");
  }
  for (size_t i = 0; i < meta_count; i++) {
    const struct value *text = value_field(meta, i, &a->meta[i].key);
    a->meta[i].value = whole_text(text);
    if (!a->meta[i].value)
      return fault_set(f, -EINVAL, "meta.%s: a text is expected", a->meta[i].key);
  }
  d->ports = a->ports;
  d->tags = a->tags;
  d->meta = a->meta;
  d->port_count = (uint16_t)port_count;
  d->tag_count = (uint16_t)tag_count;
  d->meta_count = (uint16_t)meta_count;
  return 0;
}

static int read_fields(const struct value *v, struct instance_draft *d, enum status *status,
                       struct fault *f) {
  const char *word = "passing";
  if (value_kind(v) != VALUE_TABLE)
    return fault_set(f, -EINVAL, "an instance is a table");
  for (size_t i = 0; i < value_fields(v); i++) {
    const char *key;
    bool found = false;
    value_field(v, i, &key);
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
      found = found || strcmp(key, known[k]) == 0;
    if (!found) {
      const char *near = nearest_word(key, known, sizeof known / sizeof *known);
      return fault_set(f, -EINVAL, "%s: an instance has no such field%s%s%s", key,
                       near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
  }
  const struct value *weight = value_get(v, "weight");
  d->weight = value_kind(weight) == VALUE_NIL ? 1 : value_as_number(weight, -1);
  if (!(d->weight >= 0) || !isfinite(d->weight))
    return fault_set(f, -EINVAL, "weight: a finite number from 0 is expected");
  int code = read_text(v, "id", &d->id, f);
  code = code ? code : read_text(v, "address", &d->address, f);
  code = code ? code : read_text(v, "zone", &d->zone, f);
  code = code ? code : read_text(v, "status", &word, f);
  code = code ? code : read_port(value_get(v, "port"), "port", &d->port, f);
  if (code == 0 && status_parse(word, status) != 0)
    code = fault_set(f, -EINVAL, "status: passing, warning or critical, not \"%s\"", word);
  return code;
}

int read_instance(const struct value *v, const char *service, struct instance **out,
                  enum status *status, struct fault *f) {
  struct instance_draft d = {.service = service};
  struct arrays a = {0};
  struct instance *in = NULL;
  int code = read_fields(v, &d, status, f);
  code = code ? code : read_arrays(v, &d, &a, f);
  if (code == 0 && !(in = instance_new(&d)))
    code = fault_set(f, -ENOMEM, "out of memory");
  free(a.ports);
  free(a.tags);
  free(a.meta);
  if (!in)
    return code;
  code = instance_check(in, f);
  if (code != 0)
    instance_unref(in);
  else
    *out = in;
  return code;
}
