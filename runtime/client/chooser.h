/* chooser: somebody who picks in the place of a service's balancer, in this process: the agent's
 * own front ends, which run `pick` plugins. Not of libperigee's interface. */
#pragma once

#include "select/select.h"

struct perigee_service;

/* As the `pick` of a struct select_balancer; `state->chooser` is its own. What it does not choose
 * itself, it has the view's balancer choose. */
typedef uint32_t (*chooser_fn)(struct select_state *state, const struct catalog_view *v,
                               const struct select_ask *ask);

/* From the next pick on; NULL: the balancer again. Picks are counted as for one that goes by load.
 * The handle's thread. */
void client_choose(struct perigee_service *s, chooser_fn chooser, void *arg);
