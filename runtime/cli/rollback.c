#include "cli/api.h"
#include "cli/changes.h"
#include "cli/output.h"

#include <jansson.h>
#include <time.h>

static const char *time_of(const json_t *json, const char *key, char text[40]) {
  time_t at = (time_t)json_number_value(json_object_get(json, key));
  struct tm local;
  return at && strftime(text, 40, "%Y-%m-%d %H:%M:%S", localtime_r(&at, &local)) ? text : NULL;
}

/* A service's answer is { service, plan_of }, a plugin's { version_of, changes }. False: neither.
 */
static bool write_answer(const struct buf *answer, struct buf *out) {
  json_t *json = json_loadb(answer->data ? answer->data : "", answer->length, 0, NULL);
  const json_t *change = json_array_get(json_object_get(json, "changes"), 0);
  const char *service = json_string_value(json_object_get(json, "service"));
  const char *plugin = json_string_value(json_object_get(change, "name"));
  const char *hash = json_string_value(json_object_get(change, "detail"));
  char text[40];
  if (service && time_of(json, "plan_of", text))
    buf_format(
        out, "%s is at its plan of %s, and frozen there: `perigee freeze %s --off` lets it go on\n",
        service, text, service);
  else if (plugin && hash && time_of(json, "version_of", text))
    buf_format(out, "%s is at its version of %s (hash %.8s), until its file changes\n", plugin,
               text, hash);
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
  else if (!status && !write_answer(&answer, &out))
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
