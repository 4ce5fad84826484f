#include "cli/reply.h"

static bool write_done(const void *arg, const json_t *answer, struct buf *out) {
  const struct arguments *a = arg;
  const json_t *services = json_object_get(answer, "services"), *one;
  bool off = arguments_flag(a, "off");
  size_t i;
  if (!json_is_array(services))
    return false;
  buf_format(out, "%s %s in ", a->items[0], off ? "is a shadow again" : "is live");
  json_array_foreach(services, i, one)
      buf_format(out, "%s%s", i ? ", " : "", json_string_value(one) ? json_string_value(one) : "");
  buf_text(out, off ? "\n"
                    : ", until the configuration says otherwise: take `shadow = true` out of it\n");
  return true;
}

static int run(const struct arguments *a) {
  struct buf body = {0};
  buf_text(&body, "{\"plugin\":");
  buf_json_text(&body, a->items[0]);
  buf_text(&body, arguments_flag(a, "off") ? ",\"off\":true}" : "}");
  int status = reply_operate(a, "promote", &body, write_done, a);
  buf_free(&body);
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
             "true. It plans from now on in all of them, over the agent's restarts too, until the "
             "configuration is changed. `perigee explain SERVICE` tells before how its picks would "
             "differ.",
    .options = options,
    .examples = (const struct example[]){{"perigee promote canary", "its weights are in force"},
                                         {"perigee promote canary --off", "back to looking on"},
                                         {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "",
    .run = run,
};
