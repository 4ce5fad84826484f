#include "cli/reply.h"

#include <stdlib.h>

struct overriding {
  const struct arguments *arguments;
  bool off;
  double weight;
  const char *span;
};

static void write_body(const struct overriding *o, struct buf *body) {
  buf_text(body, "{\"service\":");
  buf_json_text(body, o->arguments->items[0]);
  buf_text(body, ",\"id\":");
  buf_json_text(body, o->arguments->items[1]);
  if (o->off) {
    buf_text(body, ",\"off\":true}");
    return;
  }
  buf_text(body, ",\"weight\":");
  buf_json_number(body, o->weight);
  buf_text(body, ",\"for\":");
  buf_json_text(body, o->span);
  buf_char(body, '}');
}

/* 0, or EXIT_USAGE after a sentence. */
static int read_options(const struct arguments *a, struct overriding *o) {
  const char *text = arguments_option(a, "weight"), *span = arguments_option(a, "for");
  char *end;
  *o = (struct overriding){a, arguments_flag(a, "off"), 0, span ? span : "1h"};
  if (o->off && (text || span))
    return complain(a, EXIT_USAGE, "--off takes the override back: no --weight or --for with it");
  int64_t ns;
  int status = arguments_duration(a, "for", &ns);
  if (o->off || status)
    return status;
  if (!text)
    return complain(a, EXIT_USAGE, "--weight says what it weighs; --off takes an override back");
  o->weight = strtod(text, &end);
  if (end == text || *end || !(o->weight >= 0 && o->weight <= 1e9))
    return complain(a, EXIT_USAGE, "--weight %s: a number from 0 to 1e9 is expected", text);
  return 0;
}

static bool write_done(const void *arg, const json_t *answer, struct buf *out) {
  const struct overriding *o = arg;
  const char *service = o->arguments->items[0], *id = o->arguments->items[1];
  if (o->off)
    buf_format(out, "%s weighs in %s what is planned again\n", id, service);
  else
    buf_format(out, "%s weighs %g in %s for %s, whatever is planned\n", id, o->weight, service,
               o->span);
  return true;
}

static int run(const struct arguments *a) {
  struct overriding o;
  struct buf body = {0};
  int status = read_options(a, &o);
  if (status)
    return status;
  write_body(&o, &body);
  status = reply_operate(a, "override", &body, write_done, &o);
  buf_free(&body);
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
             "outlives the agent's restarts. `perigee explain SERVICE` shows it.",
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
