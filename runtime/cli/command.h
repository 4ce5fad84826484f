/* command: what the program can do, as data. --help, usage errors, the man page and shell
 * completion are made from it, so that they cannot disagree. One command a file; commands.c lists
 * them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOTHING = 3 };

struct option {
  const char *name;     /* without its dashes; NULL ends a list */
  char letter;          /* 0: none */
  const char *argument; /* "DIR", "FILE", ...; NULL: a flag */
  const char *about;
  bool repeats;
};

struct example {
  const char *line, *about; /* line NULL ends a list */
};

struct arguments;

struct command {
  const char *name;
  const char *arguments;        /* "SERVICE", "[FILE]"; "" for none */
  const char *summary;          /* one line, no full stop */
  const char *about;            /* paragraphs, separated by an empty line */
  const struct option *options; /* its own; the common ones are added */
  const struct example *examples;
  size_t arguments_min, arguments_max;
  const char
      *complete; /* what its arguments are, for completion: "services", "files", "a b c" or "" */
  bool local;    /* it reads no run directory */
  bool json;     /* it prints data, and has --json */
  bool nothing;  /* it may end with EXIT_NOTHING */
  int (*run)(const struct arguments *args); /* an exit code */
};

extern const struct command *const commands[]; /* ends with NULL */
extern const struct option common_options[];   /* --run-dir, --json, --help; in this order */

const struct command *command_find(const char *name);

/* An option of a command, or a common one that it has; walks all of them by `i`. NULL at the end.
 */
const struct option *command_option(const struct command *c, size_t i);

extern const struct command command_run, command_pick, command_services, command_watch,
    command_register, command_deregister, command_status, command_plugins, command_policies,
    command_explain, command_override, command_freeze, command_drain, command_promote,
    command_reload, command_diff, command_rollback, command_check, command_new, command_test,
    command_eval, command_repl, command_completion, command_help;
