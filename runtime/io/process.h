/* process: runs a program to its end, with its input given and its output collected.
 *
 * The child leads a session of its own: its whole group gets SIGTERM on deadline or cancel, and
 * SIGKILL PROCESS_GRACE_MS later; what the group leaves behind when its leader ends is killed too.
 * It inherits no descriptor but its three pipes. A cancelled child is waited for in the background,
 * so none becomes a zombie. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct io;
struct process;

enum {
  PROCESS_GRACE_MS = 2000, /* between SIGTERM and SIGKILL */
  PROCESS_DRAIN_MS = 1000, /* for output that one who left the group may still hold open */
  PROCESS_OUTPUT = 64 * 1024,
};

struct process_options {
  const char *const *args; /* args[0] is looked up in PATH; ends with NULL */
  const char *const *env;  /* "NAME=value", ends with NULL; NULL: the agent's own */
  const char *cwd;         /* NULL: the agent's own */
  const void *input;       /* copied; the child's stdin ends after it */
  size_t input_length;
  size_t output_limit; /* bytes kept of each stream; 0 = PROCESS_OUTPUT. The rest is read and
                          dropped */
  uint64_t timeout_ms;
};

struct process_result { /* valid during the callback */
  int code;             /* exit code; 0 when a signal ended it */
  int signal;           /* or 0 */
  bool timed_out, truncated;
  const char *out, *err; /* NUL-terminated, and may hold NULs */
  size_t out_length, err_length;
};
typedef void (*process_fn)(void *arg, const struct process_result *result);

/* 0 or negative errno: -ENOENT (no such program or directory), -EACCES, -E2BIG, ... */
int process_start(struct io *io, const struct process_options *options, process_fn done, void *arg,
                  struct process **out);
void process_cancel(struct process *p);
