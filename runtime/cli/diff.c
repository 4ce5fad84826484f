#include "base/text.h"
#include "cli/changes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP = 64 << 10, TEXT_MAX = 4 << 20 };

/* For the agent, which is in a directory of its own. Links stay: what is beside them counts. */
static char *absolute(const char *file) {
  char *here = file[0] == '/' ? strdup("") : getcwd(NULL, 0), *path = NULL;
  if (!here || asprintf(&path, "%s%s%s", here, *here ? "/" : "", file) < 0)
    path = NULL;
  free(here);
  return path;
}

static bool is_pipe(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

/* The agent cannot open what only this process has: `perigee diff <(generate)`. */
static int read_pipe(const char *path, struct buf *out) {
  FILE *in = fopen(path, "re");
  size_t n = 1;
  while (in && n > 0 && out->length <= TEXT_MAX && buf_reserve(out, STEP) == 0) {
    n = fread(out->data + out->length, 1, STEP - 1, in);
    out->length += n;
    out->data[out->length] = '\0';
  }
  int rc = !in || ferror(in) ? -errno : out->length > TEXT_MAX ? -EFBIG : n > 0 ? -ENOMEM : 0;
  if (rc == 0 && (strlen(out->data) < out->length || !text_is_utf8(out->data)))
    rc = -EILSEQ;
  if (in)
    fclose(in);
  return rc;
}

static int run(const struct arguments *a) {
  static const struct changes_words words = {"would change", "nothing would change"};
  struct buf body = {0}, text = {0};
  char *path = absolute(a->items[0]);
  int rc = !path || access(path, R_OK) != 0 ? -errno : is_pipe(path) ? read_pipe(path, &text) : 0;
  if (rc != 0) {
    free(path);
    buf_free(&text);
    return complain(a, EXIT_FAILED, "%s: %s", a->items[0],
                    rc == -EILSEQ ? "not UTF-8" : strerror(-rc));
  }
  buf_text(&body, text.data ? "{\"text\":" : "{\"file\":");
  buf_json_text(&body, text.data ? text.data : path);
  buf_char(&body, '}');
  buf_free(&text);
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
        "the agent has. FILE may be a pipe, as in `perigee diff <(generate)`: then both are looked "
        "for beside the agent's file.",
    .examples =
        (const struct example[]){
            {"perigee diff /etc/perigee/next.lua",
             "the registrations, watches and plugins that would differ"},
            {"perigee diff /dev/stdin < next.lua", "the same, of what is piped"},
            {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "files",
    .json = true,
    .run = run,
};
