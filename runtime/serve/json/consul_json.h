/* consul_json: the shapes of Consul's answers, as its own server has been recorded to write them.
 * Lists and maps are never null. Each appends one JSON value. Worker thread, inside the view. */
#pragma once

#include "base/buf.h"
#include "serve/view/view.h"

/* An endpoint as Consul's clients see it: its facts, and its registration if it is one of ours. */
struct consul_endpoint {
  const struct view_node *node;
  const struct instance *instance;
  const struct registration_state *state; /* NULL: known from a registry only */
  enum status status;
  uint64_t index; /* for its CreateIndex and ModifyIndex when it has no state */
};

/* The row's registration is found by its id, if it is of this service. */
struct consul_endpoint consul_endpoint_of(const struct view_node *node,
                                          const struct view_root *root,
                                          const struct view_service *s, const struct view_row *row);

void consul_node(struct buf *out, const struct view_node *node);
void consul_health_service(struct buf *out, const struct consul_endpoint *e);
void consul_catalog_service(struct buf *out, const struct consul_endpoint *e);
/* Without its closing brace, so that a ContentHash may follow. */
void consul_agent_service(struct buf *out, const struct view_node *node,
                          const struct registration_state *s);
void consul_agent_check(struct buf *out, const struct view_node *node,
                        const struct registration_state *s, uint32_t i);

/* How many checks the endpoint has to show, and the i-th: one that a registry is the source of is
 * shown with one check that says what the registry says. */
uint32_t consul_check_count(const struct consul_endpoint *e);
enum status consul_check_status(const struct consul_endpoint *e, uint32_t i);
void consul_health_check(struct buf *out, const struct consul_endpoint *e, uint32_t i);
void consul_serf_health(struct buf *out, const struct view_node *node);
