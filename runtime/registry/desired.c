#include "registry/desired.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/value.h"
#include "registry/registration.h"
#include "registry/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char bucket[] = "lease"; /* REGISTRY/SERVICE/ID → a table, as value_encode writes it */

static const char *key_of(const void *item) {
  return ((const struct desired_entry *)item)->key;
}

int desired_init(struct desired *d, const char *registry, struct store *store) {
  *d = (struct desired){.table = {.key = key_of}, .store = store, .registry = strdup(registry)};
  return d->registry ? 0 : -ENOMEM;
}

static void entry_free(struct desired_entry *e) {
  instance_unref(e->instance);
  value_unref(e->lease);
  free(e->taken);
  free(e);
}

void desired_clear(struct desired *d) {
  for (uint32_t i = 0; i < d->table.count; i++)
    entry_free(d->table.items[i]);
  table_free(&d->table);
  free(d->registry);
}

const char *desired_key(char key[DESIRED_KEY_MAX], const char *service, const char *id) {
  size_t n = 0;
  for (const char *c = service; *c && n < 3 * 255; c++) {
    bool special = *c == '/' || *c == '%';
    n += (size_t)snprintf(key + n, DESIRED_KEY_MAX - n, special ? "%%%02X" : "%c", *c);
  }
  snprintf(key + n, DESIRED_KEY_MAX - n, "/%s", id);
  return key;
}

const char *desired_key_parse(const char *key, char service[256]) {
  size_t n = 0;
  for (; *key && *key != '/'; key++) {
    bool special = strncmp(key, "%2F", 3) == 0 || strncmp(key, "%25", 3) == 0;
    if (n < 255)
      service[n++] = special ? (key[2] == 'F' ? '/' : '%') : *key;
    key += special ? 2 : 0;
  }
  service[n] = '\0';
  return *key ? key + 1 : key;
}

struct desired_entry *desired_find(const struct desired *d, const char *service, const char *id) {
  char key[DESIRED_KEY_MAX];
  return table_find(&d->table, desired_key(key, service, id));
}

static struct desired_entry *entry_make(struct desired *d, const char *key) {
  size_t length = strlen(key);
  struct desired_entry *e = calloc(1, sizeof *e + length + 1);
  if (!e)
    return NULL;
  memcpy(e->key, key, length + 1);
  if (table_add(&d->table, e) == 0)
    return e;
  free(e);
  return NULL;
}

struct desired_entry *desired_get(struct desired *d, const char *service, const char *id) {
  char key[DESIRED_KEY_MAX];
  struct desired_entry *e = table_find(&d->table, desired_key(key, service, id));
  return e ? e : entry_make(d, key);
}

/* FNV-1a. */
#define FNV 0xcbf29ce484222325u
static uint64_t digest_add(uint64_t hash, const char *bytes, size_t length) {
  for (size_t i = 0; i < length; i++)
    hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3u;
  return hash;
}

/* 0 is kept for "unknown". */
static uint64_t digest_of(const struct instance *in, enum status status) {
  struct buf bytes = {0};
  const struct registration r = {.instance = (struct instance *)in};
  if (registration_encode(&r, &bytes) != 0) {
    buf_free(&bytes);
    return 0;
  }
  uint64_t hash = digest_add(FNV ^ (uint64_t)status, bytes.data, bytes.length);
  buf_free(&bytes);
  return hash ? hash : 1;
}

bool desired_set(struct desired_entry *e, const struct instance *in, enum status status,
                 bool heard) {
  if (!heard && e->lease)
    status = e->status;
  bool unproven = !heard && !e->lease;
  uint64_t digest = digest_of(in, status);
  if (digest == 0 || (e->wanted && digest == e->digest && unproven == e->unproven))
    return false;
  struct instance *before = e->instance;
  e->instance = instance_ref(in);
  instance_unref(before);
  e->status = status;
  e->digest = digest;
  e->unproven = unproven;
  e->wanted = true;
  return true;
}

/* The store's keys have a limit: what is longer is a digest, as the record has the key in it. */
static void remember(struct desired *d, const struct desired_entry *e, const struct buf *record) {
  char key[400];
  int length = snprintf(key, sizeof key, "%s/%s", d->registry, e->key);
  if (length < 0 || (size_t)length >= sizeof key)
    snprintf(key, sizeof key, "%s/%%%016llx", d->registry,
             (unsigned long long)digest_add(FNV, e->key, strlen(e->key)));
  store_put(d->store, bucket, key, record ? record->data : NULL, record ? record->length : 0, NULL,
            NULL);
}

void desired_forget(struct desired *d, struct desired_entry *e) {
  table_remove(&d->table, e);
  entry_free(e);
}

void desired_remove(struct desired *d, struct desired_entry *e) {
  remember(d, e, NULL);
  desired_forget(d, e);
}

/* A number of 64 bits does not fit a Lua number. */
static struct value *digest_value(uint64_t digest) {
  char text[24];
  int length = snprintf(text, sizeof text, "%llx", (unsigned long long)digest);
  return value_text(text, (size_t)length);
}

void desired_hold(struct desired *d, struct desired_entry *e, struct value *lease, double ttl) {
  value_unref(e->lease);
  e->lease = lease;
  e->lease_ttl = ttl;
  struct buf record = {0};
  struct value *table = value_table();
  int failed = value_set(table, "key", value_text(e->key, strlen(e->key)));
  failed |= value_set(table, "lease", value_ref(lease));
  failed |= value_set(table, "ttl", value_number(ttl));
  failed |= value_set(table, "status", value_number(e->status));
  failed |= value_set(table, "held", digest_value(e->held));
  if (!failed && value_encode(table, &record) == 0)
    remember(d, e, &record);
  value_unref(table);
  buf_free(&record);
}

static int recall_one(void *arg, const char *key, const void *bytes, size_t length) {
  struct desired *d = arg;
  size_t own = strlen(d->registry);
  struct value *record = NULL;
  if (strncmp(key, d->registry, own) != 0 || key[own] != '/')
    return 0;
  if (value_decode(bytes, length, &record) != 0) {
    log_warn("a lease that was remembered cannot be read", LOG_S("registry", d->registry),
             LOG_S("key", key));
    return 0;
  }
  const char *name = value_as_text(value_get(record, "key"), "");
  struct desired_entry *e = strchr(name, '/') ? entry_make(d, name) : NULL;
  if (e) {
    e->lease = value_ref(value_get(record, "lease"));
    e->lease_ttl = value_as_number(value_get(record, "ttl"), 0);
    e->status = (enum status)value_as_number(value_get(record, "status"), STATUS_CRITICAL);
    e->held = strtoull(value_as_text(value_get(record, "held"), "0"), NULL, 16);
  }
  value_unref(record);
  return 0;
}

int desired_recall(struct desired *d) {
  return store_each(d->store, bucket, recall_one, d);
}

struct recalling {
  struct store *store;
  bool (*each)(void *arg, const char *registry);
  void *arg;
  struct buf unknown; /* the keys of what is to be forgotten, each with its 0 */
};

static int recall_registry(void *arg, const char *key, const void *bytes, size_t length) {
  struct recalling *r = arg;
  (void)bytes, (void)length;
  const char *slash = strchr(key, '/');
  char *registry = slash ? strndup(key, (size_t)(slash - key)) : NULL;
  if (registry && !r->each(r->arg, registry))
    buf_add(&r->unknown, key, strlen(key) + 1);
  free(registry);
  return 0;
}

int desired_recall_registries(struct store *store, bool (*each)(void *arg, const char *registry),
                              void *arg) {
  struct recalling r = {.store = store, .each = each, .arg = arg};
  int rc = store_each(store, bucket, recall_registry, &r);
  for (size_t at = 0; at < r.unknown.length && !r.unknown.failed;
       at += strlen(r.unknown.data + at) + 1)
    store_put(store, bucket, r.unknown.data + at, NULL, 0, NULL, NULL);
  buf_free(&r.unknown);
  return rc;
}
