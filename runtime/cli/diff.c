#include "cli/changes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* For the agent, which is in a directory of its own. Links stay: what is beside them counts. */
static char *absolute(const char *file) {
  char *here = file[0] == '/' ? strdup("") : getcwd(NULL, 0), *path = NULL;
  if (!here || asprintf(&path, "%s%s%s", here, *here ? "/" : "", file) < 0)
    path = NULL;
  free(here);
  return path;
}

static int run(const struct arguments *a) {
  static const struct changes_words words = {"would change", "nothing would change"};
  struct buf body = {0};
  char *path = absolute(a->items[0]);
  if (!path || access(path, R_OK) != 0) {
    free(path);
    return complain(a, EXIT_FAILED, "%s: %s", a->items[0], strerror(errno));
  }
  buf_text(&body, "{\"file\":");
  buf_json_text(&body, path);
  buf_char(&body, '}');
  int status = reply_operate(a, "diff", &body, changes_tell, &words);
  buf_free(&body);
  free(path);
  return status;
}

const struct command command_diff = {
    .name = "diff",
    .arguments = "FILE",
    .summary = "Show what the running agent would change, were this its configuration",
    .about =
        "The file is checked as by `perigee reload`, by the agent, and nothing is changed. "
        "Includes and plugins are looked for beside FILE, and plugins then beside the file that "
        "the agent has.",
    .examples =
        (const struct example[]){{"perigee diff /etc/perigee/next.lua",
                                  "the registrations, watches and plugins that would differ"},
                                 {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "files",
    .json = true,
    .run = run,
};
