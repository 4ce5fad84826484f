#include "base/buf.h"
#include "cli/reply.h"
#include "cli/api.h"
#include "cli/output.h"

#include <string.h>

/* "0.05, tier 1" */
static void write_row(struct buf *out, const json_t *row) {
  if (reply_flag(row, "drop")) {
    buf_text(out, "dropped");
    return;
  }
  buf_format(out, "weight %.6g", reply_number(row, "weight"));
  if (reply_number(row, "tier") > 0)
    buf_format(out, ", tier %.0f", reply_number(row, "tier"));
}

static void write_stage(struct buf *out, const json_t *stage) {
  bool well = strcmp(reply_text(stage, "state"), "well") == 0;
  buf_format(out, "  %-14s %s%s%s%s", reply_text(stage, "plugin"),
             output_color(well ? "dim" : "red"), reply_text(stage, "state"), output_color("off"),
             reply_flag(stage, "shadow")     ? ", a shadow"
             : reply_flag(stage, "promoted") ? ", a shadow that was promoted"
                                             : "");
  if (*reply_text(stage, "reason"))
    buf_format(out, ": %s", reply_text(stage, "reason"));
  buf_format(out, "  %s%s %.8s%s\n", output_color("dim"), reply_text(stage, "file"),
             reply_text(stage, "hash"), output_color("off"));
}

/* Of a service that is watched in two registries; NULL: it is not. */
static void write_merge(struct buf *out, const json_t *o) {
  const char *how = reply_text(o, "how");
  if (!o)
    return;
  buf_format(out, "  %s%s%s: %s, %s", output_color("bold"), how, output_color("off"),
             reply_text(o, "first"), reply_text(o, "second"));
  if (reply_flag(o, "stands_in"))
    buf_text(out, "; the second stands in");
  if (json_object_get(o, "unlike"))
    buf_format(out, "; only in the first %.0f, only in the second %.0f, not alike %.0f",
               reply_number(o, "only_first"), reply_number(o, "only_second"),
               reply_number(o, "unlike"));
  buf_char(out, '\n');
}

/* What is registered here, and somebody else has in a registry. */
static void write_taken(struct buf *out, const json_t *taken) {
  const json_t *one;
  size_t i;
  json_array_foreach(taken, i, one) buf_format(
      out, "  %s%s is not registered in %s%s: %s\n", output_color("red"), reply_text(one, "id"),
      reply_text(one, "registry"), output_color("off"), reply_text(one, "reason"));
}

static void write_drained(struct buf *out, const json_t *o) {
  const json_t *drained = json_object_get(o, "drained"), *id;
  size_t i;
  json_array_foreach(drained, i, id) buf_format(
      out, "  %s%s is drained%s: `perigee drain %s --off` lets it back\n", output_color("yellow"),
      json_string_value(id), output_color("off"), reply_text(o, "service"));
}

static void write_service(struct buf *out, const json_t *o) {
  const json_t *stages = json_object_get(o, "stages"), *one;
  size_t i;
  const char *by = reply_text(o, "picked_by");
  if (!json_object_get(o, "version")) {
    buf_format(out, "%s%s%s  has no endpoint\n", output_color("bold"), reply_text(o, "service"),
               output_color("off"));
    write_drained(out, o);
    return;
  }
  buf_format(out, "%s%s%s  version %.0f, %s%s%s%s", output_color("bold"), reply_text(o, "service"),
             output_color("off"), reply_number(o, "version"), by, *by ? " in the agent, " : "",
             reply_text(o, "balancer"), *by ? " elsewhere" : "");
  if (reply_flag(o, "stale"))
    buf_format(out, ", stale for %.0f s", reply_number(o, "stale_seconds"));
  buf_char(out, '\n');
  if (reply_flag(o, "frozen")) {
    buf_text(out, "  frozen at the plan of ");
    reply_write_time(out, reply_number(o, "frozen_plan_of"));
    if (json_object_get(o, "frozen_until")) {
      buf_text(out, ", until ");
      reply_write_time(out, reply_number(o, "frozen_until"));
    }
    buf_char(out, '\n');
  }
  write_merge(out, json_object_get(o, "merge"));
  write_taken(out, json_object_get(o, "taken"));
  write_drained(out, o);
  json_array_foreach(stages, i, one) write_stage(out, one);
  if (json_object_get(o, "shadow_moves"))
    buf_format(out, "  the shadow would move %.3g %% of the picks\n",
               reply_number(o, "shadow_moves") * 100);
}

static void write_registries(struct buf *out, const json_t *e) {
  const json_t *from = json_object_get(e, "from"), *one;
  size_t i;
  buf_format(out, "    %-12s ", "registry");
  json_array_foreach(from, i, one)
      buf_format(out, "%s%s", i ? " and " : "", json_string_value(one));
  if (json_array_size(from) == 0)
    buf_text(out, "none any more");
  buf_format(out, ", weight %.6g\n", reply_number(e, "registered_weight"));
}

static void write_policy(struct buf *out, const json_t *policy) {
  const char *reason = reply_text(policy, "reason"), *trouble = reply_text(policy, "trouble");
  buf_format(out, "    %-12s %s%s%s", "policy", reply_text(policy, "verdict"), *reason ? ": " : "",
             reason);
  if (*trouble)
    buf_format(out, " (since then: %s)", trouble);
  buf_char(out, '\n');
}

static void write_reasons(struct buf *out, const json_t *e) {
  const json_t *one;
  size_t i;
  if (json_object_get(e, "from"))
    write_registries(out, e);
  json_array_foreach(json_object_get(e, "checks"), i, one) buf_format(
      out, "    %-12s %s %s%s%s\n", "check", reply_text(one, "id"), reply_text(one, "status"),
      *reply_text(one, "output") ? ": " : "", reply_text(one, "output"));
  if ((one = json_object_get(e, "policy")))
    write_policy(out, one);
  json_array_foreach(json_object_get(e, "plan"), i, one) {
    buf_format(out, "    %-12s %s%s: ", "plan", reply_text(one, "stage"),
               reply_flag(one, "shadow") ? " (shadow)" : "");
    write_row(out, one);
    buf_char(out, '\n');
  }
  if ((one = json_object_get(e, "override"))) {
    buf_format(out, "    %-12s weight %.6g until ", "override", reply_number(one, "weight"));
    reply_write_time(out, reply_number(one, "until"));
    buf_char(out, '\n');
  }
  if ((one = json_object_get(e, "with_shadow"))) {
    buf_format(out, "    %-12s ", "with shadow");
    write_row(out, one);
    buf_format(out, ", %.3g %% of the picks\n", reply_number(one, "share") * 100);
  }
}

static void write_name(struct buf *out, const json_t *e) {
  const char *status = reply_text(e, "status");
  bool well = strcmp(status, "passing") == 0;
  buf_format(out, "\n  %s%s%s  %s:%.0f  %s%s%s%s  ", output_color("bold"), reply_text(e, "id"),
             output_color("off"), reply_text(e, "address"), reply_number(e, "port"),
             well ? "" : output_color("red"), status, well ? "" : output_color("off"),
             reply_flag(e, "ejected") ? ", ejected" : "");
}

static void write_endpoint(struct buf *out, const json_t *e) {
  write_name(out, e);
  if (json_is_false(json_object_get(e, "selected")))
    buf_text(out, "not selected");
  else
    write_row(out, e);
  buf_format(out, " by %s: %.3g %% of the picks\n", reply_text(e, "by"),
             reply_number(e, "share") * 100);
  write_reasons(out, e);
}

static void write_held_back(struct buf *out, const json_t *e) {
  write_name(out, e);
  buf_text(out, "not registered, by its policy\n");
  write_reasons(out, e);
}

static bool write_all(const void *arg, const json_t *answer, struct buf *out) {
  const json_t *one;
  size_t i;
  if (!json_is_object(answer))
    return false;
  write_service(out, answer);
  json_array_foreach(json_object_get(answer, "endpoints"), i, one) write_endpoint(out, one);
  json_array_foreach(json_object_get(answer, "held_back"), i, one) write_held_back(out, one);
  return true;
}

static int run(const struct arguments *a) {
  struct buf path = {0};
  buf_text(&path, "/v1/explain/");
  api_escape(&path, a->items[0]);
  int status = path.failed ? complain(a, EXIT_FAILED, "out of memory")
                           : reply_show(a, path.data, write_all, NULL);
  buf_free(&path);
  return status;
}

const struct command command_explain = {
    .name = "explain",
    .arguments = "SERVICE",
    .summary = "Say what made each endpoint of a service what it is now",
    .about = "For each: the registry that it comes from, its checks where this agent runs them, "
             "what a policy decided, what each balancer plugin made of it, what an operator "
             "overrides, and its part of the picks where nothing is known of loads.",
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
