#include "cli/changes.h"

/* Of a service { service, plan_of }; of a plugin what a reload says, and version_of. */
static bool write_back(const void *arg, const json_t *answer, struct buf *out) {
  const json_t *change = json_array_get(json_object_get(answer, "changes"), 0);
  const char *service = reply_text(answer, "service");
  if (*service) {
    buf_format(out, "%s is at its plan of ", service);
    reply_write_time(out, reply_number(answer, "plan_of"));
    buf_format(out, ", and frozen there: `perigee freeze %s --off` lets it go on\n", service);
    return true;
  }
  buf_format(out, "%s is at its version of ", reply_text(change, "name"));
  reply_write_time(out, reply_number(answer, "version_of"));
  buf_format(out, " (hash %.8s), until its file changes\n", reply_text(change, "detail"));
  return change != NULL;
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
        "one that was used before and had proved itself, with the libraries that it required; it "
        "is used until the plugin's file, or one of those, changes again. Both are kept over "
        "restarts: the last four, of a plugin 1 MiB in all. KIND/NAME tells a plugin from a "
        "service.",
    .examples = (const struct example[]){{"perigee rollback balancer/canary", "after a bad edit"},
                                         {"perigee rollback web", "to the weights from before"},
                                         {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "services",
    .json = true,
    .run = run,
};
