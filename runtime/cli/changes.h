/* changes: what a reload changed or would change, as the agent tells it: agent/changes.h. */
#pragma once

#include "base/buf.h"
#include "cli/arguments.h"

/* Asks the verb and prints a line for each change, or the agent's JSON. `done` and `nothing` close
 * it: "reloaded". An exit code. */
int changes_ask(const struct arguments *a, const char *verb, const struct buf *body,
                const char *done, const char *nothing);
