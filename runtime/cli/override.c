#include "base/buf.h"
#include "cli/api.h"
#include "cli/output.h"

#include <jansson.h>
#include <stdlib.h>

static void write_body(const struct arguments *a, double weight, struct buf *body) {
  buf_text(body, "{\"service\":");
  buf_json_text(body, a->items[0]);
  buf_text(body, ",\"id\":");
  buf_json_text(body, a->items[1]);
  if (arguments_flag(a, "off")) {
    buf_text(body, ",\"off\":true}");
    return;
  }
  const char *span = arguments_option(a, "for");
  buf_text(body, ",\"weight\":");
  buf_json_number(body, weight);
  buf_text(body, ",\"for\":");
  buf_json_text(body, span ? span : "1h");
  buf_char(body, '}');
}

/* 0, or EXIT_USAGE after a sentence. */
static int read_weight(const struct arguments *a, double *weight) {
  const char *text = arguments_option(a, "weight");
  char *end;
  bool off = arguments_flag(a, "off");
  if (off && (text || arguments_option(a, "for")))
    return complain(a, EXIT_USAGE, "--off takes the override back: no --weight or --for with it");
  if (off)
    return 0;
  if (!text)
    return complain(a, EXIT_USAGE, "--weight says what it weighs; --off takes an override back");
  *weight = strtod(text, &end);
  if (end == text || *end || !(*weight >= 0 && *weight <= 1e9))
    return complain(a, EXIT_USAGE, "--weight %s: a number from 0 to 1e9 is expected", text);
  return 0;
}

static int run(const struct arguments *a) {
  struct buf body = {0}, answer = {0};
  double weight = 0;
  int status = read_weight(a, &weight);
  if (status)
    return status;
  write_body(a, weight, &body);
  status = api_call(a, "POST", "/v1/operate/override", &body, &answer);
  buf_clear(&answer);
  if (!status && arguments_flag(a, "off"))
    buf_format(&answer, "%s weighs in %s what is planned again\n", a->items[1], a->items[0]);
  else if (!status)
    buf_format(&answer, "%s weighs %g in %s for %s, whatever is planned\n", a->items[1], weight,
               a->items[0], arguments_option(a, "for") ? arguments_option(a, "for") : "1h");
  output_write(&answer);
  buf_free(&body);
  buf_free(&answer);
  return status;
}

static const struct option options[] = {
    {"weight", 0, "W", "what it weighs from now on; 0 is never picked", false},
    {"for", 0, "T", "for so long, as in 10m (default: 1h)", false},
    {"off", 0, NULL, "take the override back", false},
    {0},
};

const struct command command_override = {
    .name = "override",
    .arguments = "SERVICE ID",
    .summary = "Give an endpoint a weight by hand, for a while",
    .about = "It wins over the registry and over every balancer plugin, and ends by itself. It "
             "outlives the agent's\nrestarts. `perigee explain SERVICE` shows it.",
    .options = options,
    .examples =
        (const struct example[]){
            {"perigee override web web-10.0.0.7-8080 --weight 0 --for 10m",
             "no pick names it for ten minutes"},
            {"perigee override web web-10.0.0.7-8080 --off", "what is planned holds again"},
            {0}},
    .arguments_min = 2,
    .arguments_max = 2,
    .complete = "services",
    .run = run,
};
