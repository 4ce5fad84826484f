#include "watch/instance.h"

#include "base/fault.h"
#include "base/text.h"
#include "catalog/layout.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const status_names[] = {"passing", "warning", "critical"};

const char *status_name(enum status s) {
  return status_names[s];
}

int status_parse(const char *word, enum status *out) {
  for (int i = STATUS_PASSING; i <= STATUS_CRITICAL; i++) {
    if (strcmp(word, status_names[i]) == 0) {
      *out = (enum status)i;
      return 0;
    }
  }
  return -EINVAL;
}

static size_t room(const char *text) {
  return text ? strlen(text) + 1 : 1;
}

static const char *copy(char **at, const char *text) {
  size_t size = room(text);
  char *to = memcpy(*at, text ? text : "", size);
  *at += size;
  return to;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const struct catalog_port *)a)->name, ((const struct catalog_port *)b)->name);
}

static int by_key(const void *a, const void *b) {
  return strcmp(((const struct catalog_pair *)a)->key, ((const struct catalog_pair *)b)->key);
}

static size_t draft_text_size(const struct instance_draft *d) {
  size_t size = room(d->id) + room(d->service) + room(d->address) + room(d->zone);
  for (int i = 0; i < d->port_count; i++)
    size += room(d->ports[i].name);
  for (int i = 0; i < d->tag_count; i++)
    size += room(d->tags[i]);
  for (int i = 0; i < d->meta_count; i++)
    size += room(d->meta[i].key) + room(d->meta[i].value);
  return size;
}

struct instance *instance_new(const struct instance_draft *d) {
  size_t ports_size = d->port_count * sizeof(struct catalog_port);
  size_t tags_size = d->tag_count * sizeof(char *);
  size_t meta_size = d->meta_count * sizeof(struct catalog_pair);
  char *memory =
      malloc(sizeof(struct instance) + ports_size + tags_size + meta_size + draft_text_size(d));
  if (!memory)
    return NULL;
  struct instance *in = (struct instance *)memory;
  struct catalog_port *ports = (struct catalog_port *)(in + 1);
  const char **tags = (const char **)((char *)ports + ports_size);
  struct catalog_pair *meta = (struct catalog_pair *)((char *)tags + tags_size);
  char *text = (char *)meta + meta_size;
  *in = (struct instance){.references = 1,
                          .port = d->port,
                          .port_count = d->port_count,
                          .tag_count = d->tag_count,
                          .meta_count = d->meta_count,
                          .weight = d->weight < 0 ? 1 : d->weight,
                          .id = copy(&text, d->id),
                          .service = copy(&text, d->service),
                          .address = copy(&text, d->address),
                          .zone = copy(&text, d->zone),
                          .ports = ports,
                          .tags = tags,
                          .meta = meta};
  for (int i = 0; i < d->port_count; i++)
    ports[i] = (struct catalog_port){copy(&text, d->ports[i].name), d->ports[i].port};
  for (int i = 0; i < d->tag_count; i++)
    tags[i] = copy(&text, d->tags[i]);
  for (int i = 0; i < d->meta_count; i++) {
    const char *key = copy(&text, d->meta[i].key);
    meta[i] = (struct catalog_pair){key, copy(&text, d->meta[i].value)};
  }
  if (d->port_count > 1)
    qsort(ports, d->port_count, sizeof *ports, by_name);
  if (d->meta_count > 1)
    qsort(meta, d->meta_count, sizeof *meta, by_key);
  in->fit = instance_check(in, NULL) == 0;
  return in;
}

struct instance *instance_ref(const struct instance *in) {
  struct instance *mine = (struct instance *)in; /* the count is not part of the value */
  atomic_fetch_add_explicit(&mine->references, 1, memory_order_relaxed);
  return mine;
}

void instance_unref(struct instance *in) {
  if (in && atomic_fetch_sub_explicit(&in->references, 1, memory_order_acq_rel) == 1)
    free(in);
}

bool instance_equal(const struct instance *a, const struct instance *b) {
  if (a == b)
    return true;
  if (a->port != b->port || a->port_count != b->port_count || a->tag_count != b->tag_count ||
      a->meta_count != b->meta_count || a->weight != b->weight || strcmp(a->id, b->id) != 0 ||
      strcmp(a->service, b->service) != 0 || strcmp(a->address, b->address) != 0 ||
      strcmp(a->zone, b->zone) != 0)
    return false;
  for (int i = 0; i < a->port_count; i++)
    if (a->ports[i].port != b->ports[i].port || strcmp(a->ports[i].name, b->ports[i].name) != 0)
      return false;
  for (int i = 0; i < a->tag_count; i++)
    if (strcmp(a->tags[i], b->tags[i]) != 0)
      return false;
  for (int i = 0; i < a->meta_count; i++)
    if (strcmp(a->meta[i].key, b->meta[i].key) != 0 ||
        strcmp(a->meta[i].value, b->meta[i].value) != 0)
      return false;
  return true;
}

bool instance_has_tag(const struct instance *in, const char *tag) {
  for (int i = 0; i < in->tag_count; i++)
    if (strcmp(in->tags[i], tag) == 0)
      return true;
  return false;
}

const char *instance_meta(const struct instance *in, const char *key) {
  for (int i = 0; i < in->meta_count; i++)
    if (strcmp(in->meta[i].key, key) == 0)
      return in->meta[i].value;
  return NULL;
}

/* What the catalog has no room for. One instance that it cannot hold would hide all of its service.
 */
static int check_length(const struct instance *in, const char *what, const char *text,
                        struct fault *f) {
  if (strlen(text) <= CATALOG_TEXT_MAX)
    return 0;
  return fault_set(f, -EINVAL, "instance %s: %s of %zu bytes; at most %d", in->id, what,
                   strlen(text), CATALOG_TEXT_MAX);
}

static int check_texts(const struct instance *in, struct fault *f) {
  int r = 0;
  r = check_length(in, "a zone", in->zone, f);
  for (int i = 0; r == 0 && i < in->port_count; i++)
    r = check_length(in, "a port's name", in->ports[i].name, f);
  for (int i = 0; r == 0 && i < in->tag_count; i++)
    r = check_length(in, "a tag", in->tags[i], f);
  for (int i = 0; r == 0 && i < in->meta_count; i++) {
    r = check_length(in, "a meta key", in->meta[i].key, f);
    r = r ? r : check_length(in, "a meta value", in->meta[i].value, f);
  }
  return r;
}

static int check_lists(const struct instance *in, struct fault *f) {
  for (int i = 0; i < in->port_count; i++) {
    const struct catalog_port *p = &in->ports[i];
    if (p->name[0] == '\0' || p->port == 0)
      return fault_set(f, -EINVAL,
                       "instance %s: a named port needs a name and a port from 1 to 65535", in->id);
    if (i > 0 && strcmp(p->name, p[-1].name) == 0)
      return fault_set(f, -EINVAL, "instance %s: the port %s is there twice", in->id, p->name);
  }
  for (int i = 0; i < in->meta_count; i++) {
    if (in->meta[i].key[0] == '\0')
      return fault_set(f, -EINVAL, "instance %s: a meta key is empty", in->id);
    if (i > 0 && strcmp(in->meta[i].key, in->meta[i - 1].key) == 0)
      return fault_set(f, -EINVAL, "instance %s: the meta key %s is there twice", in->id,
                       in->meta[i].key);
  }
  return 0;
}

int instance_check(const struct instance *in, struct fault *f) {
  if (!name_valid(in->id, strlen(in->id)))
    return fault_set(f, -EINVAL,
                     "an instance's id must be 1 to 255 bytes of UTF-8 without control characters");
  if (!name_valid(in->service, strlen(in->service)))
    return fault_set(f, -EINVAL,
                     "instance %s: its service's name must be 1 to 255 bytes of UTF-8 without "
                     "control characters",
                     in->id);
  if (in->address[0] == '\0')
    return fault_set(f, -EINVAL, "instance %s: its address is empty", in->id);
  if (!name_valid(in->address, strlen(in->address)) ||
      (in->address[0] != '/' && strchr(in->address, ' ')))
    return fault_set(f, -EINVAL,
                     "instance %s: its address must be 1 to %d bytes of UTF-8 without control "
                     "characters and, but for a unix socket's path, without spaces",
                     in->id, CATALOG_ADDRESS_MAX);
  if (in->address[0] == '/' && in->port != 0)
    return fault_set(f, -EINVAL, "instance %s: a unix socket has no port", in->id);
  if (!isfinite(in->weight) || in->weight < 0)
    return fault_set(f, -EINVAL, "instance %s: its weight must be a number from 0 up", in->id);
  int r = check_texts(in, f);
  return r ? r : check_lists(in, f);
}
