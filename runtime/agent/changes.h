/* changes: what a configuration would change, or has changed, as JSON rows for people and scripts:
 *
 *   { "what": "service", "name": "web", "id": "web-10.0.0.1-80", "change": "added", "detail": "" }
 *
 * `what` is service, watch, registry, plugin, or, by its key, any other setting. Pure but for
 * `plugins`; control thread only. */
#pragma once

#include <stddef.h>

struct buf;
struct config;
struct plugins;

/* The rows, separated by commas; returns how many. `new` NULL: only plugins. */
size_t changes_write(const struct config *old, const struct config *new,
                     const struct plugins *plugins, const struct plugins *draft, struct buf *out);
