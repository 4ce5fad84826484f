#include "cli/help.h"

#include "base/value.h"
#include "config/shape.h"

#include <string.h>

/* roff's own characters as text: a backslash, a dash that must stay one, and a dot or quote that
 * would begin a request at the start of a line. */
static void write_text(struct buf *out, const char *text) {
  bool fresh = true;
  for (; *text; text++) {
    if (fresh && (*text == '.' || *text == '\''))
      buf_text(out, "\\&");
    if (*text == '\\')
      buf_text(out, "\\e");
    else if (*text == '-')
      buf_text(out, "\\-");
    else if (*text == '\n' && text[1] == '\n') {
      buf_text(out, "\n.PP\n");
      text++;
    } else
      buf_char(out, *text);
    fresh = *text == '\n';
  }
}

static void write_option(struct buf *out, const struct option *o) {
  buf_text(out, ".TP\n");
  if (o->letter)
    buf_format(out, "\\fB\\-%c\\fR, ", o->letter);
  buf_text(out, "\\fB\\-\\-");
  write_text(out, o->name);
  buf_text(out, "\\fR");
  if (o->argument)
    buf_format(out, " \\fI%s\\fR", o->argument);
  buf_char(out, '\n');
  write_text(out, o->about);
  buf_text(out, o->repeats ? " (may be repeated)\n" : "\n");
}

static void write_command(struct buf *out, const struct command *c) {
  buf_format(out, ".SS perigee %s ", c->name);
  write_text(out, c->arguments);
  buf_char(out, '\n');
  write_text(out, c->summary);
  buf_text(out, ".\n");
  if (*c->about) {
    buf_text(out, ".PP\n");
    write_text(out, c->about);
    buf_char(out, '\n');
  }
  for (const struct option *o = c->options; o && o->name; o++)
    write_option(out, o);
  for (const struct example *e = c->examples; e && e->line; e++) {
    buf_text(out, ".PP\n");
    write_text(out, e->about);
    buf_text(out, ":\n.PP\n.nf\n.RS\n");
    write_text(out, e->line);
    buf_text(out, "\n.RE\n.fi\n");
  }
}

static void write_setting(void *arg, const char *path, const struct value *form) {
  struct buf *out = arg, type = {0}, fallback = {0};
  help_form(form, &type, &fallback);
  buf_text(out, ".TP\n\\fB");
  write_text(out, path);
  buf_text(out, "\\fR (");
  write_text(out, type.data ? type.data : "");
  if (fallback.length) {
    buf_text(out, ", default ");
    write_text(out, fallback.data);
  }
  buf_text(out, ")\n");
  write_text(out, value_as_text(value_get(form, "about"), ""));
  buf_char(out, '\n');
  buf_free(&type);
  buf_free(&fallback);
}

void help_man(struct buf *out) {
  buf_text(out,
           ".TH PERIGEE 1 \"\" \"perigee " PERIGEE_VERSION "\" \"User Commands\"\n"
           ".SH NAME\nperigee \\- a programmable service\\-discovery agent\n"
           ".SH SYNOPSIS\n\\fBperigee\\fR \\fICOMMAND\\fR [\\fIoptions\\fR]\n"
           ".SH DESCRIPTION\n"
           "One agent runs on each host. It registers the host's services, checks their\n"
           "health, watches registries, and tells every process on the host which endpoint to\n"
           "use next.\n.SH COMMANDS\n");
  for (const struct command *const *c = commands; *c; c++)
    write_command(out, *c);
  buf_text(out, ".SH COMMON OPTIONS\n");
  for (const struct option *o = common_options; o->name; o++)
    write_option(out, o);
  buf_text(out,
           ".SH CONFIGURATION\nA Lua file that returns a table. Beside Lua's safe parts it has\n"
           "\\fBenv\\fR(NAME[, DEFAULT]), \\fBfile\\fR(PATH) and \\fBhost\\fR (name, os, arch,\n"
           "cpus, memory, addresses).\n");
  shape_explain(write_setting, out);
  buf_text(out, ".SH EXIT STATUS\n"
                ".TP\n0\ndone\n.TP\n1\nfailed; a sentence on standard error says why\n"
                ".TP\n2\nwrong usage\n.TP\n3\nnothing to pick\n"
                ".SH ENVIRONMENT\n.TP\n\\fBPERIGEE_RUN_DIR\\fR\nthe run directory\n"
                ".TP\n\\fBPERIGEE_LIBRARY\\fR\nthe directory of the plugins that ship\n"
                ".TP\n\\fBNO_COLOR\\fR\nno colour, when set and not empty\n"
                ".SH FILES\n.TP\n\\fI/etc/perigee/perigee.lua\\fR\n"
                "the configuration of \\fBperigee run\\fR when no other is named\n"
                ".TP\n\\fI/etc/perigee/plugins/KIND/NAME.lua\\fR\nplugins of this host\n");
}
