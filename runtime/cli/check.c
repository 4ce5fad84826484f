#include "agent/agent.h"
#include "agent/agent.h"
#include "base/buf.h"
#include "cli/arguments.h"
#include "cli/output.h"
#include "config/config.h"

#include <errno.h>
#include <stdio.h>

static void write_json(const struct findings *all, struct buf *out) {
  buf_char(out, '[');
  for (size_t i = 0; i < all->count; i++) {
    const struct finding *f = &all->items[i];
    buf_text(out, i ? ",\n " : "\n ");
    buf_text(out, "{\"file\":");
    buf_json_text(out, f->file);
    buf_format(out, ",\"line\":%d,\"path\":", f->line);
    buf_json_text(out, f->path);
    buf_text(out, ",\"text\":");
    buf_json_text(out, f->text);
    buf_char(out, '}');
  }
  buf_text(out, all->count ? "\n]\n" : "]\n");
}

static int run(const struct arguments *a) {
  struct config_options options = {.file = a->items[0]};
  struct config *config = NULL;
  struct findings findings = {0};
  struct buf out = {0};
  int status = config_load(&options, &config, &findings);
  if (config && agent_verify(config, &findings) < 0) {
    status = -EINVAL;
    findings_sort(&findings);
  }
  if (arguments_flag(a, "json")) {
    write_json(&findings, &out);
  } else if (status < 0 || !config) {
    struct buf text = {0};
    findings_print(&findings, &text);
    fputs(text.data ? text.data : "out of memory\n", stderr);
    buf_free(&text);
    complain(a, EXIT_FAILED, "%s has %zu mistake%s", a->items[0], findings.count,
             findings.count == 1 ? "" : "s");
  } else {
    buf_format(&out, "%s is right: %zu registration%s, %zu watch%s\n", a->items[0],
               config->service_count, config->service_count == 1 ? "" : "s", config->watch_count,
               config->watch_count == 1 ? "" : "es");
  }
  output_write(&out);
  buf_free(&out);
  findings_free(&findings);
  config_free(config);
  return status < 0 ? EXIT_FAILED : EXIT_DONE;
}

const struct command command_check = {
    .name = "check",
    .arguments = "FILE",
    .summary = "Check a configuration, and change nothing",
    .about = "Every mistake is told at once, each with file, line, path in the table and what was "
             "expected.",
    .examples =
        (const struct example[]){{"perigee check /etc/perigee/perigee.lua", "before a restart"},
                                 {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "files",
    .local = true,
    .json = true,
    .run = run,
};
