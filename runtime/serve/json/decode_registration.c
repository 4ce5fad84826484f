#include "serve/json/decode_registration.h"

#include "base/fault.h"
#include "base/text.h"
#include "registry/owners.h"
#include "serve/json/decode_check.h"
#include "serve/json/field.h"
#include "serve/view/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  TAGS_MAX = 1024,
  PORTS_MAX = 64,
  CHECKS_MAX = 64,
  /* Consul's limits for metadata. */
  META_MAX = 64,
  META_KEY_MAX = 128,
  META_VALUE_MAX = 512,
};

/* While one body is decoded. Strings belong to `root` or the query. */
struct decoding {
  struct field_place at;
  const struct registration_asked *asked;
  json_t *root;
  struct instance_draft instance;
  const char *tags[TAGS_MAX];
  struct catalog_pair meta[META_MAX];
  struct catalog_port ports[PORTS_MAX];
  struct registration draft;
  struct check_definition checks[CHECKS_MAX];
};

static int wrong(struct decoding *d, const char *text) {
  fault_set(d->at.f, -EINVAL, "%s", text);
  return 400;
}

static int read_names(struct decoding *d) {
  struct instance_draft *in = &d->instance;
  if (!field_text(&d->at, "Name", &in->service) || !field_text(&d->at, "ID", &in->id))
    return 400;
  if (!in->service || !*in->service)
    return wrong(d, "Missing service name");
  if (!in->id || !*in->id)
    in->id = in->service;
  if (!name_valid(in->service, strlen(in->service)))
    return wrong(d,
                 "Invalid service name: it should have 1 to 255 bytes and no control characters");
  if (!name_valid(in->id, strlen(in->id)))
    return wrong(d, "Invalid service ID: it should have 1 to 255 bytes and no control characters");
  return 0;
}

/* perigee has no namespaces; Consul's own default is the one there is. */
static int read_namespaces(struct decoding *d) {
  static const char *const names[] = {"Namespace", "Partition"};
  for (int i = 0; i < 2; i++) {
    const char *value = NULL;
    if (!field_text(&d->at, names[i], &value))
      return 400;
    if (value && *value && strcmp(value, "default") != 0) {
      fault_set(d->at.f, -EINVAL, "Invalid %s: this agent has only \"default\"", names[i]);
      return 400;
    }
  }
  return 0;
}

static int read_address(struct decoding *d) {
  struct instance_draft *in = &d->instance;
  const char *path = NULL;
  int64_t port = 0;
  if (!field_text(&d->at, "Address", &in->address) || !field_text(&d->at, "SocketPath", &path) ||
      !field_whole(&d->at, "Port", 0, 65535, &port))
    return 400;
  in->port = (uint16_t)port;
  if (path && *path) {
    if (path[0] != '/')
      return wrong(d, "Invalid SocketPath: it should be an absolute path");
    if ((in->address && *in->address) || port)
      return wrong(d, "Invalid service address: SocketPath excludes Address and Port");
    in->address = path;
  }
  if (!in->address || !*in->address)
    in->address = d->asked->node->address;
  if (strcmp(in->address, "0.0.0.0") == 0 || strcmp(in->address, "::") == 0 ||
      !name_valid(in->address, strlen(in->address)))
    return wrong(d, "Invalid service address");
  return 0;
}

static int read_tags(struct decoding *d) {
  json_t *list = NULL, *item;
  size_t i;
  if (!field_list(&d->at, "Tags", TAGS_MAX, &list))
    return 400;
  json_array_foreach(list, i, item) {
    if (!json_is_string(item)) {
      field_mismatch(&d->at, "Tags", "a list of strings", item);
      return 400;
    }
    d->tags[i] = json_string_value(item);
  }
  d->instance.tags = d->tags;
  d->instance.tag_count = (uint16_t)json_array_size(list);
  return 0;
}

static int by_key(const void *a, const void *b) {
  const struct catalog_pair *x = a, *y = b;
  return strcmp(x->key, y->key);
}

static int read_meta(struct decoding *d) {
  json_t *meta = NULL, *item;
  const char *key;
  uint16_t n = 0;
  if (!field_object(&d->at, "Meta", &meta))
    return 400;
  if (json_object_size(meta) > META_MAX)
    return wrong(d, "Invalid service metadata: it has more than 64 key/value pairs");
  json_object_foreach(meta, key, item) {
    if (!json_is_string(item)) {
      field_mismatch(&d->at, "Meta", "an object of strings", item);
      return 400;
    }
    if (!*key || strlen(key) > META_KEY_MAX || json_string_length(item) > META_VALUE_MAX)
      return wrong(d, "Invalid service metadata: a key has 1 to 128 bytes, a value at most 512");
    d->meta[n++] = (struct catalog_pair){.key = key, .value = json_string_value(item)};
  }
  qsort(d->meta, n, sizeof d->meta[0], by_key);
  d->instance.meta = d->meta;
  d->instance.meta_count = n;
  return 0;
}

static int by_port_name(const void *a, const void *b) {
  const struct catalog_port *x = a, *y = b;
  return strcmp(x->name, y->name);
}

/* [{"Name", "Port", "Default"}]: the default one, else the first, is `Port` when that is absent. */
static int read_ports(struct decoding *d) {
  json_t *list = NULL, *item;
  size_t i;
  if (!field_list(&d->at, "Ports", PORTS_MAX, &list))
    return 400;
  uint16_t count = (uint16_t)json_array_size(list), standard = 0;
  json_array_foreach(list, i, item) {
    struct field_place at = {.object = item, .path = "Ports.", .f = d->at.f};
    const char *name = NULL;
    int64_t port = -1;
    bool chosen = false;
    if (!json_is_object(item)) {
      field_mismatch(&d->at, "Ports", "a list of objects", item);
      return 400;
    }
    if (!field_text(&at, "Name", &name) || !field_whole(&at, "Port", 1, 65535, &port) ||
        !field_flag(&at, "Default", &chosen))
      return 400;
    if (!name || !name_valid(name, strlen(name)) || port < 0)
      return wrong(d, "Request decode failed: each of Ports needs a Name and a Port");
    d->ports[i] = (struct catalog_port){.name = name, .port = (uint16_t)port};
    if (chosen || i == 0)
      standard = (uint16_t)port;
  }
  qsort(d->ports, count, sizeof d->ports[0], by_port_name);
  for (size_t k = 1; k < count; k++)
    if (strcmp(d->ports[k - 1].name, d->ports[k].name) == 0)
      return wrong(d, "Request decode failed: two of Ports have the same Name");
  d->instance.ports = d->ports;
  d->instance.port_count = count;
  if (!d->instance.port && d->instance.address[0] != '/')
    d->instance.port = standard;
  return 0;
}

static int read_weights(struct decoding *d) {
  json_t *weights = NULL;
  int64_t passing = 1, warning = 1;
  if (!field_object(&d->at, "Weights", &weights) ||
      !field_flag(&d->at, "EnableTagOverride", &d->draft.tag_override))
    return 400;
  if (weights) {
    struct field_place at = {.object = weights, .path = "Weights.", .f = d->at.f};
    if (!field_whole(&at, "Passing", 1, 65535, &passing) ||
        !field_whole(&at, "Warning", 0, 65535, &warning))
      return 400;
  }
  d->draft.weight_warning = (int)warning;
  d->instance.weight = (double)passing;
  return 0;
}

static int read_owner(struct decoding *d, int64_t pid) {
  const char *text = d->asked->owner;
  if (text) {
    char *end;
    errno = 0;
    pid = strtol(text, &end, 10);
    if (errno || !*text || *end || pid < 1 || pid > INT32_MAX)
      return wrong(d, "Invalid ?owner: it should be a process id");
  }
  if (pid == 0)
    return 0;
  d->draft.owner_pid = (int)pid;
  if (owner_start_time((int)pid, &d->draft.owner_start) == 0)
    return 0;
  fault_set(d->at.f, -EINVAL, "Invalid owner: there is no process %lld here", (long long)pid);
  return 400;
}

/* perigee's own: {"Lease": "30s", "Owner": PID, "Zone": "eu-1a"}; ?lease and ?owner win. */
static int read_extension(struct decoding *d) {
  json_t *own = NULL;
  int64_t lease = 0, pid = 0;
  d->instance.zone = d->asked->node->zone;
  if (!field_object(&d->at, "Perigee", &own))
    return 400;
  if (own) {
    struct field_place at = {.object = own, .path = "Perigee.", .f = d->at.f};
    if (!field_duration(&at, "Lease", &lease) || !field_whole(&at, "Owner", 0, INT32_MAX, &pid) ||
        !field_text(&at, "Zone", &d->instance.zone))
      return 400;
  }
  if (d->asked->lease && duration_parse(d->asked->lease, &lease, NULL) != 0)
    return wrong(d, "Invalid ?lease: it should be a duration like \"30s\"");
  if (lease > 0 && lease < 100000000)
    return wrong(d, "Invalid lease: it should be at least 100ms");
  d->draft.lease_ms = lease / 1000000;
  return read_owner(d, pid);
}

static int read_check(struct decoding *d, json_t *object, const char *path, unsigned number) {
  if (!json_is_object(object)) {
    field_mismatch(&d->at, path, "an object", object);
    return 400;
  }
  char dotted[48];
  snprintf(dotted, sizeof dotted, "%s.", path);
  struct check_place at = {.json = {.object = object, .path = dotted, .f = d->at.f},
                           .service = d->instance.service,
                           .instance_id = d->instance.id,
                           .number = number};
  return check_from_json(&at, &d->checks[d->draft.check_count++]);
}

static int read_checks(struct decoding *d) {
  json_t *list = NULL, *item, *one = NULL;
  size_t i;
  if (!field_object(&d->at, "Check", &one) || !field_list(&d->at, "Checks", CHECKS_MAX - 1, &list))
    return 400;
  bool only = json_array_size(list) + (one ? 1 : 0) == 1;
  unsigned number = 0;
  int r = one ? read_check(d, one, "Check", only ? 0 : ++number) : 0;
  json_array_foreach(list, i, item) {
    char path[40];
    snprintf(path, sizeof path, "Checks[%zu]", i);
    if (r == 0)
      r = read_check(d, item, path, only ? 0 : ++number);
  }
  for (uint32_t k = 1; r == 0 && k < d->draft.check_count; k++)
    for (uint32_t m = 0; m < k; m++)
      if (strcmp(d->checks[k].id, d->checks[m].id) == 0)
        return wrong(d, "Invalid check: two checks have the same ID");
  return r;
}

static int decode(struct decoding *d) {
  static int (*const steps[])(struct decoding *) = {
      read_names, read_namespaces, read_address,   read_tags,   read_meta,
      read_ports, read_weights,    read_extension, read_checks,
  };
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    int r = steps[i](d);
    if (r != 0)
      return r;
  }
  return 0;
}

static int build(struct decoding *d, struct registration **out) {
  d->draft.origin = d->asked->origin;
  d->draft.checks = d->checks;
  d->draft.instance = instance_new(&d->instance);
  *out = d->draft.instance ? registration_new(&d->draft) : NULL;
  if (d->draft.instance)
    instance_unref(d->draft.instance);
  return *out ? 0 : 503;
}

int registration_from_json(const char *json, size_t length, const struct registration_asked *asked,
                           struct registration **out, struct fault *f) {
  struct decoding *d = calloc(1, sizeof *d);
  if (!d) {
    fault_set(f, -ENOMEM, "Out of memory.");
    return 503;
  }
  d->asked = asked;
  d->root = json_read(json, length, f);
  d->at = (struct field_place){.object = d->root, .path = "", .f = f};
  int r = d->root ? decode(d) : 400;
  if (r == 0)
    r = build(d, out);
  if (r == 503)
    fault_set(f, -ENOMEM, "Out of memory.");
  for (uint32_t i = 0; i < d->draft.check_count; i++)
    check_definition_clear(&d->checks[i]);
  json_decref(d->root);
  free(d);
  return r;
}

int check_update_from_json(const char *json, size_t length, struct check_update *out,
                           struct fault *f) {
  const char *status = "", *output = "";
  struct field_place at = {.object = json_read(json, length, f), .path = "", .f = f};
  if (!at.object)
    return 400;
  int r = field_text(&at, "Status", &status) && field_text(&at, "Output", &output) ? 0 : 400;
  if (r == 0 && status_parse(status, &out->status) != 0) {
    fault_set(f, -EINVAL, "Invalid check status: '%.60s'", status);
    r = 400;
  }
  if (r == 0 && !(out->output = strdup(output))) {
    fault_set(f, -ENOMEM, "Out of memory.");
    r = 503;
  }
  json_decref(at.object);
  return r;
}

void check_update_free(struct check_update *u) {
  free(u->output);
}
