#include "serve/json/consul_json.h"
#include "serve/json/json_instance.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static void field(struct buf *out, const char *key, const char *value) {
  buf_text(out, key); /* with what is before and between: `,"Name":` */
  buf_json_text(out, value);
}

static int family_of(const char *address) {
  unsigned char bytes[16];
  if (inet_pton(AF_INET, address, bytes) == 1)
    return 4;
  return inet_pton(AF_INET6, address, bytes) == 1 ? 6 : 0;
}

static const char *socket_path(const struct instance *in) {
  return in->address[0] == '/' ? in->address : "";
}

static const char *plain_address(const struct instance *in) {
  return in->address[0] == '/' ? "" : in->address;
}

static void add_node_addresses(struct buf *out, const struct view_node *node) {
  int family = family_of(node->address);
  field(out, "{\"lan\":", node->address);
  if (family) {
    buf_format(out, ",\"lan_ipv%d\":", family);
    buf_json_text(out, node->address);
  }
  field(out, ",\"wan\":", node->address);
  if (family) {
    buf_format(out, ",\"wan_ipv%d\":", family);
    buf_json_text(out, node->address);
  }
  buf_char(out, '}');
}

static void add_tagged_addresses(struct buf *out, const struct instance *in) {
  static const char *const nets[] = {"lan", "wan"};
  int family = family_of(in->address);
  buf_char(out, '{');
  for (int i = 0; family && i < 2; i++) {
    buf_format(out, "%s\"%s_ipv%d\":{\"Address\":", i ? "," : "", nets[i], family);
    buf_json_text(out, in->address);
    buf_format(out, ",\"Port\":%u}", in->port);
  }
  buf_char(out, '}');
}

/* Consul's are whole numbers from 1 on. */
static void add_weights(struct buf *out, const struct registration_state *s,
                        const struct instance *in) {
  int passing = in->weight < 1 ? 1 : in->weight < 65535 ? (int)(in->weight + 0.5) : 65535;
  buf_format(out, "{\"Passing\":%d,\"Warning\":%d}", passing,
             s ? s->registration->weight_warning : 1);
}

static void add_override(struct buf *out, const struct registration_state *s) {
  buf_text(out, s && s->registration->tag_override ? "true" : "false");
}

static void add_indexes(struct buf *out, uint64_t created, uint64_t modified) {
  buf_text(out, ",\"CreateIndex\":");
  buf_integer(out, (int64_t)created);
  buf_text(out, ",\"ModifyIndex\":");
  buf_integer(out, (int64_t)modified);
  buf_char(out, '}');
}

static void add_endpoint_indexes(struct buf *out, const struct consul_endpoint *e) {
  add_indexes(out, e->state ? e->state->create_index : e->index,
              e->state ? e->state->modify_index : e->index);
}

struct consul_endpoint consul_endpoint_of(const struct view_node *node,
                                          const struct view_root *root,
                                          const struct view_service *s,
                                          const struct view_row *row) {
  const struct registration_state *state = view_registration(root, row->instance->id);
  if (state && strcmp(state->registration->instance->service, s->name) != 0)
    state = NULL;
  return (struct consul_endpoint){.node = node,
                                  .instance = row->instance,
                                  .state = state,
                                  .status = row->status,
                                  .index = s->version};
}

void consul_node(struct buf *out, const struct view_node *node) {
  field(out, "{\"ID\":", node->id);
  field(out, ",\"Node\":", node->name);
  field(out, ",\"Address\":", node->address);
  field(out, ",\"Datacenter\":", node->datacenter);
  buf_text(out, ",\"TaggedAddresses\":");
  add_node_addresses(out, node);
  buf_text(out, ",\"Meta\":{\"consul-network-segment\":\"\"}");
  add_indexes(out, 1, 1);
}

void consul_health_service(struct buf *out, const struct consul_endpoint *e) {
  const struct instance *in = e->instance;
  field(out, "{\"ID\":", in->id);
  field(out, ",\"Service\":", in->service);
  buf_text(out, ",\"Tags\":");
  json_tags(out, in);
  field(out, ",\"Address\":", plain_address(in));
  if (*socket_path(in))
    field(out, ",\"SocketPath\":", socket_path(in));
  buf_text(out, ",\"TaggedAddresses\":");
  add_tagged_addresses(out, in);
  buf_text(out, ",\"Meta\":");
  json_meta(out, in);
  buf_format(out, ",\"Port\":%u,\"Weights\":", in->port);
  add_weights(out, e->state, in);
  buf_text(out, ",\"EnableTagOverride\":");
  add_override(out, e->state);
  buf_text(out, ",\"Proxy\":{\"MeshGateway\":{},\"Expose\":{}},\"Connect\":{}");
  add_endpoint_indexes(out, e);
}

void consul_catalog_service(struct buf *out, const struct consul_endpoint *e) {
  const struct instance *in = e->instance;
  field(out, "{\"ID\":", e->node->id);
  field(out, ",\"Node\":", e->node->name);
  field(out, ",\"Address\":", e->node->address);
  field(out, ",\"Datacenter\":", e->node->datacenter);
  buf_text(out, ",\"TaggedAddresses\":");
  add_node_addresses(out, e->node);
  buf_text(out, ",\"NodeMeta\":{\"consul-network-segment\":\"\"},\"ServiceKind\":\"\"");
  field(out, ",\"ServiceID\":", in->id);
  field(out, ",\"ServiceName\":", in->service);
  buf_text(out, ",\"ServiceTags\":");
  json_tags(out, in);
  field(out, ",\"ServiceAddress\":", plain_address(in));
  buf_text(out, ",\"ServiceTaggedAddresses\":");
  add_tagged_addresses(out, in);
  buf_text(out, ",\"ServiceWeights\":");
  add_weights(out, e->state, in);
  buf_text(out, ",\"ServiceMeta\":");
  json_meta(out, in);
  buf_format(out, ",\"ServicePort\":%u", in->port);
  field(out, ",\"ServiceSocketPath\":", socket_path(in));
  buf_text(out, ",\"ServiceEnableTagOverride\":");
  add_override(out, e->state);
  buf_text(out, ",\"ServiceProxy\":{\"MeshGateway\":{},\"Expose\":{}},\"ServiceConnect\":{}");
  add_endpoint_indexes(out, e);
}

void consul_agent_service(struct buf *out, const struct view_node *node,
                          const struct registration_state *s) {
  const struct instance *in = s->registration->instance;
  field(out, "{\"ID\":", in->id);
  field(out, ",\"Service\":", in->service);
  buf_text(out, ",\"Tags\":");
  json_tags(out, in);
  buf_text(out, ",\"Meta\":");
  json_meta(out, in);
  buf_format(out, ",\"Port\":%u", in->port);
  field(out, ",\"Address\":", plain_address(in));
  if (*socket_path(in))
    field(out, ",\"SocketPath\":", socket_path(in));
  buf_text(out, ",\"TaggedAddresses\":");
  add_tagged_addresses(out, in);
  buf_text(out, ",\"Weights\":");
  add_weights(out, s, in);
  buf_text(out, ",\"EnableTagOverride\":");
  add_override(out, s);
  field(out, ",\"Datacenter\":", node->datacenter);
}

/* --- checks --- */

/* A form that Go's time.ParseDuration takes. */
static void add_duration(struct buf *out, int64_t ns) {
  buf_char(out, '"');
  if (ns % 1000000000 == 0) {
    buf_integer(out, ns / 1000000000);
    buf_char(out, 's');
  } else {
    buf_integer(out, ns / 1000000);
    buf_text(out, "ms");
  }
  buf_char(out, '"');
}

static void add_durations(struct buf *out, const struct check_definition *c) {
  buf_text(out, "\"Interval\":");
  add_duration(out, c->interval_ns);
  buf_text(out, ",\"Timeout\":");
  add_duration(out, c->timeout_ns);
}

/* Up to and with the type. */
static void add_check_head(struct buf *out, const struct view_node *node,
                           const struct registration_state *s, uint32_t i) {
  const struct check_definition *c = &s->registration->checks[i];
  const struct instance *in = s->registration->instance;
  field(out, "{\"Node\":", node->name);
  field(out, ",\"CheckID\":", c->id);
  field(out, ",\"Name\":", c->name);
  field(out, ",\"Status\":", status_name(s->checks[i].status));
  field(out, ",\"Notes\":", c->notes ? c->notes : "");
  field(out, ",\"Output\":", s->checks[i].output ? s->checks[i].output : "");
  field(out, ",\"ServiceID\":", in->id);
  field(out, ",\"ServiceName\":", in->service);
  buf_text(out, ",\"ServiceTags\":");
  json_tags(out, in);
  field(out, ",\"Type\":", c->plugin);
}

void consul_agent_check(struct buf *out, const struct view_node *node,
                        const struct registration_state *s, uint32_t i) {
  add_check_head(out, node, s, i);
  buf_char(out, ',');
  add_durations(out, &s->registration->checks[i]);
  buf_text(out, ",\"ExposedPort\":0,\"Definition\":{}");
  add_indexes(out, s->create_index, s->checks[i].modify_index);
}

uint32_t consul_check_count(const struct consul_endpoint *e) {
  return e->state ? e->state->registration->check_count : 1;
}

enum status consul_check_status(const struct consul_endpoint *e, uint32_t i) {
  return e->state ? e->state->checks[i].status : e->status;
}

/* What a registry says of an endpoint that is not registered here. */
static void add_foreign_check(struct buf *out, const struct consul_endpoint *e) {
  const struct instance *in = e->instance;
  char text[600];
  field(out, "{\"Node\":", e->node->name);
  snprintf(text, sizeof text, "service:%s", in->id);
  field(out, ",\"CheckID\":", text);
  snprintf(text, sizeof text, "Service '%s' check", in->service);
  field(out, ",\"Name\":", text);
  field(out, ",\"Status\":", status_name(e->status));
  buf_text(out, ",\"Notes\":\"\",\"Output\":\"\"");
  field(out, ",\"ServiceID\":", in->id);
  field(out, ",\"ServiceName\":", in->service);
  buf_text(out, ",\"ServiceTags\":");
  json_tags(out, in);
  buf_text(out, ",\"Type\":\"\",\"ExposedPort\":0,\"Definition\":{}");
  add_indexes(out, e->index, e->index);
}

void consul_health_check(struct buf *out, const struct consul_endpoint *e, uint32_t i) {
  if (!e->state) {
    add_foreign_check(out, e);
    return;
  }
  const struct check_definition *c = &e->state->registration->checks[i];
  add_check_head(out, e->node, e->state, i);
  buf_text(out, ",\"ExposedPort\":0,\"Definition\":{");
  if (c->interval_ns > 0)
    add_durations(out, c);
  buf_char(out, '}');
  add_indexes(out, e->state->create_index, e->state->checks[i].modify_index);
}

void consul_serf_health(struct buf *out, const struct view_node *node) {
  field(out, "{\"Node\":", node->name);
  buf_text(out,
           ",\"CheckID\":\"serfHealth\",\"Name\":\"Serf Health Status\",\"Status\":\"passing\","
           "\"Notes\":\"\",\"Output\":\"Agent alive and reachable\",\"ServiceID\":\"\","
           "\"ServiceName\":\"\",\"ServiceTags\":[],\"Type\":\"\",\"ExposedPort\":0,"
           "\"Definition\":{}");
  add_indexes(out, 1, 1);
}
