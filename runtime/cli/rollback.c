#include "cli/api.h"
#include "cli/changes.h"
#include "cli/output.h"

#include <jansson.h>
#include <time.h>

/* A service's answer: { service, plan_of }. False: it is a plugin's. */
static bool write_plan(const struct buf *answer, struct buf *out) {
  json_t *json = json_loadb(answer->data ? answer->data : "", answer->length, 0, NULL);
  const char *service = json_string_value(json_object_get(json, "service"));
  time_t at = (time_t)json_number_value(json_object_get(json, "plan_of"));
  struct tm local;
  char text[40];
  if (service && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", localtime_r(&at, &local)))
    buf_format(
        out, "%s is at its plan of %s, and frozen there: `perigee freeze %s --off` lets it go on\n",
        service, text, service);
  json_decref(json);
  return out->length > 0;
}

static int run(const struct arguments *a) {
  struct buf body = {0}, answer = {0}, out = {0};
  buf_text(&body, "{\"name\":");
  buf_json_text(&body, a->items[0]);
  buf_char(&body, '}');
  int status = api_call(a, "POST", "/v1/operate/rollback", &body, &answer);
  if (!status && arguments_flag(a, "json"))
    buf_format(&out, "%s\n", answer.data ? answer.data : "");
  else if (!status && !write_plan(&answer, &out))
    status = changes_print(a, &answer, "rolled back", "nothing has changed", &out);
  output_write(&out);
  buf_free(&body);
  buf_free(&answer);
  buf_free(&out);
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
