#include "base/buf.h"
#include "cli/api.h"
#include "cli/output.h"

#include <jansson.h>
#include <string.h>
#include <time.h>

static const char *text_of(const json_t *o, const char *key) {
  const char *text = json_string_value(json_object_get(o, key));
  return text ? text : "";
}

static double number_of(const json_t *o, const char *key) {
  return json_number_value(json_object_get(o, key));
}

static void write_time(struct buf *out, double unix_seconds) {
  char text[40];
  time_t at = (time_t)unix_seconds;
  struct tm tm;
  strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", localtime_r(&at, &tm));
  buf_text(out, text);
}

/* "0.05, tier 1" */
static void write_row(struct buf *out, const json_t *row) {
  if (json_is_true(json_object_get(row, "drop"))) {
    buf_text(out, "dropped");
    return;
  }
  buf_format(out, "weight %.6g", number_of(row, "weight"));
  if (number_of(row, "tier") > 0)
    buf_format(out, ", tier %.0f", number_of(row, "tier"));
}

static void write_stage(struct buf *out, const json_t *stage) {
  bool well = strcmp(text_of(stage, "state"), "well") == 0;
  buf_format(out, "  %-14s %s%s%s%s", text_of(stage, "plugin"), output_color(well ? "dim" : "red"),
             text_of(stage, "state"), output_color("off"),
             json_is_true(json_object_get(stage, "shadow"))     ? ", a shadow"
             : json_is_true(json_object_get(stage, "promoted")) ? ", a shadow that was promoted"
                                                                : "");
  if (*text_of(stage, "reason"))
    buf_format(out, ": %s", text_of(stage, "reason"));
  buf_format(out, "  %s%s %.8s%s\n", output_color("dim"), text_of(stage, "file"),
             text_of(stage, "hash"), output_color("off"));
}

/* Of a service that is watched in two registries; NULL: it is not. */
static void write_merge(struct buf *out, const json_t *o) {
  const char *how = text_of(o, "how");
  if (!o)
    return;
  buf_format(out, "  %s%s%s: %s, %s", output_color("bold"), how, output_color("off"),
             text_of(o, "first"), text_of(o, "second"));
  if (json_is_true(json_object_get(o, "stands_in")))
    buf_text(out, "; the second stands in");
  if (json_object_get(o, "unlike"))
    buf_format(out, "; only in the first %.0f, only in the second %.0f, not alike %.0f",
               number_of(o, "only_first"), number_of(o, "only_second"), number_of(o, "unlike"));
  buf_char(out, '\n');
}

/* What is registered here, and somebody else has in a registry. */
static void write_taken(struct buf *out, const json_t *taken) {
  const json_t *one;
  size_t i;
  json_array_foreach(taken, i, one) buf_format(
      out, "  %s%s is not registered in %s%s: %s\n", output_color("red"), text_of(one, "id"),
      text_of(one, "registry"), output_color("off"), text_of(one, "reason"));
}

static void write_service(struct buf *out, const json_t *o) {
  const json_t *stages = json_object_get(o, "stages"), *one;
  size_t i;
  const char *by = text_of(o, "picked_by");
  buf_format(out, "%s%s%s  version %.0f, %s%s%s%s", output_color("bold"), text_of(o, "service"),
             output_color("off"), number_of(o, "version"), by, *by ? " in the agent, " : "",
             text_of(o, "balancer"), *by ? " elsewhere" : "");
  if (json_is_true(json_object_get(o, "stale")))
    buf_format(out, ", stale for %.0f s", number_of(o, "stale_seconds"));
  buf_char(out, '\n');
  if (json_is_true(json_object_get(o, "frozen"))) {
    buf_text(out, "  frozen at the plan of ");
    write_time(out, number_of(o, "frozen_plan_of"));
    if (json_object_get(o, "frozen_until")) {
      buf_text(out, ", until ");
      write_time(out, number_of(o, "frozen_until"));
    }
    buf_char(out, '\n');
  }
  write_merge(out, json_object_get(o, "merge"));
  write_taken(out, json_object_get(o, "taken"));
  json_array_foreach(stages, i, one) write_stage(out, one);
  if (json_object_get(o, "shadow_moves"))
    buf_format(out, "  the shadow would move %.3g %% of the picks\n",
               number_of(o, "shadow_moves") * 100);
}

static void write_registries(struct buf *out, const json_t *e) {
  const json_t *from = json_object_get(e, "from"), *one;
  size_t i;
  buf_format(out, "    %-12s ", "registry");
  json_array_foreach(from, i, one)
      buf_format(out, "%s%s", i ? " and " : "", json_string_value(one));
  if (json_array_size(from) == 0)
    buf_text(out, "none any more");
  buf_format(out, ", weight %.6g\n", number_of(e, "registered_weight"));
}

static void write_reasons(struct buf *out, const json_t *e) {
  const json_t *one;
  size_t i;
  write_registries(out, e);
  json_array_foreach(json_object_get(e, "checks"), i, one)
      buf_format(out, "    %-12s %s %s%s%s\n", "check", text_of(one, "id"), text_of(one, "status"),
                 *text_of(one, "output") ? ": " : "", text_of(one, "output"));
  if ((one = json_object_get(e, "policy")))
    buf_format(out, "    %-12s %s%s%s\n", "policy", text_of(one, "verdict"),
               *text_of(one, "reason") ? ": " : "", text_of(one, "reason"));
  json_array_foreach(json_object_get(e, "plan"), i, one) {
    buf_format(out, "    %-12s %s%s: ", "plan", text_of(one, "stage"),
               json_is_true(json_object_get(one, "shadow")) ? " (shadow)" : "");
    write_row(out, one);
    buf_char(out, '\n');
  }
  if ((one = json_object_get(e, "override"))) {
    buf_format(out, "    %-12s weight %.6g until ", "override", number_of(one, "weight"));
    write_time(out, number_of(one, "until"));
    buf_char(out, '\n');
  }
  if ((one = json_object_get(e, "with_shadow"))) {
    buf_format(out, "    %-12s ", "with shadow");
    write_row(out, one);
    buf_format(out, ", %.3g %% of the picks\n", number_of(one, "share") * 100);
  }
}

static void write_endpoint(struct buf *out, const json_t *e) {
  const char *status = text_of(e, "status");
  bool well = strcmp(status, "passing") == 0;
  buf_format(out, "\n  %s%s%s  %s:%.0f  %s%s%s%s  ", output_color("bold"), text_of(e, "id"),
             output_color("off"), text_of(e, "address"), number_of(e, "port"),
             well ? "" : output_color("red"), status, well ? "" : output_color("off"),
             json_is_true(json_object_get(e, "ejected")) ? ", ejected" : "");
  if (json_is_false(json_object_get(e, "selected")))
    buf_text(out, "not selected");
  else
    write_row(out, e);
  buf_format(out, " by %s: %.3g %% of the picks\n", text_of(e, "by"), number_of(e, "share") * 100);
  write_reasons(out, e);
}

static int write_all(const struct arguments *a, const struct buf *answer, struct buf *out) {
  json_error_t error;
  json_t *json = json_loadb(answer->data ? answer->data : "", answer->length, 0, &error), *one;
  size_t i;
  if (!json_is_object(json)) {
    json_decref(json);
    return complain(a, EXIT_FAILED, "the agent's answer is not what was expected");
  }
  write_service(out, json);
  json_array_foreach(json_object_get(json, "endpoints"), i, one) write_endpoint(out, one);
  json_decref(json);
  return 0;
}

static int run(const struct arguments *a) {
  struct buf path = {0}, answer = {0}, out = {0};
  buf_text(&path, "/v1/explain/");
  api_escape(&path, a->items[0]);
  int status = path.failed ? complain(a, EXIT_FAILED, "out of memory")
                           : api_call(a, "GET", path.data, NULL, &answer);
  if (!status && arguments_flag(a, "json"))
    buf_format(&out, "%s\n", answer.data ? answer.data : "");
  else if (!status)
    status = write_all(a, &answer, &out);
  output_write(&out);
  buf_free(&path);
  buf_free(&answer);
  buf_free(&out);
  return status;
}

const struct command command_explain = {
    .name = "explain",
    .arguments = "SERVICE",
    .summary = "Say what made each endpoint of a service what it is now",
    .about = "For each: the registry that it comes from, its checks where this agent runs them, "
             "what a policy decided,\nwhat each balancer plugin made of it, what an operator "
             "overrides, and its part of the picks where\nnothing is known of loads.",
    .examples =
        (const struct example[]){
            {"perigee explain web", "why web is balanced as it is"},
            {"perigee explain web --json | jq '.endpoints[] | {id, share}'", "who gets how much"},
            {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "services",
    .json = true,
    .run = run,
};
