/* watches: where each watched service's endpoints come from. `embedded:///NAME` follows this
 * agent's own registry; every other target is watched by its registry's plugin (watcher.h). A
 * service that is registered here needs no watch. Control thread only. */
#pragma once

#include "base/schema.h"
#include "registry/registration.h"
#include "watch/set.h"

#include <stdbool.h>
#include <uv.h>

struct watches;
struct plugins;
struct config;

struct watches *watches_new(uv_loop_t *loop, struct sets *sets, struct plugins *plugins);
/* Stops watching and lets the registries' plugins close their connections, for at most a second:
 * then, or at once, calls `closed`. What is published stays. Before watches_free; once. */
void watches_close(struct watches *all, void (*closed)(void *arg), void *arg);
void watches_free(struct watches *all); /* ends them; before the plugins */

/* The configuration's registries and watches, checked as far as only plugins and balancers can:
 * adapters exist and take their options, the balancers are known. Before anything starts. Returns
 * the number of findings added.
 */
size_t watches_verify(struct plugins *plugins, const struct config *config,
                      struct findings *findings);

/* Starts them. Once. 0 or negative errno. */
int watches_configure(struct watches *all, const struct config *config, struct fault *f);

/* A registration of this agent changed or is gone: an endpoint of its service, unless a watch takes
 * that service from elsewhere. */
void watches_local(struct watches *all, const struct registration_state *state, bool gone);

/* A service's snapshot was published: watches that follow it under another name do so. */
void watches_published(struct watches *all, const struct set_published *what);
