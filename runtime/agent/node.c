#include "agent/node.h"

#include "base/value.h"
#include "config/config.h"
#include "config/facts.h"

#include <openssl/evp.h>
#include <stdio.h>
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

void node_describe(const struct config *c, struct view_node *out) {
  snprintf(out->name, sizeof out->name, "%s", c->node);
  snprintf(out->datacenter, sizeof out->datacenter, "%s", c->datacenter);
  snprintf(out->zone, sizeof out->zone, "%s", c->zone ? c->zone : "");
  /* What is registered without an address is on this host, and so are all who can ask. */
  snprintf(out->address, sizeof out->address, "127.0.0.1");
  uuid_of(out->name, out->id);
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
