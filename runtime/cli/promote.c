#include "base/buf.h"
#include "cli/api.h"
#include "cli/output.h"

#include <jansson.h>

static void write_services(const struct buf *answer, struct buf *out) {
  json_error_t error;
  json_t *json = json_loadb(answer->data ? answer->data : "", answer->length, 0, &error), *one;
  size_t i;
  json_array_foreach(json_object_get(json, "services"), i, one)
      buf_format(out, "%s%s", i ? ", " : "", json_string_value(one) ? json_string_value(one) : "");
  json_decref(json);
}

static int run(const struct arguments *a) {
  struct buf body = {0}, answer = {0}, out = {0};
  bool off = arguments_flag(a, "off");
  buf_text(&body, "{\"plugin\":");
  buf_json_text(&body, a->items[0]);
  buf_text(&body, off ? ",\"off\":true}" : "}");
  int status = api_call(a, "POST", "/v1/operate/promote", &body, &answer);
  if (!status) {
    buf_format(&out, "%s %s in ", a->items[0], off ? "is a shadow again" : "is live");
    write_services(&answer, &out);
    buf_text(&out, off ? "\n"
                       : ", until the configuration says otherwise: take `shadow = true` out of "
                         "it\n");
  }
  output_write(&out);
  buf_free(&body);
  buf_free(&answer);
  buf_free(&out);
  return status;
}

static const struct option options[] = {
    {"off", 0, NULL, "make it a shadow again", false},
    {0},
};

const struct command command_promote = {
    .name = "promote",
    .arguments = "NAME",
    .summary = "Let a shadow balancer plan for real",
    .about = "NAME, or balancer/NAME, is that of a balancer plugin that watches have with shadow = "
             "true. It plans "
             "from now on in all of\nthem, over the agent's restarts too, until the configuration "
             "is changed. `perigee explain SERVICE` tells\nbefore how its picks would differ.",
    .options = options,
    .examples = (const struct example[]){{"perigee promote canary", "its weights are in force"},
                                         {"perigee promote canary --off", "back to looking on"},
                                         {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "",
    .run = run,
};
