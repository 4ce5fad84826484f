/* A copy: 8 bytes of time, then for each endpoint its status (1 byte), a length (4 bytes) and a
 * registration's bytes (registration_encode). Little-endian, as the store's other records are read
 * on the host that wrote them. */
#include "agent/watches/copies.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "registry/registration.h"
#include "registry/store.h"

#include <stdlib.h>
#include <string.h>

static const char bucket[] = "watch";

static void add_row(struct buf *out, const struct set_row *row) {
  const struct registration r = {.origin = ORIGIN_LUA, .instance = row->instance};
  struct buf one = {0};
  char status = (char)row->status;
  if (registration_encode(&r, &one) == 0) {
    uint32_t length = (uint32_t)one.length;
    buf_add(out, &status, 1);
    buf_add(out, &length, sizeof length);
    buf_add(out, one.data, one.length);
  }
  buf_free(&one);
}

void copy_write(struct store *store, const char *service, const struct set_row *rows,
                size_t count) {
  struct buf record = {0};
  int64_t now = clock_wall_us();
  buf_add(&record, &now, sizeof now);
  for (size_t i = 0; i < count; i++)
    add_row(&record, &rows[i]);
  if (!record.failed)
    store_put(store, bucket, service, record.data, record.length, NULL, NULL);
  buf_free(&record);
}

void copy_erase(struct store *store, const char *service) {
  store_put(store, bucket, service, NULL, 0, NULL, NULL);
}

struct reading {
  void (*each)(void *arg, const char *service, const struct instances *has, int64_t written_us);
  void *arg;
};

/* Takes one endpoint off the front. False: that is none. */
static bool read_row(const char **at, const char *end, struct instances *out) {
  uint32_t length;
  if (end - *at < 5)
    return false;
  unsigned status = (unsigned char)**at;
  memcpy(&length, *at + 1, sizeof length);
  *at += 5;
  struct registration *r = NULL;
  if ((size_t)(end - *at) < length || status > STATUS_CRITICAL ||
      registration_decode(*at, length, &r) != 0)
    return false;
  *at += length;
  int rc = instances_add(out, r->instance, (enum status)status);
  registration_unref(r);
  return rc == 0;
}

static int read_copy(void *arg, const char *key, const void *value, size_t length) {
  struct reading *r = arg;
  struct instances has = {0};
  const char *at = value, *end = at + length;
  int64_t written = 0;
  bool good = length >= sizeof written;
  if (good) {
    memcpy(&written, at, sizeof written);
    at += sizeof written;
  }
  while (good && at < end)
    good = read_row(&at, end, &has);
  if (good)
    r->each(r->arg, key, &has, written);
  else
    log_warn("the copy of a watch cannot be read", LOG_S("service", key));
  instances_free(&has);
  return 0;
}

void copies_each(struct store *store,
                 void (*each)(void *arg, const char *service, const struct instances *has,
                              int64_t written_us),
                 void *arg) {
  struct reading r = {each, arg};
  store_each(store, bucket, read_copy, &r);
}
