#include "cli/changes.h"

#include "cli/api.h"
#include "cli/output.h"

#include <jansson.h>
#include <string.h>

static const char *text_of(const json_t *row, const char *key) {
  const char *text = json_string_value(json_object_get(row, key));
  return text ? text : "";
}

static void write_change(const json_t *row, struct buf *out) {
  const char *change = text_of(row, "change"), *id = text_of(row, "id"),
             *detail = text_of(row, "detail");
  bool plugin = strcmp(text_of(row, "what"), "plugin") == 0;
  char mark = strcmp(change, "added") == 0 ? '+' : strcmp(change, "removed") == 0 ? '-' : '~';
  buf_format(out, "%s%c%s %-8s  %s",
             output_color(mark == '+'   ? "green"
                          : mark == '-' ? "red"
                                        : "yellow"),
             mark, output_color("off"), text_of(row, "what"), text_of(row, "name"));
  if (*id)
    buf_format(out, "  %s", id);
  if (plugin)
    buf_format(out, "  %s  %.8s", change, detail);
  else if (*detail)
    buf_format(out, "  %s", detail);
  buf_char(out, '\n');
}

static void write_side(const json_t *side, struct buf *out) {
  if (json_is_true(json_object_get(side, "drop"))) {
    buf_text(out, "dropped");
    return;
  }
  buf_format(out, "%.6g", json_number_value(json_object_get(side, "weight")));
  if (json_integer_value(json_object_get(side, "tier")))
    buf_format(out, " in tier %d", (int)json_integer_value(json_object_get(side, "tier")));
}

/* What a plan would give each endpoint, and how many of the picks it would move. */
static void write_plan(const json_t *plan, struct buf *out) {
  const json_t *row, *reason = json_object_get(plan, "reason");
  size_t i;
  buf_format(out, "%s~%s plan      %s  ", output_color("yellow"), output_color("off"),
             text_of(plan, "service"));
  if (reason)
    buf_format(out, "cannot be told before: %s\n", text_of(plan, "reason"));
  else
    buf_format(out, "moves %.3g %% of the picks\n",
               json_number_value(json_object_get(plan, "moves")) * 100);
  json_array_foreach(json_object_get(plan, "endpoints"), i, row) {
    const json_t *before = json_object_get(row, "before"), *after = json_object_get(row, "after");
    buf_format(out, "              %s  ", text_of(row, "id"));
    write_side(before, out);
    buf_text(out, " -> ");
    write_side(after, out);
    buf_format(out, ", %.3g -> %.3g %% of the picks\n",
               json_number_value(json_object_get(before, "share")) * 100,
               json_number_value(json_object_get(after, "share")) * 100);
  }
}

int changes_print(const struct arguments *a, const struct buf *answer, const char *done,
                  const char *nothing, struct buf *out) {
  json_t *json = json_loadb(answer->data ? answer->data : "", answer->length, 0, NULL), *row;
  const json_t *changes = json_object_get(json, "changes");
  size_t i, count = json_array_size(changes);
  if (!json_is_array(changes)) {
    json_decref(json);
    return complain(a, EXIT_FAILED, "the agent's answer is not what was expected");
  }
  json_array_foreach(changes, i, row) write_change(row, out);
  json_array_foreach(json_object_get(json, "plans"), i, row) write_plan(row, out);
  if (count)
    buf_format(out, "%s: %zu change%s", done, count, count == 1 ? "" : "s");
  else
    buf_text(out, json_is_true(json_object_get(json, "applied")) ? done : nothing);
  buf_format(out, " %s(hash %s)%s\n", output_color("dim"), text_of(json, "hash"),
             output_color("off"));
  json_decref(json);
  return 0;
}

int changes_ask(const struct arguments *a, const char *verb, const struct buf *body,
                const char *done, const char *nothing) {
  struct buf answer = {0}, out = {0};
  char path[100];
  snprintf(path, sizeof path, "/v1/operate/%s", verb);
  int status = api_call(a, "POST", path, body, &answer);
  if (!status && arguments_flag(a, "json"))
    buf_format(&out, "%s\n", answer.data ? answer.data : "");
  else if (!status)
    status = changes_print(a, &answer, done, nothing, &out);
  output_write(&out);
  buf_free(&answer);
  buf_free(&out);
  return status;
}
