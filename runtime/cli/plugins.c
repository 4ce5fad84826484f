#include "base/buf.h"
#include "cli/api.h"
#include "cli/output.h"

#include <jansson.h>
#include <string.h>

static const char *text_of(const json_t *row, const char *key) {
  const char *text = json_string_value(json_object_get(row, key));
  return text ? text : "";
}

static double number_of(const json_t *row, const char *key) {
  return json_number_value(json_object_get(row, key));
}

/* Tabs, and no header, for scripts. */
static void write_plain(const json_t *row, struct buf *out) {
  buf_format(out, "%s\t%s\t%s\t%s\t%.0f\t%.0f\t%s\n", text_of(row, "kind"), text_of(row, "name"),
             text_of(row, "state"), text_of(row, "hash"), number_of(row, "memory"),
             number_of(row, "faults"), text_of(row, "file"));
}

static void write_row(const json_t *row, int widest, struct buf *out) {
  bool well = strcmp(text_of(row, "state"), "running") == 0;
  buf_format(out, "%-8s  %-*s  %s%-12s%s  %.8s  %7.1f KiB  %6.0f  %s\n", text_of(row, "kind"),
             widest, text_of(row, "name"), well ? "" : output_color("red"), text_of(row, "state"),
             well ? "" : output_color("off"), text_of(row, "hash"), number_of(row, "memory") / 1024,
             number_of(row, "faults"), text_of(row, "file"));
  if (*text_of(row, "reload_error"))
    buf_format(out, "          %snot reloaded: %s%s\n", output_color("red"),
               text_of(row, "reload_error"), output_color("off"));
}

static int write_table(const struct arguments *a, const struct buf *answer, struct buf *out) {
  json_error_t error;
  json_t *rows = json_loadb(answer->data ? answer->data : "", answer->length, 0, &error), *row;
  size_t i;
  int widest = 4;
  if (!json_is_array(rows)) {
    json_decref(rows);
    return complain(a, EXIT_FAILED, "the agent's answer is not what was expected");
  }
  json_array_foreach(rows, i, row) {
    int width = (int)strlen(text_of(row, "name"));
    widest = width > widest ? width : widest;
  }
  if (!output_is_terminal()) {
    json_array_foreach(rows, i, row) write_plain(row, out);
    json_decref(rows);
    return 0;
  }
  buf_format(out, "%s%-8s  %-*s  %-12s  %-8s  %11s  %6s  %s%s\n", output_color("dim"), "kind",
             widest, "name", "state", "hash", "memory", "faults", "file", output_color("off"));
  json_array_foreach(rows, i, row) write_row(row, widest, out);
  json_decref(rows);
  return 0;
}

static int run(const struct arguments *a) {
  return api_show(a, "/v1/plugins", write_table);
}

const struct command command_plugins = {
    .name = "plugins",
    .arguments = "",
    .summary = "List the plugins that the agent has loaded",
    .about = "Each with its state, the first digits of its file's sha256, what its Lua state "
             "holds, and how many of its calls failed.\n\nOne that is \"quarantined\" failed in "
             "most of its last calls: it is not called for a while, and what it last said stays. "
             "One \"on probation\" was reloaded a moment ago: should its first calls fail, the "
             "version before it is used again. "
             "One that is \"dead\" broke its Lua state, and is called no more.",
    .examples =
        (const struct example[]){
            {"perigee plugins --json | jq '.[] | select(.state != \"running\")'",
             "those that need a look"},
            {0}},
    .complete = "",
    .json = true,
    .run = run,
};
