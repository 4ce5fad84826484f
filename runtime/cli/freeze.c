#include "base/buf.h"
#include "cli/api.h"
#include "cli/output.h"

static int run(const struct arguments *a) {
  struct buf body = {0}, answer = {0};
  bool off = arguments_flag(a, "off");
  const char *span = arguments_option(a, "for");
  if (off && span)
    return complain(a, EXIT_USAGE, "--off ends it now: no --for with it");
  buf_text(&body, "{\"service\":");
  buf_json_text(&body, a->items[0]);
  if (span) {
    buf_text(&body, ",\"for\":");
    buf_json_text(&body, span);
  }
  buf_text(&body, off ? ",\"off\":true}" : "}");
  int status = api_call(a, "POST", "/v1/operate/freeze", &body, &answer);
  buf_clear(&answer);
  if (!status)
    buf_format(&answer,
               off ? "%s follows its registry and its plan again\n"
                   : "%s is frozen: its weights, tiers and drops stay; `perigee freeze %s --off` "
                     "lets them go\n",
               a->items[0], a->items[0]);
  output_write(&answer);
  buf_free(&body);
  buf_free(&answer);
  return status;
}

static const struct option options[] = {
    {"for", 0, "T", "for so long, as in 10m (default: until --off)", false},
    {"off", 0, NULL, "let it follow its registry and its plan again", false},
    {0},
};

const struct command command_freeze = {
    .name = "freeze",
    .arguments = "SERVICE",
    .summary = "Keep a service's plan as it is",
    .about = "Its endpoints keep the weights, tiers and drops that they have now, whatever its "
             "registry and its\nbalancer plugins say. Who leaves does leave; who comes takes part "
             "as registered; statuses go on.\nIt outlives "
             "the agent's restarts.",
    .options = options,
    .examples =
        (const struct example[]){{"perigee freeze web", "before a change that may go wrong"},
                                 {"perigee freeze web --off", "after it"},
                                 {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "services",
    .run = run,
};
