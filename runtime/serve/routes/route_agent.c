/* GET /v1/agent/...: what is registered here, and who we are, as a Consul agent says it. */
#include "serve/routes/routes.h"

#include "serve/exchange/answer.h"
#include "serve/exchange/blocking.h"
#include "serve/json/consul_json.h"
#include "serve/exchange/consul_query.h"
#include "serve/view/view_sorted.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The Consul whose API this is; some clients turn features on from 1.10. */
#define CONSUL_VERSION "1.13.0"

void agent_self_get(struct exchange *x) {
  const struct view_node *node = view_node(x->site->view);
  struct buf *out = answer_body(x);
  buf_text(out, "{\"Config\":{\"Datacenter\":");
  buf_json_text(out, node->datacenter);
  buf_text(out, ",\"PrimaryDatacenter\":");
  buf_json_text(out, node->datacenter);
  buf_text(out, ",\"NodeName\":");
  buf_json_text(out, node->name);
  buf_text(out, ",\"NodeID\":");
  buf_json_text(out, node->id);
  buf_text(out, ",\"Revision\":\"\",\"Server\":true,\"Version\":\"" CONSUL_VERSION
                "\",\"BuildDate\":\"\"},\"DebugConfig\":{\"Perigee\":");
  buf_json_text(out, x->site->version);
  buf_text(out, "},\"Coord\":{\"Vec\":[0,0,0,0,0,0,0,0],\"Error\":1.5,\"Adjustment\":0,"
                "\"Height\":0.00001},\"Member\":{\"Name\":");
  buf_json_text(out, node->name);
  buf_text(out, ",\"Addr\":");
  buf_json_text(out, node->address);
  buf_text(out, ",\"Port\":8301,\"Tags\":{\"role\":\"consul\",\"dc\":");
  buf_json_text(out, node->datacenter);
  buf_format(out,
             "},\"Status\":1,\"ProtocolMin\":1,\"ProtocolMax\":5,\"ProtocolCur\":2,"
             "\"DelegateMin\":2,\"DelegateMax\":5,\"DelegateCur\":4},"
             "\"Stats\":{\"agent\":{\"services\":\"%" PRIu32 "\"}},"
             "\"Meta\":{\"consul-network-segment\":\"\"}}",
             view_registration_count(x->root));
  answer_json(x, 200);
}

void agent_members_get(struct exchange *x) {
  const struct view_node *node = view_node(x->site->view);
  struct buf *out = answer_body(x);
  buf_text(out, "[{\"Name\":");
  buf_json_text(out, node->name);
  buf_text(out, ",\"Addr\":");
  buf_json_text(out, node->address);
  buf_text(out, ",\"Port\":8301,\"Tags\":{\"role\":\"consul\",\"dc\":");
  buf_json_text(out, node->datacenter);
  buf_text(out, "},\"Status\":1,\"ProtocolMin\":1,\"ProtocolMax\":5,\"ProtocolCur\":2,"
                "\"DelegateMin\":2,\"DelegateMax\":5,\"DelegateCur\":4}]");
  answer_json(x, 200);
}

/* A map of all registrations, each written by `each`, which puts a comma before what it adds. */
static void answer_map(struct exchange *x,
                       void (*each)(struct buf *out, const struct view_node *node,
                                    const struct registration_state *s)) {
  size_t count;
  if (!consul_filter_absent(x))
    return;
  const struct registration_state **all = registrations_sorted(x->root, &count);
  if (!all) {
    answer_text(x, 503, "Out of memory.");
    return;
  }
  struct buf *out = answer_body(x);
  buf_char(out, '{');
  for (size_t i = 0; i < count; i++)
    each(out, view_node(x->site->view), all[i]);
  buf_char(out, '}');
  free(all);
  answer_json(x, 200);
}

static void separate(struct buf *out) {
  if (out->length > 1)
    buf_char(out, ',');
}

static void add_service(struct buf *out, const struct view_node *node,
                        const struct registration_state *s) {
  separate(out);
  buf_json_text(out, s->registration->instance->id);
  buf_char(out, ':');
  consul_agent_service(out, node, s);
  buf_char(out, '}');
}

static void add_checks(struct buf *out, const struct view_node *node,
                       const struct registration_state *s) {
  for (uint32_t i = 0; i < s->registration->check_count; i++) {
    separate(out);
    buf_json_text(out, s->registration->checks[i].id);
    buf_char(out, ':');
    consul_agent_check(out, node, s, i);
  }
}

void agent_services_get(struct exchange *x) {
  answer_map(x, add_service);
}

void agent_checks_get(struct exchange *x) {
  answer_map(x, add_checks);
}

/* FNV-1a of what it is the hash of: it moves when, and only when, a client would see a change. */
static uint64_t content_hash(const char *text, size_t length) {
  uint64_t h = 14695981039346656037u;
  for (size_t i = 0; i < length; i++)
    h = (h ^ (unsigned char)text[i]) * 1099511628211u;
  return h;
}

/* Of all that is shown: who waits for one registration is woken by any, and waits on. */
static uint64_t newest(const struct view_root *root, const char *unused) {
  (void)unused;
  return view_index(root);
}

/* ?hash=H waits while the content has that hash. */
void agent_service_get(struct exchange *x) {
  const struct registration_state *s = view_registration(x->root, x->name);
  const char *known = exchange_param(x, "hash");
  char now[17];
  struct blocking b;
  if (!blocking_read(x, &b))
    return;
  if (!s) {
    answer_text(x, 404, "unknown service ID: %.255s", x->name);
    return;
  }
  struct buf *out = answer_body(x);
  consul_agent_service(out, view_node(x->site->view), s);
  uint64_t hash = content_hash(out->data, out->length);
  snprintf(now, sizeof now, "%016" PRIx64, hash);
  b.index = 1; /* it knows something */
  if (known && strcmp(known, now) == 0 && blocking_wait(x, &b, NULL, newest))
    return;
  buf_format(out, ",\"ContentHash\":\"%s\"}", now);
  x->content_hash = hash;
  answer_json(x, 200);
}
