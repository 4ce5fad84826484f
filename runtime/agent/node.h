/* node: who this agent is, to those who ask over HTTP (Consul's Node) and to plugins (ctx.host). */
#pragma once

#include "serve/view/view.h"

struct config;
struct value;

/* Consul's Node: the id is a UUID that is always the same for the node's name. */
void node_describe(const struct config *c, struct view_node *out);

/* From what `old` says to what the agent's configuration says: in answers, to plugins, where zones
 * matter, and in what was registered here without saying where it is. */
struct agent;
void node_configure(struct agent *a, const struct config *old);

/* At the start, after what the store holds was read back: it may have been in another zone. */
void node_return(struct agent *a);

/* ctx.host: the host's facts, with the configuration's name and zone. NULL: out of memory. */
struct value *node_facts(const struct config *c);
