#include "cli/changes.h"

#include "cli/output.h"

#include <string.h>

static void write_change(const json_t *row, struct buf *out) {
  const char *change = reply_text(row, "change"), *id = reply_text(row, "id"),
             *detail = reply_text(row, "detail");
  bool plugin = strcmp(reply_text(row, "what"), "plugin") == 0;
  char mark = strcmp(change, "added") == 0 ? '+' : strcmp(change, "removed") == 0 ? '-' : '~';
  buf_format(out, "%s%c%s %-8s  %s",
             output_color(mark == '+'   ? "green"
                          : mark == '-' ? "red"
                                        : "yellow"),
             mark, output_color("off"), reply_text(row, "what"), reply_text(row, "name"));
  if (*id)
    buf_format(out, "  %s", id);
  if (plugin)
    buf_format(out, "  %s  %.8s", change, detail);
  else if (*detail)
    buf_format(out, "  %s", detail);
  buf_char(out, '\n');
}

static void write_side(const json_t *side, struct buf *out) {
  if (!side) {
    buf_text(out, "none");
    return;
  }
  if (reply_flag(side, "drop")) {
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
             reply_text(plan, "service"));
  if (reason)
    buf_format(out, "cannot be told before: %s\n", reply_text(plan, "reason"));
  else
    buf_format(out, "moves %.3g %% of the picks\n",
               json_number_value(json_object_get(plan, "moves")) * 100);
  json_array_foreach(json_object_get(plan, "endpoints"), i, row) {
    const json_t *before = json_object_get(row, "before"), *after = json_object_get(row, "after");
    buf_format(out, "              %s  ", reply_text(row, "id"));
    write_side(before, out);
    buf_text(out, " -> ");
    write_side(after, out);
    buf_format(out, ", %.3g -> %.3g %% of the picks\n",
               json_number_value(json_object_get(before, "share")) * 100,
               json_number_value(json_object_get(after, "share")) * 100);
  }
}

bool changes_tell(const void *arg, const json_t *answer, struct buf *out) {
  const struct changes_words *words = arg;
  const json_t *changes = json_object_get(answer, "changes"), *row;
  size_t i, count = json_array_size(changes);
  if (!json_is_array(changes))
    return false;
  json_array_foreach(changes, i, row) write_change(row, out);
  json_array_foreach(json_object_get(answer, "plans"), i, row) write_plan(row, out);
  if (count)
    buf_format(out, "%s: %zu change%s", words->done, count, count == 1 ? "" : "s");
  else
    buf_text(out, reply_flag(answer, "applied") ? words->done : words->nothing);
  buf_format(out, " %s(hash %s)%s\n", output_color("dim"), reply_text(answer, "hash"),
             output_color("off"));
  return true;
}
