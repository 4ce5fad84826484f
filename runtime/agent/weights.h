/* weights: what a configuration, or other versions of the plugins, would make of the picks, service
 * by service, endpoint by endpoint. Asked before a reload, of plugins that nobody calls. Control
 * thread only. */
#pragma once

struct buf;
struct config;
struct plans;
struct plugins;

/* A JSON list of the services whose balancers, or plugins in them, would differ, and that are
 * there:
 *
 *   { "name": "web", "moves": 0.25, "endpoints": [
 *       { "id": "a", "before": { "weight", "tier", "drop", "share" }, "after": { ... } } ] }
 *
 * `moves` is the part of the picks that would go elsewhere; "error" stands in for both when the new
 * balancer does not answer. `new` is `old` where only plugins differ. */
void weights_write(struct plans *plans, const struct config *old, const struct config *new,
                   const struct plugins *plugins, struct plugins *draft, struct buf *out);
