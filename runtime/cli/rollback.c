#include "cli/changes.h"

static int run(const struct arguments *a) {
  struct buf body = {0};
  buf_text(&body, "{\"name\":");
  buf_json_text(&body, a->items[0]);
  buf_char(&body, '}');
  int status = changes_ask(a, "rollback", &body, "rolled back", "nothing has changed");
  buf_free(&body);
  return status;
}

const struct command command_rollback = {
    .name = "rollback",
    .arguments = "PLUGIN",
    .summary = "Go back to a plugin's last good version",
    .about = "The version that was used before, if it had proved itself. It is used until the "
             "plugin's file changes again, or the agent is started again.",
    .examples =
        (const struct example[]){{"perigee rollback balancer/canary", "after a bad edit"}, {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "plugins",
    .json = true,
    .run = run,
};
