/* api: asks the running agent over its socket, RUN_DIR/perigee.sock, in HTTP. */
#pragma once

#include "base/buf.h"
#include "cli/arguments.h"

#include <signal.h>
#include <stdbool.h>

/* `path` begins with a slash, its parts escaped already. `body` NULL: none. The answer's body is in
 * `answer`. EXIT_DONE on 2xx; else EXIT_FAILED after a sentence: the agent's own where it gave one,
 * or that no agent runs. */
int api_call(const struct arguments *a, const char *method, const char *path,
             const struct buf *body, struct buf *answer);

/* The same, for what may take long: `timeout_s` 0 is for as long as it takes; where `stop` (NULL:
 * never) becomes true meanwhile, it is given up without a word: EXIT_STOPPED. */
enum { EXIT_STOPPED = 130 }; /* as a shell says of SIGINT */
struct api_patience {
  double timeout_s;
  const volatile sig_atomic_t *stop;
};
int api_call_patiently(const struct arguments *a, const char *method, const char *path,
                       const struct buf *body, struct buf *answer,
                       const struct api_patience *patience);
/* Asks where an answer is not needed, nor an agent: whether there was one that answered. */
bool api_mention(const struct arguments *a, const char *path);

/* Adds a part of a path, percent-encoded. */
void api_escape(struct buf *path, const char *part);
