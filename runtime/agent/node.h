/* node: who this agent is, to those who ask over HTTP (Consul's Node) and to plugins (ctx.host). */
#pragma once

#include "serve/view/view.h"

struct config;
struct value;

/* Consul's Node: the id is a UUID that is always the same for the node's name. */
void node_describe(const struct config *c, struct view_node *out);

/* ctx.host: the host's facts, with the configuration's name and zone. NULL: out of memory. */
struct value *node_facts(const struct config *c);
