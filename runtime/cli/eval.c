#include "cli/api.h"
#include "cli/console.h"
#include "cli/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_input(const struct arguments *a, struct buf *out) {
  char chunk[16384];
  size_t n;
  while (out->length <= CODE_MOST && (n = fread(chunk, 1, sizeof chunk, stdin)) > 0)
    buf_add(out, chunk, n);
  buf_text(out, "");
  if (out->failed)
    return complain(a, EXIT_FAILED, "out of memory");
  if (out->length > CODE_MOST || strlen(out->data) < out->length)
    return complain(a, EXIT_FAILED, "standard input is to be text of at most 512 KiB");
  return EXIT_DONE;
}

static int show(const struct arguments *a, const struct console_answer *answer) {
  struct buf out = {0};
  if (arguments_flag(a, "json")) {
    char *json = json_dumps(answer->all, JSON_COMPACT | JSON_ENCODE_ANY);
    buf_format(&out, "%s\n", json ? json : "{}");
    free(json);
  } else if (*answer->text) {
    buf_format(&out, "%s\n", answer->text);
  }
  output_write(&out);
  buf_free(&out);
  if (answer->error && !arguments_flag(a, "json"))
    return complain(a, EXIT_FAILED, "%s", answer->error);
  return answer->error ? EXIT_FAILED : EXIT_DONE;
}

static int run(const struct arguments *a) {
  struct console c;
  struct console_answer answer = {0};
  struct buf input = {0};
  const char *code = a->items[0];
  int status = EXIT_DONE;
  if (strcmp(code, "-") == 0) {
    status = read_input(a, &input);
    code = input.data;
  }
  if (status == EXIT_DONE)
    status = console_begin(&c, a);
  if (status == EXIT_DONE)
    status = console_evaluate(&c, code, &answer);
  if (status == EXIT_DONE)
    status = show(a, &answer);
  console_answer_free(&answer);
  buf_free(&input);
  return status;
}

const struct command command_eval = {
    .name = "eval",
    .arguments = "CODE",
    .summary = "Evaluate Lua in the running agent",
    .about = "CODE is an expression or a chunk (-: from standard input). It runs as a task in a "
             "fresh isolate, which may do all but ffi, or in that of --plugin, whose table is "
             "`plugin`: what a plugin may call, it may, and wait for. What it prints and returns "
             "is printed. It has the limits that every plugin has: the agent goes on whatever it "
             "does. Only who runs the agent may, and root.",
    .options = (const struct option[]){CONSOLE_OPTIONS, {0}},
    .examples =
        (const struct example[]){
            {"perigee eval 'perigee.pick(\"web\")'", "what a plugin would pick"},
            {"perigee eval --plugin check/http 'plugin.options'", "what a plugin declares"},
            {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "",
    .json = true,
    .run = run,
};
