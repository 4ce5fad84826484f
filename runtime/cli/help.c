#include "cli/help.h"

#include "cli/arguments.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

static const struct {
  int code;
  const char *meaning;
} exit_codes[] = {{EXIT_DONE, "done"},
                  {EXIT_FAILED, "failed; a sentence on standard error says why"},
                  {EXIT_USAGE, "wrong usage"},
                  {EXIT_NOTHING, "nothing to pick"}};

void help_program(struct buf *out) {
  buf_text(out, "perigee: which endpoint to use next\n\nUsage: perigee COMMAND [options]\n\n");
  for (const struct command *const *c = commands; *c; c++)
    buf_format(out, "  %s%-11s%s %s\n", output_color("bold"), (*c)->name, output_color("off"),
               (*c)->summary);
  buf_text(out, "\n`perigee COMMAND --help` says more; `perigee --version` prints the version.\n");
}

static void write_option(const struct option *o, struct buf *out) {
  char left[64];
  int n = o->letter ? snprintf(left, sizeof left, "-%c, ", o->letter)
                    : snprintf(left, sizeof left, "    ");
  snprintf(left + n, sizeof left - (size_t)n, "--%s%s%s", o->name, o->argument ? " " : "",
           o->argument ? o->argument : "");
  buf_format(out, "  %-26s %s%s\n", left, o->about, o->repeats ? " (may be repeated)" : "");
}

static void write_exit_codes(const struct command *c, struct buf *out) {
  buf_text(out, "\nExit codes:");
  for (size_t i = 0; i < sizeof exit_codes / sizeof *exit_codes; i++)
    if (exit_codes[i].code != EXIT_NOTHING || c->nothing)
      buf_format(out, "%s %d %s", i ? "," : "", exit_codes[i].code, exit_codes[i].meaning);
  buf_char(out, '\n');
}

void help_command(const struct command *c, struct buf *out) {
  const struct option *o;
  buf_format(out, "Usage: perigee %s%s%s [options]\n\n%s.\n", c->name, *c->arguments ? " " : "",
             c->arguments, c->summary);
  if (*c->about)
    buf_format(out, "\n%s\n", c->about);
  buf_text(out, "\nOptions:\n");
  for (size_t i = 0; (o = command_option(c, i)); i++)
    write_option(o, out);
  if (c->examples)
    buf_text(out, "\nExamples:\n");
  for (const struct example *e = c->examples; e && e->line; e++)
    buf_format(out, "  %s\n      %s\n", e->line, e->about);
  write_exit_codes(c, out);
}

static int run(const struct arguments *a) {
  struct buf out = {0};
  if (arguments_flag(a, "man") && a->count)
    return complain(a, EXIT_USAGE, "--man is the whole page, without a command");
  if (arguments_flag(a, "man"))
    help_man(&out);
  else if (!a->count)
    help_program(&out);
  else if (!command_find(a->items[0]))
    return complain(a, EXIT_USAGE, "there is no command \"%s\"", a->items[0]);
  else
    help_command(command_find(a->items[0]), &out);
  output_write(&out);
  buf_free(&out);
  return EXIT_DONE;
}

const struct command command_help = {
    .name = "help",
    .arguments = "[COMMAND]",
    .summary = "Explain perigee, or one command",
    .about = "",
    .options =
        (const struct option[]){{"man", 0, NULL, "print the man page, for man -l -", false}, {0}},
    .arguments_max = 1,
    .complete = "commands",
    .local = true,
    .run = run,
};
