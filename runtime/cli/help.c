#include "cli/help.h"

#include "base/value.h"
#include "cli/arguments.h"
#include "cli/output.h"
#include "config/shape.h"

#include <stdio.h>
#include <string.h>

static const struct {
  int code;
  const char *meaning;
} exit_codes[] = {{EXIT_DONE, "done"},
                  {EXIT_FAILED, "failed"},
                  {EXIT_USAGE, "wrong usage"},
                  {EXIT_NOTHING, "nothing to pick"}};

enum { WIDTH = 80, OPTIONS_AT = 29, ABOUT_AT = 6 };

/* `text` in lines of at most WIDTH, the first from column `at` on and the others from `indent`; an
 * empty line in it stays one. Columns are counted in bytes: the texts are ASCII. */
static void write_wrapped(struct buf *out, const char *text, size_t at, size_t indent) {
  while (*text) {
    size_t word = strcspn(text, " \n"), gap = strspn(text + word, " \n");
    buf_add(out, text, word);
    at += word;
    text += word + gap;
    if (!*text)
      break;
    bool paragraph = gap == 2 && text[-1] == '\n';
    if (!paragraph && at + 1 + strcspn(text, " \n") <= WIDTH) {
      buf_char(out, ' ');
      at++;
      continue;
    }
    buf_format(out, "%s%*s", paragraph ? "\n\n" : "\n", (int)indent, "");
    at = indent;
  }
  buf_char(out, '\n');
}

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
  struct buf about = {0};
  buf_format(&about, "%s%s", o->about, o->repeats ? " (may be repeated)" : "");
  buf_format(out, "  %-26s ", left);
  write_wrapped(out, about.data ? about.data : "", OPTIONS_AT, OPTIONS_AT);
  buf_free(&about);
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
  if (*c->about) {
    buf_char(out, '\n');
    write_wrapped(out, c->about, 0, 0);
  }
  buf_text(out, "\nOptions:\n");
  for (size_t i = 0; (o = command_option(c, i)); i++)
    write_option(o, out);
  if (c->examples)
    buf_text(out, "\nExamples:\n");
  for (const struct example *e = c->examples; e && e->line; e++)
    buf_format(out, "  %s\n      %s\n", e->line, e->about);
  write_exit_codes(c, out);
}

void help_form(const struct value *form, struct buf *type, struct buf *fallback) {
  const struct value *choices = value_get(form, "of");
  const char *name = value_as_text(value_at(form, 0), "");
  if (strcmp(name, "choice") == 0)
    for (size_t i = 0; i < value_length(choices); i++)
      buf_format(type, "%s\"%s\"", i ? " or " : "", value_as_text(value_at(choices, i), ""));
  else
    buf_text(type, name);
  if (value_as_boolean(value_get(form, "off"), false))
    buf_text(type, " or false");
  const struct value *unsaid = value_at(form, 1);
  if (unsaid && !(value_kind(unsaid) == VALUE_TABLE && !value_length(unsaid)))
    value_to_json(unsaid, fallback);
}

static void write_option_of_configuration(void *arg, const char *path, const struct value *form) {
  struct buf *out = arg, type = {0}, fallback = {0};
  help_form(form, &type, &fallback);
  buf_format(out, "  %s%s%s (%s%s%s)\n      ", output_color("bold"), path, output_color("off"),
             type.data ? type.data : "", fallback.length ? ", default " : "",
             fallback.data ? fallback.data : "");
  write_wrapped(out, value_as_text(value_get(form, "about"), ""), ABOUT_AT, ABOUT_AT);
  buf_free(&type);
  buf_free(&fallback);
}

static void help_configuration(struct buf *out) {
  buf_text(out,
           "A configuration is a Lua file that returns a table. Beside Lua's safe parts it has "
           "env(NAME[, DEFAULT]),\nfile(PATH) and host (name, os, arch, cpus, memory, "
           "addresses).\n\n");
  shape_explain(write_option_of_configuration, out);
}

static int run(const struct arguments *a) {
  struct buf out = {0};
  if (arguments_flag(a, "man") && a->count)
    return complain(a, EXIT_USAGE, "--man is the whole page, without a command");
  if (arguments_flag(a, "man"))
    help_man(&out);
  else if (!a->count)
    help_program(&out);
  else if (strcmp(a->items[0], "configuration") == 0)
    help_configuration(&out);
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
    .arguments = "[COMMAND | configuration]",
    .summary = "Explain perigee, a command, or the configuration",
    .about = "`perigee help configuration` lists all that a configuration may hold.",
    .options =
        (const struct option[]){{"man", 0, NULL, "print the man page, for man -l -", false}, {0}},
    .arguments_max = 1,
    .complete = "commands",
    .local = true,
    .run = run,
};
