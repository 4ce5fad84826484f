/* changes: what a reload changed or would change, as the agent tells it: agent/changes.h. */
#pragma once

#include "base/buf.h"
#include "cli/arguments.h"

/* A line for each change of the agent's answer, closed by `done` or `nothing`: "reloaded". An exit
 * code. */
int changes_print(const struct arguments *a, const struct buf *answer, const char *done,
                  const char *nothing, struct buf *out);
/* Asks the verb and prints that, or the agent's JSON. An exit code. */
int changes_ask(const struct arguments *a, const char *verb, const struct buf *body,
                const char *done, const char *nothing);
