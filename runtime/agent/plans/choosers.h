/* choosers: the plugins that pick for services, as the configuration's balancers name them:
 * attached here, so that they load, take their options and reload; published to every thread that
 * picks (vm/pick/pick_rules.h); and held back, their standins picking, while they are in
 * quarantine. Control thread only. */
#pragma once

#include "agent/plugins/plugins.h"

#include <uv.h>

struct choosers;
struct balancer_host;
struct buf;
struct config;
struct fault;
struct findings;
struct pick_rules;

/* Has `vm`'s plugins pick by them too. Both outlive choosers_end. NULL: out of memory. */
struct choosers *choosers_new(uv_loop_t *loop, struct vm *vm, struct plugins *plugins,
                              const char *library);
/* For the server: valid until choosers_free. */
struct pick_rules *choosers_rules(const struct choosers *all);

/* Whether they take their options. `host` as of balancer_parse; what that refuses is another's to
 * tell. Returns the number of findings added. */
size_t choosers_verify(struct plugins *plugins, const struct config *config,
                       const struct balancer_host *host, struct findings *findings);
/* Applies what of `config` differs from what was applied last: who did not change keeps its
 * isolates. 0, or negative errno and everything is as before. */
int choosers_configure(struct choosers *all, const struct config *config,
                       const struct balancer_host *host, struct fault *f);
void choosers_tick(struct choosers *all); /* once a second */

/* After the server, before the plugins: nobody is asked any more. */
void choosers_end(struct choosers *all);
void choosers_free(struct choosers *all); /* after the vm */

/* What all threads count together of one plugin's picks. */
struct chooser_sums {
  uint64_t picks, faults, killed, memory;
};
/* False: it does not pick. */
bool choosers_sums(const struct choosers *all, const struct plugin *p, struct chooser_sums *out);
void choosers_metrics(const struct choosers *all, struct buf *out);
