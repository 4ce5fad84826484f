#include "cli/local.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int local_open(const struct arguments *a, struct perigee **p) {
  const char *dir = arguments_option(a, "run-dir");
  int status = perigee_open(p, dir);
  const char *where = dir ? dir : getenv("PERIGEE_RUN_DIR");
  if (!where || !*where)
    where = "the default run directory";
  switch (status) {
  case 0:
    return 0;
  case -ENOENT:
    return complain(a, EXIT_FAILED,
                    "no agent has run in %s: `perigee run` starts one, --run-dir names another "
                    "directory",
                    where);
  case -EPERM:
  case -EACCES:
    return complain(a, EXIT_FAILED, "the catalog in %s may not be read: it belongs to another user",
                    where);
  case -EPROTO:
    return complain(a, EXIT_FAILED,
                    "the catalog in %s is damaged, or newer than this program: restart the agent",
                    where);
  default:
    return complain(a, EXIT_FAILED, "cannot open the catalog in %s: %s", where, strerror(-status));
  }
}

int local_service_open(const struct arguments *a, struct perigee *p, const char *name,
                       struct perigee_service **s) {
  if (!name_valid(name, strlen(name)))
    return complain(a, EXIT_USAGE, "\"%.80s\" is not a service's name", name);
  int status = perigee_service_open(p, name, s);
  return status ? complain(a, EXIT_FAILED, "cannot open %s: %s", name, strerror(-status)) : 0;
}

struct names {
  char **items;
  size_t count;
};

static int keep_name(void *arg, const char *name) {
  struct names *all = arg;
  char **more = realloc(all->items, (all->count + 1) * sizeof *more);
  if (!more)
    return 1;
  all->items = more;
  all->items[all->count] = strdup(name);
  return all->items[all->count] ? all->count++, 0 : 1;
}

int local_no_service(const struct arguments *a, struct perigee *p, const char *name) {
  struct names all = {0};
  perigee_services(p, keep_name, &all);
  const char *near = nearest_word(name, (const char *const *)all.items, all.count);
  if (near)
    complain(a, EXIT_NOTHING, "there is no service \"%s\"; did you mean \"%s\"?", name, near);
  else
    complain(a, EXIT_NOTHING, "there is no service \"%s\"; `perigee services` lists them", name);
  for (size_t i = 0; i < all.count; i++)
    free(all.items[i]);
  free(all.items);
  return EXIT_NOTHING;
}

int local_list(struct perigee_service *s, struct perigee_endpoint **out) {
  struct perigee_endpoint *list = NULL;
  int room = 0, count;
  /* The service may grow between two calls: a few times around are enough for any growth. */
  for (int tries = 0; tries < 16; tries++) {
    count = perigee_list(s, list, room);
    if (count < 0 && count != -EAGAIN)
      break;
    if (count >= 0 && count <= room) {
      *out = list;
      return count;
    }
    if (count > room) {
      struct perigee_endpoint *more = realloc(list, (size_t)count * sizeof *more);
      if (!more) {
        count = -ENOMEM;
        break;
      }
      list = more;
      room = count;
    }
  }
  free(list);
  *out = NULL;
  return count < 0 ? count : -EAGAIN;
}

void local_write_address(const struct perigee_endpoint *e, struct buf *out) {
  if (e->family == PERIGEE_UNIX)
    buf_format(out, "unix:%s", e->address);
  else if (e->family == PERIGEE_IP6 && e->port)
    buf_format(out, "[%s]:%u", e->address, e->port);
  else if (e->port)
    buf_format(out, "%s:%u", e->address, e->port);
  else
    buf_text(out, e->address);
}

void local_endpoint_id(struct perigee_service *s, const struct perigee_endpoint *e, char *id,
                       size_t size) {
  if (perigee_endpoint_text(s, e, "id", id, size) < 0)
    *id = 0;
}

static void write_tags(struct perigee_service *s, const struct perigee_endpoint *e,
                       struct buf *out) {
  char what[24], text[1024];
  buf_text(out, ",\"tags\":[");
  for (int i = 0; i < 65536; i++) {
    snprintf(what, sizeof what, "tag:%d", i);
    if (perigee_endpoint_text(s, e, what, text, sizeof text) < 0)
      break;
    if (i)
      buf_char(out, ',');
    buf_json_text(out, text);
  }
  buf_char(out, ']');
}

static void write_meta(struct perigee_service *s, const struct perigee_endpoint *e,
                       struct buf *out) {
  char key[1024], what[1030], text[4096];
  buf_text(out, ",\"meta\":{");
  for (int i = 0; i < 65536; i++) {
    if (perigee_endpoint_meta_key(s, e, i, key, sizeof key) < 0)
      break;
    snprintf(what, sizeof what, "meta:%s", key);
    if (perigee_endpoint_text(s, e, what, text, sizeof text) < 0)
      break;
    if (i)
      buf_char(out, ',');
    buf_json_text(out, key);
    buf_char(out, ':');
    buf_json_text(out, text);
  }
  buf_char(out, '}');
}

void local_write_json(struct perigee_service *s, const char *service,
                      const struct perigee_endpoint *e, struct buf *out) {
  char id[256], zone[256];
  local_endpoint_id(s, e, id, sizeof id);
  if (perigee_endpoint_text(s, e, "zone", zone, sizeof zone) < 0)
    *zone = 0;
  buf_text(out, "{\"service\":");
  buf_json_text(out, service);
  buf_text(out, ",\"id\":");
  buf_json_text(out, id);
  buf_text(out, ",\"address\":");
  buf_json_text(out, e->address);
  buf_format(out, ",\"port\":%u,\"version\":%llu,\"status\":\"%s\",\"weight\":", e->port,
             (unsigned long long)e->version, local_status_name(e->status));
  buf_json_number(out, (double)e->weight);
  buf_text(out, ",\"zone\":");
  buf_json_text(out, zone);
  write_tags(s, e, out);
  write_meta(s, e, out);
  local_write_stale(s, out);
  buf_char(out, '}');
}

void local_write_stale(struct perigee_service *s, struct buf *out) {
  struct perigee_service_info info = {.size = sizeof info};
  if (perigee_service_info(s, &info) == 0 && info.stale)
    buf_format(out, ",\"stale\":true,\"stale_seconds\":%.3f", (double)info.stale_ms / 1e3);
}

const char *local_status_name(int status) {
  return status == PERIGEE_PASSING ? "passing" : status == PERIGEE_WARNING ? "warning" : "critical";
}
