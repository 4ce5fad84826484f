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

static double side(const json_t *endpoint, const char *which, const char *key) {
  return json_number_value(json_object_get(json_object_get(endpoint, which), key));
}

static bool drops(const json_t *endpoint, const char *which) {
  return json_is_true(json_object_get(json_object_get(endpoint, which), "drop"));
}

/* Its endpoints, where they differ: at most so many of one service, the others are in the JSON. */
static void write_weights(const json_t *service, struct buf *out) {
  enum { SHOWN_MAX = 20 };
  json_t *endpoints = json_object_get(service, "endpoints"), *e;
  size_t i, differing = 0;
  if (*text_of(service, "error")) {
    buf_format(out, "%s: its balancer does not answer: %s\n", text_of(service, "name"),
               text_of(service, "error"));
    return;
  }
  buf_format(out, "%s: %.1f %% of the picks would go elsewhere\n", text_of(service, "name"),
             json_number_value(json_object_get(service, "moves")) * 100);
  json_array_foreach(endpoints, i, e) {
    bool same = json_equal(json_object_get(e, "before"), json_object_get(e, "after"));
    if (same || ++differing > SHOWN_MAX)
      continue;
    buf_format(out, "    %s  weight %g to %g, share %.1f %% to %.1f %%%s\n", text_of(e, "id"),
               side(e, "before", "weight"), side(e, "after", "weight"),
               side(e, "before", "share") * 100, side(e, "after", "share") * 100,
               drops(e, "after") ? ", dropped" : "");
  }
  if (differing > SHOWN_MAX)
    buf_format(out, "    and %zu more: --json has them\n", differing - SHOWN_MAX);
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
  json_array_foreach(json_object_get(json, "services"), i, row) write_weights(row, out);
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
