/* routes: the plugins that answer /v1/x/NAME, as the configuration names them. Control thread only.
 */
#pragma once

#include "serve/server.h"

struct buf;
struct config;
struct fault;
struct findings;
struct plugins;
struct routes;

struct routes *routes_new(uv_loop_t *loop, struct plugins *plugins); /* NULL: out of memory */
/* Ends what is being answered. Before the plugins. */
void routes_free(struct routes *all);

/* Each route of the configuration is there, and takes its options. Returns the number of findings
 * added. */
size_t routes_verify(struct plugins *plugins, const struct config *config,
                     struct findings *findings);
/* The configuration's routes from now on; one that did not change goes on with what it answers. 0,
 * or negative errno and `f` says which cannot be used: then it goes on without. */
int routes_configure(struct routes *all, const struct config *config, struct fault *f);

/* server_requests' do_visit and what follows it. */
void routes_visit(struct routes *all, const struct visit *v, void *to);
void routes_room(struct routes *all, void *to);
void routes_gone(struct routes *all, void *to);
/* The agent stops: what is answered in pieces ends here. */
void routes_stop(struct routes *all);

void routes_metrics(const struct routes *all, struct buf *out);
