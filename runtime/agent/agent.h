/* agent: puts the parts together on the control thread's loop: configuration, registry, sets,
 * checks, view, server. Owns all of them, and the order in which they start and stop. */
#pragma once

struct config;
struct findings;

/* Runs until SIGTERM, SIGINT (twice: at once) or a failure. Returns the process's exit code.
 * Takes the configuration over. Called once, from the main thread. */
int agent_run(struct config *config);

/* What only plugins can judge of a configuration: the options of its checks, its registries and
 * balancers. Touches nothing outside. 0, or -EINVAL with findings added. */
int agent_verify(struct config *config, struct findings *findings);
