#include "serve/http/clients.h"

#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { BUCKETS = 256 };

struct client {
  struct client *next;
  struct in6_addr address; /* IPv4 as ::ffff:a.b.c.d */
  unsigned count, bucket;
};

struct clients {
  uv_mutex_t lock;
  struct client *buckets[BUCKETS];
};

struct clients *clients_new(void) {
  struct clients *all = calloc(1, sizeof *all);
  if (all && uv_mutex_init(&all->lock) != 0) {
    free(all);
    return NULL;
  }
  return all;
}

void clients_free(struct clients *all) {
  if (!all)
    return;
  for (unsigned i = 0; i < BUCKETS; i++)
    while (all->buckets[i]) {
      struct client *c = all->buckets[i];
      all->buckets[i] = c->next;
      free(c);
    }
  uv_mutex_destroy(&all->lock);
  free(all);
}

static struct in6_addr address_of(const struct sockaddr *sa) {
  struct in6_addr a = {0};
  if (sa->sa_family == AF_INET6) {
    a = ((const struct sockaddr_in6 *)sa)->sin6_addr;
  } else if (sa->sa_family == AF_INET) {
    a.s6_addr[10] = a.s6_addr[11] = 0xff;
    memcpy(&a.s6_addr[12], &((const struct sockaddr_in *)sa)->sin_addr, 4);
  }
  return a;
}

static unsigned bucket_of(const struct in6_addr *a) {
  uint32_t h = 2166136261u;
  for (int i = 0; i < 16; i++)
    h = (h ^ a->s6_addr[i]) * 16777619u;
  return (h ^ h >> 16) % BUCKETS;
}

struct client *client_enter(struct clients *all, const struct sockaddr *address, unsigned limit,
                            bool *full) {
  struct in6_addr a = address_of(address);
  unsigned bucket = bucket_of(&a);
  *full = false;
  uv_mutex_lock(&all->lock);
  struct client *c = all->buckets[bucket];
  while (c && memcmp(&c->address, &a, sizeof a) != 0)
    c = c->next;
  if (!c && (c = calloc(1, sizeof *c))) {
    c->address = a;
    c->bucket = bucket;
    c->next = all->buckets[bucket];
    all->buckets[bucket] = c;
  }
  if (c && c->count >= limit) {
    *full = true;
    c = NULL;
  }
  if (c)
    c->count++;
  uv_mutex_unlock(&all->lock);
  return c;
}

void client_leave(struct clients *all, struct client *one) {
  uv_mutex_lock(&all->lock);
  if (--one->count == 0) {
    struct client **at = &all->buckets[one->bucket];
    while (*at != one)
      at = &(*at)->next;
    *at = one->next;
    free(one);
  }
  uv_mutex_unlock(&all->lock);
}
