#include "base/buf.h"
#include "cli/reply.h"
#include "cli/output.h"

#include <string.h>

/* Tabs, and no header, for scripts. */
static void write_plain(const json_t *row, struct buf *out) {
  buf_format(out, "%s\t%s\t%s\t%s\t%.0f\t%.0f\t%s\n", reply_text(row, "kind"),
             reply_text(row, "name"), reply_text(row, "state"), reply_text(row, "hash"),
             reply_number(row, "memory"), reply_number(row, "faults"), reply_text(row, "file"));
}

static void write_row(const json_t *row, int widest, struct buf *out) {
  bool well = strcmp(reply_text(row, "state"), "running") == 0;
  buf_format(out, "%-8s  %-*s  %s%-12s%s  %.8s  %7.1f KiB  %6.0f  %s\n", reply_text(row, "kind"),
             widest, reply_text(row, "name"), well ? "" : output_color("red"),
             reply_text(row, "state"), well ? "" : output_color("off"), reply_text(row, "hash"),
             reply_number(row, "memory") / 1024, reply_number(row, "faults"),
             reply_text(row, "file"));
  if (*reply_text(row, "reload_error"))
    buf_format(out, "          %snot reloaded: %s%s\n", output_color("red"),
               reply_text(row, "reload_error"), output_color("off"));
}

static bool write_table(const void *arg, const json_t *rows, struct buf *out) {
  const json_t *row;
  size_t i;
  int widest = 4;
  if (!json_is_array(rows))
    return false;
  json_array_foreach(rows, i, row) {
    int width = (int)strlen(reply_text(row, "name"));
    widest = width > widest ? width : widest;
  }
  if (!output_is_terminal()) {
    json_array_foreach(rows, i, row) write_plain(row, out);
    return true;
  }
  buf_format(out, "%s%-8s  %-*s  %-12s  %-8s  %11s  %6s  %s%s\n", output_color("dim"), "kind",
             widest, "name", "state", "hash", "memory", "faults", "file", output_color("off"));
  json_array_foreach(rows, i, row) write_row(row, widest, out);
  return true;
}

static int run(const struct arguments *a) {
  return reply_show(a, "/v1/plugins", write_table, NULL);
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
