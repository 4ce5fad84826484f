#include "cli/command.h"

#include <string.h>

const struct command *const commands[] = {
    &command_run,
    &command_pick,
    &command_services,
    &command_watch,
    &command_register,
    &command_deregister,
    &command_status,
    &command_plugins,
    &command_policies,
    &command_explain,
    &command_override,
    &command_freeze,
    &command_drain,
    &command_promote,
    &command_reload,
    &command_diff,
    &command_rollback,
    &command_check,
    &command_new,
    &command_test,
    &command_eval,
    &command_repl,
    &command_completion,
    &command_help,
    NULL,
};

const struct option common_options[] = {
    {"run-dir", 0, "DIR",
     "the agent's run directory (default: $PERIGEE_RUN_DIR, else /run/perigee "
     "for root, else $XDG_RUNTIME_DIR/perigee)",
     false},
    {"json", 0, NULL, "print JSON", false},
    {"help", 'h', NULL, "print this help", false},
    {0},
};

const struct command *command_find(const char *name) {
  for (const struct command *const *c = commands; *c; c++)
    if (strcmp((*c)->name, name) == 0)
      return *c;
  return NULL;
}

/* Whether `o`, of the common ones, belongs to `c`. */
static bool command_has_common(const struct command *c, const struct option *o) {
  if (strcmp(o->name, "run-dir") == 0)
    return !c->local;
  return strcmp(o->name, "json") != 0 || c->json;
}

const struct option *command_option(const struct command *c, size_t i) {
  for (const struct option *o = c->options; o && o->name; o++)
    if (i-- == 0)
      return o;
  for (const struct option *o = common_options; o->name; o++)
    if (command_has_common(c, o) && i-- == 0)
      return o;
  return NULL;
}
