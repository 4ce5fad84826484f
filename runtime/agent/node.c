#include "agent/node.h"

#include "agent/parts.h"
#include "agent/plans/plans.h"
#include "agent/policies/decision.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/value.h"
#include "config/config.h"
#include "config/facts.h"
#include "registry/embedded.h"
#include "registry/store.h"
#include "vm/isolate/isolate.h"
#include "watch/balancer.h"
#include "watch/set.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RFC 4122's version 5 (SHA-1 of a name), in the DNS name space. */
static void uuid_of(const char *name, char out[37]) {
  static const unsigned char dns_space[16] = {0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1,
                                              0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8};
  unsigned char text[16 + 256], d[EVP_MAX_MD_SIZE] = {0};
  size_t length = strnlen(name, 256);
  memcpy(text, dns_space, 16);
  memcpy(text + 16, name, length);
  EVP_Digest(text, 16 + length, d, NULL, EVP_sha1(), NULL);
  d[6] = (unsigned char)((d[6] & 0x0f) | 0x50);
  d[8] = (unsigned char)((d[8] & 0x3f) | 0x80);
  snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", d[0],
           d[1], d[2], d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10], d[11], d[12], d[13], d[14],
           d[15]);
}

static bool resolves(const struct config *c) {
  return value_get(c->root, "resolve") != NULL;
}

void node_describe(const struct config *c, struct view_node *out) {
  snprintf(out->name, sizeof out->name, "%s", c->node);
  snprintf(out->datacenter, sizeof out->datacenter, "%s", c->datacenter);
  snprintf(out->zone, sizeof out->zone, "%s", c->zone ? c->zone : "");
  /* What is registered without an address is on this host, and so are all who can ask. */
  snprintf(out->address, sizeof out->address, "127.0.0.1");
  uuid_of(out->name, out->id);
  out->resolves = resolves(c);
}

struct value *node_facts(const struct config *c) {
  struct value *facts = facts_read();
  if (facts) {
    value_set(facts, "name", value_text(c->node, strlen(c->node)));
    value_set(facts, "zone", c->zone ? value_text(c->zone, strlen(c->zone)) : value_nil());
    value_set(facts, "datacenter", value_text(c->datacenter, strlen(c->datacenter)));
  }
  return facts;
}

/* ---- what is registered here ---- */

/* Registered by a request while the agent was in this zone. */
struct movers {
  const char *zone;
  struct registration **items; /* references */
  size_t count, room;
};

static void add_mover(void *arg, const struct registration_state *state) {
  struct movers *m = arg;
  const struct registration *r = state->registration;
  if (r->origin != ORIGIN_CONFIGURATION && strcmp(r->instance->zone, m->zone) == 0 &&
      m->count < m->room)
    m->items[m->count++] = registration_ref(r);
}

static int move_one(struct embedded *e, const struct registration *from, const struct value *to) {
  struct registration moved = *from, *r = NULL;
  struct fault f = {0};
  int rc = changes_apply(from->instance, to, &moved.instance, &f);
  if (rc != 0)
    return rc;
  r = registration_new(&moved);
  rc = r ? embedded_register(e, r, NULL, NULL) : -ENOMEM;
  registration_unref(r);
  instance_unref(moved.instance);
  return rc;
}

/* What is registered on this host without a zone of its own is where the host is. */
static void move_registrations(struct embedded *e, const char *from, const char *to) {
  struct movers m = {.zone = from, .room = embedded_count(e)};
  struct value *changes = value_table();
  m.items = calloc(m.room + 1, sizeof(struct registration *));
  if (m.items && changes && value_set(changes, "zone", value_text(to, strlen(to))) == 0)
    embedded_each(e, add_mover, &m);
  for (size_t i = 0; i < m.count; i++) {
    if (move_one(e, m.items[i], changes) != 0)
      log_error("a registration stays in the zone that the agent was in",
                LOG_S("id", m.items[i]->instance->id));
    registration_unref(m.items[i]);
  }
  value_unref(changes);
  free(m.items);
}

/* The zone that registrations of this store were made in, or moved to. */
static int read_zone(void *arg, const char *key, const void *value, size_t length) {
  char **zone = arg;
  if (strcmp(key, "zone") == 0)
    *zone = strndup(value, length);
  return 0;
}

static void keep_zone(struct agent *a) {
  store_put(a->store, "meta", "zone", a->config->zone, strlen(a->config->zone), NULL, NULL);
}

void node_return(struct agent *a) {
  char *was = NULL;
  store_each(a->store, "meta", read_zone, &was);
  if (was && strcmp(was, a->config->zone) != 0)
    move_registrations(a->embedded, was, a->config->zone);
  if (!was || strcmp(was, a->config->zone) != 0)
    keep_zone(a);
  free(was);
}

/* ---- all ---- */

void node_configure(struct agent *a, const struct config *old) {
  const struct config *new = a->config;
  const struct balancer_host place = plans_host(new, a->plugins);
  struct view_node node = {0};
  bool moves = strcmp(old->zone, new->zone) != 0;
  if (!moves && strcmp(old->node, new->node) == 0 &&
      strcmp(old->datacenter, new->datacenter) == 0 && resolves(old) == resolves(new))
    return;
  struct value *facts = node_facts(new);
  node_describe(new, &node);
  if (!facts || sets_place(a->sets, &place) != 0 || view_publish_node(a->view, &node) != 0)
    log_error("not everything is told where the agent is now: out of memory");
  if (facts)
    vm_host(a->vm, facts);
  value_unref(facts);
  if (!moves)
    return;
  move_registrations(a->embedded, old->zone, new->zone);
  keep_zone(a);
}
