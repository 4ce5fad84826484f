#include "client/handle.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 3, DEAD_MS = 5000 };

static void fill(const struct catalog_view *v, uint32_t row, struct perigee_endpoint *e) {
  struct catalog_row_words words = catalog_view_row(v, row);
  struct catalog_text address = catalog_view_address(v, row);
  e->version = v->version;
  memcpy(&e->slot, &words.slot, sizeof words.slot);
  memcpy(&e->port, &words.port, sizeof words.port);
  e->index = row;
  e->ticket = 0;
  e->address_length = address.length;
  catalog_view_copy(v, address, e->address);
  e->address[address.length] = 0;
}

int perigee_list(struct perigee_service *s, struct perigee_endpoint *endpoints, int room) {
  for (int i = 0; i < TRIES; i++) {
    int r = client_refresh(s);
    if (r < 0 && r != -EAGAIN)
      return r;
    for (uint32_t row = 0; r == 0 && row < s->view.count && (int64_t)row < room; row++)
      fill(&s->view, row, &endpoints[row]);
    if (r == 0 && catalog_view_holds(&s->view))
      return (int)s->view.count;
    s->current = CLIENT_NEVER;
  }
  return -EAGAIN;
}

/* Callers that were built before `stale_ms` was there get what they know. */
int perigee_service_info(struct perigee_service *s, struct perigee_service_info *info) {
  if (info->size < offsetof(struct perigee_service_info, stale_ms))
    return -EINVAL;
  int r = client_refresh(s);
  if (r < 0)
    return r;
  const struct catalog_view *v = &s->view;
  struct perigee_service_info now = {
      .size = info->size,
      .endpoints = v->count,
      .healthy = v->healthy,
      .pickable = v->pickable,
      .fail_open = (v->flags & CATALOG_FAIL_OPEN) != 0,
      .stale = (v->flags & CATALOG_STALE) != 0,
      .version = v->version,
      .published_us = v->published_us,
  };
  int64_t stale_ns = client_now_ns() - (int64_t)v->stale_since_ns;
  if (now.stale)
    now.stale_ms = stale_ns >= 1000000 ? (uint64_t)stale_ns / 1000000 : 1;
  snprintf(now.balancer, sizeof now.balancer, "%s", select_by_number(v->balancer)->name);
  memcpy(info, &now, info->size < sizeof now ? info->size : sizeof now);
  return 0;
}

int perigee_services(struct perigee *p, int (*each)(void *arg, const char *name), void *arg) {
  struct mapping *m = client_mapping(p, NULL, true);
  uint32_t entries = catalog_load32(&catalog_map_header(&m->map)->entries), length;
  int r = 0;
  for (uint32_t i = 0; r == 0 && i < entries && i < CATALOG_CHUNK * CATALOG_CHUNK; i++) {
    char name[CATALOG_NAME_MAX + 1] = "";
    const char *bytes;
    const struct catalog_entry *e = catalog_map_entry(&m->map, i, &bytes, &length);
    if (!e || !catalog_load64(&e->current))
      continue;
    memcpy(name, bytes, length);
    r = each(arg, name);
  }
  client_mapping_release(p, m);
  return r;
}

/* Whether a process is the one that began then. In another pid namespace nobody can tell. */
static bool process_lives(const struct catalog_header *h) {
  char text[1024] = "";
  struct stat ns;
  if (stat("/proc/self/ns/pid", &ns) < 0 || (uint32_t)ns.st_ino != h->agent_namespace)
    return true;
  if (kill((pid_t)h->agent_pid, 0) < 0 && errno == ESRCH)
    return false;
  snprintf(text, sizeof text, "/proc/%u/stat", h->agent_pid);
  FILE *f = fopen(text, "re");
  size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
  if (f)
    fclose(f);
  text[n] = 0;
  const char *at = strrchr(text, ')'); /* the name may hold spaces and brackets */
  for (int field = 2; at && field < 22; field++)
    at = strchr(at + 1, ' ');
  return !at || strtoull(at, NULL, 10) == h->agent_start;
}

int perigee_info(struct perigee *p, struct perigee_info *info) {
  if (info->size < sizeof *info)
    return -EINVAL;
  struct mapping *m = client_mapping(p, NULL, true);
  const struct catalog_header *h = catalog_map_header(&m->map);
  uint64_t now = (uint64_t)client_now_ns(), beat = catalog_load64(&h->heartbeat_ns);
  uint64_t age_ms = beat < now ? (now - beat) / 1000000 : 0;
  *info = (struct perigee_info){
      .size = info->size,
      .agent_pid = (int)h->agent_pid,
      .agent_alive = age_ms < DEAD_MS && process_lives(h),
      .heartbeat_age_ms = age_ms,
      .version = catalog_load64(&h->version),
      .services = catalog_load32(&h->services),
      .endpoints = catalog_load32(&h->endpoints),
      .bytes = catalog_load64(&h->size),
  };
  client_mapping_release(p, m);
  return 0;
}
