/* registration ⇄ bytes. A version byte, then fields in a fixed order: numbers little-endian, texts
 * as a 32-bit length and bytes, options as a tree of tagged nodes. The store adds the checksum. */
#include "registry/registration.h"

#include "base/buf.h"
#include "base/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, DEPTH_MAX = 100, TEXT_MAX = 16 << 20 };

/* ---- writing ---- */

struct writer {
  struct buf *out;
  bool too_big;
};

static void write_bytes(struct writer *w, uint64_t n, int bytes) {
  char raw[8];
  for (int i = 0; i < bytes; i++)
    raw[i] = (char)(n >> (8 * i));
  buf_add(w->out, raw, (size_t)bytes);
}

static void write_number(struct writer *w, double n) {
  uint64_t bits;
  memcpy(&bits, &n, sizeof bits);
  write_bytes(w, bits, 8);
}

static void write_text(struct writer *w, const char *text, size_t length) {
  w->too_big |= length >= TEXT_MAX;
  write_bytes(w, length, 4);
  buf_add(w->out, text, length);
}

static void write_string(struct writer *w, const char *text) {
  write_text(w, text, strlen(text));
}

static void write_value(struct writer *w, const struct value *v, int depth) {
  if (depth > DEPTH_MAX) {
    w->too_big = true;
    return;
  }
  write_bytes(w, value_kind(v), 1);
  switch (value_kind(v)) {
  case VALUE_NIL:
    break;
  case VALUE_BOOLEAN:
    write_bytes(w, value_as_boolean(v, false), 1);
    break;
  case VALUE_NUMBER:
    write_number(w, value_as_number(v, 0));
    break;
  case VALUE_TEXT:
    write_text(w, value_as_text(v, ""), value_text_length(v));
    break;
  case VALUE_TABLE:
    write_bytes(w, value_length(v), 4);
    for (size_t i = 0; i < value_length(v); i++)
      write_value(w, value_at(v, i), depth + 1);
    write_bytes(w, value_fields(v), 4);
    for (size_t i = 0; i < value_fields(v); i++) {
      const char *key;
      const struct value *field = value_field(v, i, &key);
      write_string(w, key);
      write_value(w, field, depth + 1);
    }
    break;
  }
}

static void write_instance(struct writer *w, const struct instance *in) {
  write_string(w, in->id);
  write_string(w, in->service);
  write_string(w, in->address);
  write_string(w, in->zone);
  write_bytes(w, in->port, 2);
  write_number(w, in->weight);
  write_bytes(w, in->port_count, 2);
  for (int i = 0; i < in->port_count; i++) {
    write_string(w, in->ports[i].name);
    write_bytes(w, in->ports[i].port, 2);
  }
  write_bytes(w, in->tag_count, 2);
  for (int i = 0; i < in->tag_count; i++)
    write_string(w, in->tags[i]);
  write_bytes(w, in->meta_count, 2);
  for (int i = 0; i < in->meta_count; i++) {
    write_string(w, in->meta[i].key);
    write_string(w, in->meta[i].value);
  }
}

static void write_check(struct writer *w, const struct check_definition *c) {
  write_string(w, c->id);
  write_string(w, c->name);
  write_string(w, c->notes);
  write_string(w, c->plugin);
  write_value(w, c->options, 0);
  write_bytes(w, (uint64_t)c->interval_ns, 8);
  write_bytes(w, (uint64_t)c->timeout_ns, 8);
  write_bytes(w, (uint64_t)c->ttl_ns, 8);
  write_bytes(w, (uint64_t)c->deregister_after_ns, 8);
  write_bytes(w, (uint32_t)c->rise, 4);
  write_bytes(w, (uint32_t)c->fall, 4);
  write_bytes(w, c->initial, 1);
}

int registration_encode(const struct registration *r, struct buf *out) {
  struct writer w = {.out = out};
  write_bytes(&w, VERSION, 1);
  write_bytes(&w, r->origin, 1);
  write_instance(&w, r->instance);
  write_bytes(&w, (uint64_t)r->lease_ms, 8);
  write_bytes(&w, (uint32_t)r->owner_pid, 4);
  write_bytes(&w, r->owner_start, 8);
  write_bytes(&w, 0, 4); /* the place of what is the instance's weight */
  write_bytes(&w, (uint32_t)r->weight_warning, 4);
  write_bytes(&w, r->tag_override, 1);
  write_bytes(&w, r->check_count, 4);
  for (uint32_t i = 0; i < r->check_count; i++)
    write_check(&w, &r->checks[i]);
  return w.too_big ? -E2BIG : out->failed ? -ENOMEM : 0;
}

/* ---- reading ---- */

/* Texts are copied with a NUL after each into `texts`, which is as large as the input can ask for,
 * so that drafts can point at them. After the first thing that is wrong everything reads as 0. */
struct reader {
  const unsigned char *at, *end;
  char *texts;
  int error;
};

static uint64_t wrong(struct reader *rd) {
  rd->error = rd->error ? rd->error : -EPROTO;
  rd->at = rd->end;
  return 0;
}

static uint64_t read_bytes(struct reader *rd, int bytes) {
  if (rd->end - rd->at < bytes)
    return wrong(rd);
  uint64_t n = 0;
  for (int i = 0; i < bytes; i++)
    n |= (uint64_t)rd->at[i] << (8 * i);
  rd->at += bytes;
  return n;
}

/* A number that must not be above `max`. */
static uint64_t read_limited(struct reader *rd, int bytes, uint64_t max) {
  uint64_t n = read_bytes(rd, bytes);
  return n > max ? wrong(rd) : n;
}

/* A number of items of which each takes at least `least` bytes of what is left. */
static uint32_t read_count(struct reader *rd, int bytes, size_t least) {
  uint64_t n = read_bytes(rd, bytes);
  return (uint32_t)(n > (size_t)(rd->end - rd->at) / least ? wrong(rd) : n);
}

static double read_number(struct reader *rd) {
  uint64_t bits = read_bytes(rd, 8);
  double n;
  memcpy(&n, &bits, sizeof n);
  return n;
}

static const char *read_text(struct reader *rd, size_t *length) {
  uint32_t n = read_count(rd, 4, 1);
  char *text = rd->texts;
  memcpy(text, rd->at, n);
  text[n] = '\0';
  rd->at += n;
  rd->texts += n + 1;
  *length = n;
  return text;
}

static const char *read_string(struct reader *rd) {
  size_t length;
  const char *text = read_text(rd, &length);
  if (strlen(text) != length)
    wrong(rd);
  return text;
}

static struct value *read_value(struct reader *rd, int depth);

static void read_table(struct reader *rd, struct value *table, int depth) {
  uint32_t length = read_count(rd, 4, 1);
  for (uint32_t i = 0; i < length && !rd->error; i++) {
    struct value *item = read_value(rd, depth + 1);
    if (!item || value_append(table, item) != 0)
      rd->error = rd->error ? rd->error : -ENOMEM;
  }
  uint32_t fields = read_count(rd, 4, 5);
  for (uint32_t i = 0; i < fields && !rd->error; i++) {
    const char *key = read_string(rd);
    struct value *field = read_value(rd, depth + 1);
    if (!field || value_set(table, key, field) != 0)
      rd->error = rd->error ? rd->error : -ENOMEM;
  }
}

/* NULL when `error` is set. */
static struct value *read_value(struct reader *rd, int depth) {
  struct value *v = NULL;
  size_t length;
  if (depth > DEPTH_MAX)
    wrong(rd);
  switch (read_limited(rd, 1, VALUE_TABLE)) {
  case VALUE_NIL:
    v = rd->error ? NULL : value_nil();
    break;
  case VALUE_BOOLEAN:
    v = value_boolean(read_limited(rd, 1, 1));
    break;
  case VALUE_NUMBER:
    v = value_number(read_number(rd));
    break;
  case VALUE_TEXT: {
    const char *text = read_text(rd, &length);
    v = value_text(text, length);
    break;
  }
  case VALUE_TABLE:
    v = value_table();
    if (v)
      read_table(rd, v, depth);
    break;
  }
  if (!v && !rd->error)
    rd->error = -ENOMEM;
  if (rd->error) {
    value_unref(v);
    return NULL;
  }
  return v;
}

static void *read_array(struct reader *rd, uint32_t count, size_t size) {
  void *array = calloc(count ? count : 1, size);
  if (!array) {
    wrong(rd);
    rd->error = -ENOMEM;
  }
  return array;
}

static struct instance *read_instance(struct reader *rd) {
  struct instance_draft d = {.id = read_string(rd)};
  d.service = read_string(rd);
  d.address = read_string(rd);
  d.zone = read_string(rd);
  d.port = (uint16_t)read_bytes(rd, 2);
  d.weight = read_number(rd);
  d.port_count = (uint16_t)read_count(rd, 2, 6);
  struct catalog_port *ports = read_array(rd, d.port_count, sizeof *ports);
  for (int i = 0; ports && i < d.port_count; i++) {
    ports[i].name = read_string(rd);
    ports[i].port = (uint16_t)read_bytes(rd, 2);
  }
  d.tag_count = (uint16_t)read_count(rd, 2, 4);
  const char **tags = read_array(rd, d.tag_count, sizeof *tags);
  for (int i = 0; tags && i < d.tag_count; i++)
    tags[i] = read_string(rd);
  d.meta_count = (uint16_t)read_count(rd, 2, 8);
  struct catalog_pair *meta = read_array(rd, d.meta_count, sizeof *meta);
  for (int i = 0; meta && i < d.meta_count; i++) {
    meta[i].key = read_string(rd);
    meta[i].value = read_string(rd);
  }
  d.ports = ports;
  d.tags = tags;
  d.meta = meta;
  struct instance *in = rd->error ? NULL : instance_new(&d);
  if (!in && !rd->error)
    rd->error = -ENOMEM;
  free(ports);
  free(tags);
  free(meta);
  return in;
}

static void read_check(struct reader *rd, struct check_definition *c) {
  c->id = read_string(rd);
  c->name = read_string(rd);
  c->notes = read_string(rd);
  c->plugin = read_string(rd);
  c->options = read_value(rd, 0);
  c->interval_ns = (int64_t)read_bytes(rd, 8);
  c->timeout_ns = (int64_t)read_bytes(rd, 8);
  c->ttl_ns = (int64_t)read_bytes(rd, 8);
  c->deregister_after_ns = (int64_t)read_bytes(rd, 8);
  c->rise = (int)read_limited(rd, 4, INT32_MAX);
  c->fall = (int)read_limited(rd, 4, INT32_MAX);
  c->initial = (enum status)read_limited(rd, 1, STATUS_CRITICAL);
}

static void read_registration(struct reader *rd, struct registration *r) {
  read_limited(rd, 1, VERSION);
  r->origin = (enum origin)read_limited(rd, 1, ORIGIN_LUA);
  r->instance = read_instance(rd);
  r->lease_ms = (int64_t)read_bytes(rd, 8);
  r->owner_pid = (int)read_limited(rd, 4, INT32_MAX);
  r->owner_start = read_bytes(rd, 8);
  read_bytes(rd, 4);
  r->weight_warning = (int)(uint32_t)read_bytes(rd, 4);
  r->tag_override = read_limited(rd, 1, 1);
  r->check_count = (uint32_t)read_limited(rd, 4, REGISTRATION_CHECKS_MAX);
  r->checks = read_array(rd, r->check_count, sizeof *r->checks);
  for (uint32_t i = 0; r->checks && i < r->check_count; i++)
    read_check(rd, &r->checks[i]);
  if (rd->at != rd->end)
    wrong(rd);
  if (!rd->error && registration_check(r, NULL) != 0)
    wrong(rd);
}

int registration_decode(const void *bytes, size_t length, struct registration **out) {
  if (length == 0 || *(const unsigned char *)bytes != VERSION)
    return -EPROTO;
  /* Each text is 4 bytes longer in the input than in memory, but reads past an error yield empty
   * ones: at most one a field. */
  char *texts = malloc(length + 64 + 8 * REGISTRATION_CHECKS_MAX);
  if (!texts)
    return -ENOMEM;
  struct reader rd = {.at = bytes, .end = (const unsigned char *)bytes + length, .texts = texts};
  struct registration draft = {0};
  read_registration(&rd, &draft);
  if (!rd.error) {
    *out = registration_new(&draft);
    rd.error = *out ? 0 : -ENOMEM;
  }
  for (uint32_t i = 0; draft.checks && i < draft.check_count; i++)
    value_unref(draft.checks[i].options);
  free(draft.checks);
  instance_unref(draft.instance);
  free(texts);
  return rd.error;
}

int value_encode(const struct value *v, struct buf *out) {
  struct writer w = {.out = out};
  write_bytes(&w, VERSION, 1);
  write_value(&w, v, 0);
  return w.too_big ? -E2BIG : out->failed ? -ENOMEM : 0;
}

int value_decode(const void *bytes, size_t length, struct value **out) {
  if (length == 0 || *(const unsigned char *)bytes != VERSION)
    return -EPROTO;
  char *texts = malloc(length + 64);
  if (!texts)
    return -ENOMEM;
  struct reader rd = {.at = (const unsigned char *)bytes + 1,
                      .end = (const unsigned char *)bytes + length,
                      .texts = texts};
  struct value *v = read_value(&rd, 0);
  if (!rd.error && rd.at != rd.end)
    wrong(&rd);
  free(texts);
  if (rd.error)
    value_unref(v);
  else
    *out = v;
  return rd.error;
}
