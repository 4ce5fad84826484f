#include "cli/reply.h"
#include "cli/output.h"

#include <string.h>

/* "catalog_version" → "catalog version". */
static void write_name(struct buf *out, const char *key) {
  for (; *key; key++)
    buf_char(out, *key == '_' ? ' ' : *key);
}

static void write_value(struct buf *out, const json_t *v) {
  if (json_is_string(v))
    buf_text(out, json_string_value(v));
  else if (json_is_integer(v))
    buf_integer(out, json_integer_value(v));
  else if (json_is_real(v))
    buf_format(out, "%.3f", json_real_value(v));
  else
    buf_text(out, json_is_true(v) ? "yes" : json_is_false(v) ? "no" : "-");
}

static bool write_status(const void *arg, const json_t *answer, struct buf *out) {
  json_t *all = (json_t *)answer, *v; /* jansson walks what may be changed only */
  const char *key;
  size_t widest = 0;
  if (!json_is_object(all))
    return false;
  json_object_foreach(all, key, v) widest = strlen(key) > widest ? strlen(key) : widest;
  json_object_foreach(all, key, v) {
    buf_text(out, output_color("dim"));
    write_name(out, key);
    buf_format(out, "%s%*s", output_color("off"), (int)(widest - strlen(key) + 2), "");
    write_value(out, v);
    buf_char(out, '\n');
  }
  return true;
}

static int run(const struct arguments *a) {
  return reply_show(a, "/v1/status", write_status, NULL);
}

const struct command command_status = {
    .name = "status",
    .arguments = "",
    .summary = "Show what the running agent says of itself",
    .about = "It ends with 1 when no agent runs, and says what the catalog still holds then.",
    .examples =
        (const struct example[]){
            {"perigee status --json | jq .uptime_seconds", "one figure, for a script"}, {0}},
    .complete = "",
    .json = true,
    .run = run,
};
