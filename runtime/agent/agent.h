/* agent: puts the parts together on the control thread's loop: configuration, registry, sets,
 * checks, view, server. Owns all of them, and the order in which they start and stop. */
#pragma once

struct config;
struct fault;

/* Runs until SIGTERM, SIGINT (twice: at once) or a failure. Returns the process's exit code.
 * Takes the configuration over. Called once, from the main thread. */
int agent_run(struct config *config);
