#include "cli/reply.h"

static bool write_done(const void *arg, const json_t *answer, struct buf *out) {
  const struct arguments *a = arg;
  const char *service = a->items[0];
  if (arguments_flag(a, "off"))
    buf_format(out, "%s follows its registry and its plan again\n", service);
  else
    buf_format(out,
               "%s is frozen: its weights, tiers and drops stay; `perigee freeze %s --off` lets "
               "them go\n",
               service, service);
  return true;
}

static int run(const struct arguments *a) {
  struct buf body = {0};
  bool off = arguments_flag(a, "off");
  const char *span = arguments_option(a, "for");
  if (off && span)
    return complain(a, EXIT_USAGE, "--off ends it now: no --for with it");
  int64_t ns;
  int status = arguments_duration(a, "for", &ns);
  if (status)
    return status;
  buf_text(&body, "{\"service\":");
  buf_json_text(&body, a->items[0]);
  if (span) {
    buf_text(&body, ",\"for\":");
    buf_json_text(&body, span);
  }
  buf_text(&body, off ? ",\"off\":true}" : "}");
  status = reply_operate(a, "freeze", &body, write_done, a);
  buf_free(&body);
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
             "registry and its balancer plugins say. Who leaves does leave; who comes takes part "
             "as registered; statuses go on. It outlives the agent's restarts.",
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
