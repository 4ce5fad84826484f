/* perigee test: runs the specs of plugins, in this process: no agent, no network. */
#include "cli/arguments.h"
#include "cli/output.h"
#include "cli/plugin_file.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "config/directories.h"
#include "vm/spec/spec.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 1000, SEED_MAX = 999999999 };
#define PATIENCE_S 60.0

/* The specs to run, by path. nftw has no argument for its callback. */
static char *files[FILES_MAX];
static size_t file_count;

struct report {
  const struct arguments *arguments;
  struct buf out;
  const char *file;
  bool named; /* it has been printed */
  long seed;
  size_t passed, failed;
  bool json;
};

/* Adds each line of `text`, indented. */
static void write_indented(struct buf *out, const char *text, const char *margin) {
  while (*text) {
    size_t length = strcspn(text, "\n");
    buf_format(out, "%s%.*s\n", margin, (int)length, text);
    text += length + (text[length] == '\n');
  }
}

static void write_json(struct report *r, const char *name, bool passed, const char *text,
                       const char *log, double seconds, double days) {
  buf_text(&r->out, r->passed + r->failed > 1 ? ",\n {\"file\":" : "\n {\"file\":");
  buf_json_text(&r->out, r->file);
  buf_text(&r->out, ",\"name\":");
  buf_json_text(&r->out, name);
  buf_format(&r->out, ",\"passed\":%s,\"text\":", passed ? "true" : "false");
  buf_json_text(&r->out, text);
  buf_text(&r->out, ",\"log\":");
  buf_json_text(&r->out, log);
  buf_format(&r->out, ",\"seconds\":%.6f,\"days\":%.6f}", seconds, days);
}

/* The file's name, above its first line. */
static void name_file(struct report *r) {
  if (!r->named)
    buf_format(&r->out, "%s%s%s\n", output_color("bold"), r->file, output_color("off"));
  r->named = true;
}

static void write_result(struct report *r, const struct spec_result *result) {
  name_file(r);
  buf_format(&r->out, "  %s%s%s %s", output_color(result->passed ? "green" : "red"),
             result->passed ? "ok" : "FAILED", output_color("off"), result->name);
  if (result->days >= 1)
    buf_format(&r->out, " %s(%.0f days in %.2f s)%s", output_color("dim"), result->days,
               result->seconds, output_color("off"));
  buf_char(&r->out, '\n');
  if (result->passed)
    return;
  write_indented(&r->out, result->text, "    ");
  if (*result->log) {
    buf_format(&r->out, "    %sit logged:%s\n", output_color("dim"), output_color("off"));
    write_indented(&r->out, result->log, "      ");
  }
}

static void on_result(void *arg, const struct spec_result *result) {
  struct report *r = arg;
  if (result->passed)
    r->passed++;
  else
    r->failed++;
  if (r->json)
    write_json(r, result->name, result->passed, result->text, result->log, result->seconds,
               result->days);
  else
    write_result(r, result);
  if (!r->json)
    output_write(&r->out); /* as it happens */
}

static void fail_file(struct report *r, const char *text) {
  r->failed++;
  if (r->json) {
    write_json(r, "", false, text, "", 0, 0);
    return;
  }
  name_file(r);
  buf_format(&r->out, "  %sFAILED%s\n", output_color("red"), output_color("off"));
  write_indented(&r->out, text, "    ");
}

static void run_file(struct report *r, const char *library, const char *spec) {
  struct plugin_file plugin = {0};
  struct fault f = {0};
  r->file = spec;
  r->named = false;
  int code = plugin_file_of_spec(spec, library, &plugin, &f);
  if (code == 0) {
    struct spec_options options = {.library = library,
                                   .plugin = plugin.path,
                                   .spec = spec,
                                   .kind = plugin.kind,
                                   .name = plugin.name,
                                   .ships = plugin.ships,
                                   .filter = arguments_option(r->arguments, "filter"),
                                   .seed = (uint64_t)r->seed,
                                   .patience_s = PATIENCE_S};
    code = spec_run(&options, on_result, r, &f);
  }
  if (code != 0)
    fail_file(r, f.text);
  plugin_file_free(&plugin);
}

/* ---- which ---- */

static bool ends_with(const char *text, const char *end) {
  size_t length = strlen(text), most = strlen(end);
  return length > most && strcmp(text + length - most, end) == 0;
}

static int on_entry(const char *path, const struct stat *st, int type, struct FTW *at) {
  (void)st;
  (void)at;
  if (type == FTW_F && ends_with(path, "_spec.lua") && file_count < FILES_MAX) {
    files[file_count] = strdup(path);
    file_count += files[file_count] != NULL;
  }
  return 0;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static int find_files(const struct arguments *a, const char *what) {
  struct stat st;
  char *spec = NULL;
  if (stat(what, &st) != 0)
    return complain(a, EXIT_FAILED, "%s: %s", what, strerror(errno));
  if (S_ISDIR(st.st_mode)) {
    nftw(what, on_entry, 20, FTW_PHYS);
    qsort(files, file_count, sizeof *files, by_name);
    if (file_count == 0)
      return complain(a, EXIT_FAILED, "%s has no spec in it: NAME_spec.lua beside NAME.lua", what);
    return EXIT_DONE;
  }
  if (!ends_with(what, ".lua"))
    return complain(a, EXIT_USAGE, "%s is no plugin's file: NAME.lua, or NAME_spec.lua", what);
  if (!ends_with(what, "_spec.lua")) {
    if (asprintf(&spec, "%.*s_spec.lua", (int)strlen(what) - 4, what) < 0)
      return complain(a, EXIT_FAILED, "out of memory");
    if (access(spec, R_OK) != 0) {
      int code = complain(a, EXIT_FAILED, "%s has no spec: %s: %s", what, spec, strerror(errno));
      free(spec);
      return code;
    }
  }
  files[file_count++] = spec ? spec : strdup(what);
  return EXIT_DONE;
}

static int run(const struct arguments *a) {
  struct report r = {.arguments = a, .json = arguments_flag(a, "json")};
  int status = arguments_number(a, "seed", 0, SEED_MAX, (long)(clock_random() % SEED_MAX), &r.seed);
  for (size_t i = 0; status == EXIT_DONE && i < a->count; i++)
    status = find_files(a, a->items[i]);
  char *library = directories_library();
  if (status != EXIT_DONE || !library) {
    free(library);
    return status;
  }
  log_set_level(LOG_LEVEL_WARN);
  buf_text(&r.out, r.json ? "[" : "");
  for (size_t i = 0; i < file_count; i++) {
    run_file(&r, library, files[i]);
    free(files[i]);
  }
  if (r.json)
    buf_text(&r.out, "\n]\n");
  else if (r.failed)
    buf_format(&r.out, "\n%zu passed, %zu failed; the same again: --seed %ld\n", r.passed, r.failed,
               r.seed);
  else
    buf_format(&r.out, "\n%zu passed\n", r.passed);
  output_write(&r.out);
  buf_free(&r.out);
  free(library);
  if (r.passed + r.failed == 0)
    return complain(a, EXIT_FAILED, "no test has \"%s\" in its name",
                    arguments_option(a, "filter") ? arguments_option(a, "filter") : "");
  return r.failed ? EXIT_FAILED : EXIT_DONE;
}

const struct command command_test = {
    .name = "test",
    .arguments = "FILE...",
    .summary = "Run the tests of a plugin: no agent, no network, no waiting",
    .about = "FILE is a plugin (NAME.lua), its spec (NAME_spec.lua, beside it), or a directory: "
             "all specs below it.\n\nEach test has the plugin in a fresh isolate, with its real "
             "limits and the grants that the spec names. What it reaches outside is what the test "
             "says; time is the test's own, so that a hundred days pass in a moment; what is "
             "random is the same for the same seed. `plugins/README.md`, \"Testing one\", says "
             "how a spec is written.",
    .options =
        (const struct option[]){
            {"filter", 'f', "TEXT", "only tests that have TEXT in their name", false},
            {"seed", 0, "N", "of what is random in the tests (default: another one each time)",
             false},
            {0}},
    .examples = (const struct example[]){{"perigee test plugins/policy/gate.lua", "one plugin's"},
                                         {"perigee test plugins", "all that are there"},
                                         {0}},
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_MAX,
    .complete = "files",
    .local = true,
    .json = true,
    .run = run,
};
