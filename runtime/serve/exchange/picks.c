#include "serve/exchange/picks.h"

#include "vm/pick/picker.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 512 };

struct held {
  struct held *chain;
  struct held *newer, *older; /* by last use */
  uint32_t hash;
  struct perigee_service *service;
  uint64_t bound; /* the pickers' version when it was last bound to them; 0: never */
  char name[];
};

struct picks {
  struct perigee *perigee; /* NULL: not open yet */
  char *run_dir;
  struct pickers *pickers;
  unsigned count, room;
  struct held *newest, *oldest;
  struct held *buckets[BUCKETS];
};

struct picks *picks_new(const char *run_dir, unsigned room, struct pickers *pickers) {
  struct picks *p = calloc(1, sizeof *p);
  if (!p || !(p->run_dir = strdup(run_dir))) {
    free(p);
    pickers_free(pickers);
    return NULL;
  }
  p->pickers = pickers;
  p->room = room;
  return p;
}

static void use_remove(struct picks *p, struct held *h) {
  *(h->newer ? &h->newer->older : &p->newest) = h->older;
  *(h->older ? &h->older->newer : &p->oldest) = h->newer;
}

static void use_add(struct picks *p, struct held *h) {
  h->newer = NULL;
  h->older = p->newest;
  *(p->newest ? &p->newest->newer : &p->oldest) = h;
  p->newest = h;
}

static uint32_t hash_of(const char *name) {
  uint32_t h = 2166136261u;
  for (const unsigned char *c = (const unsigned char *)name; *c; c++)
    h = (h ^ *c) * 16777619u;
  return h ^ h >> 16;
}

static struct held **place_of(struct picks *p, const char *name, uint32_t hash) {
  struct held **at = &p->buckets[hash % BUCKETS];
  while (*at && ((*at)->hash != hash || strcmp((*at)->name, name) != 0))
    at = &(*at)->chain;
  return at;
}

static void held_close(struct picks *p, struct held **at) {
  struct held *h = *at;
  *at = h->chain;
  use_remove(p, h);
  p->count--;
  perigee_service_close(h->service);
  free(h);
}

void picks_end(struct picks *p) {
  if (p && p->pickers)
    pickers_end(p->pickers);
}

void picks_free(struct picks *p) {
  if (!p)
    return;
  while (p->oldest)
    held_close(p, place_of(p, p->oldest->name, p->oldest->hash));
  if (p->perigee)
    perigee_close(p->perigee);
  pickers_free(p->pickers);
  free(p->run_dir);
  free(p);
}

static int held_open(struct picks *p, const char *name, uint32_t hash, struct held **out) {
  size_t size = strlen(name) + 1;
  struct held *h = calloc(1, sizeof *h + size);
  if (!h)
    return -ENOMEM;
  memcpy(h->name, name, size);
  h->hash = hash;
  int r = perigee_service_open(p->perigee, name, &h->service);
  if (r != 0) {
    free(h);
    return r;
  }
  *out = h;
  return 0;
}

/* The service itself, or a plugin in its balancer's place, as is published now. */
static void held_bind(struct picks *p, struct held *h) {
  uint64_t version = p->pickers ? pickers_version(p->pickers) : 0;
  if (h->bound == version)
    return;
  h->bound = version;
  pickers_bind(p->pickers, h->name, h->service);
}

int picks_service(struct picks *p, const char *name, struct perigee_service **out) {
  uint32_t hash = hash_of(name);
  struct held *h = *place_of(p, name, hash);
  if (h) {
    if (h != p->newest) {
      use_remove(p, h);
      use_add(p, h);
    }
    held_bind(p, h);
    *out = h->service;
    return 0;
  }
  int r = p->perigee ? 0 : perigee_open(&p->perigee, p->run_dir);
  if (r == 0)
    r = held_open(p, name, hash, &h);
  if (r != 0)
    return r;
  if (p->count == p->room)
    held_close(p, place_of(p, p->oldest->name, p->oldest->hash));
  struct held **at = &p->buckets[hash % BUCKETS];
  h->chain = *at;
  *at = h;
  use_add(p, h);
  p->count++;
  held_bind(p, h);
  *out = h->service;
  return 0;
}

void picks_forget(struct picks *p, const char *name) {
  struct held **at = place_of(p, name, hash_of(name));
  if (*at)
    held_close(p, at);
}

unsigned picks_count(const struct picks *p) {
  return p->count;
}
