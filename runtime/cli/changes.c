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
