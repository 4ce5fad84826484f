#include "cli/changes.h"

/* Of a service { service, plan_of }; of a plugin what a reload says. */
static bool write_back(const void *arg, const json_t *answer, struct buf *out) {
  static const struct changes_words words = {"rolled back", "nothing has changed"};
  const char *service = reply_text(answer, "service");
  if (!*service)
    return changes_tell(&words, answer, out);
  buf_format(out, "%s is at its plan of ", service);
  reply_write_time(out, reply_number(answer, "plan_of"));
  buf_format(out, ", and frozen there: `perigee freeze %s --off` lets it go on\n", service);
  return true;
}

static int run(const struct arguments *a) {
  struct buf body = {0};
  buf_text(&body, "{\"name\":");
  buf_json_text(&body, a->items[0]);
  buf_char(&body, '}');
  int status = reply_operate(a, "rollback", &body, write_back, NULL);
  buf_free(&body);
  return status;
}

const struct command command_rollback = {
    .name = "rollback",
    .arguments = "SERVICE|PLUGIN",
    .summary = "Go back to a service's last plan, or to a plugin's last good version",
    .about =
        "A service is frozen at the plan before the one in force.\n\nA plugin's version is the "
        "one that was used before, if it had proved itself; it is used until the plugin's file "
        "changes again, over restarts too. KIND/NAME tells a plugin from a service.",
    .examples = (const struct example[]){{"perigee rollback balancer/canary", "after a bad edit"},
                                         {"perigee rollback web", "to the weights from before"},
                                         {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "services",
    .json = true,
    .run = run,
};
