/* consul_query: the query parameters that all of Consul's reads share. */
#pragma once

#include "serve/exchange/exchange.h"

/* Checks ?dc, ?ns, ?partition, ?index, ?wait, ?stale with ?consistent, ?filter, and sets what the
 * answer's X-Consul headers say. False: it has been answered, or waits for an index above ?index.
 */
bool consul_query_check(struct exchange *x);

/* False: there is a ?filter, which has been answered. */
bool consul_filter_absent(struct exchange *x);

/* ?passing: 1 on, 0 off; -1: it has been answered. */
int consul_query_passing(struct exchange *x);

/* Whether an instance has every ?tag, and the node what ?node-meta and ?peer ask for. */
bool consul_tags_match(const struct exchange *x, const struct instance *in);
bool consul_node_matches(const struct exchange *x);
/* The service that the path names, or NULL when it is unknown or not this node's. */
const struct view_service *consul_service_of(struct exchange *x);
