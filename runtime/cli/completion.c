#include "cli/arguments.h"
#include "cli/output.h"

#include <string.h>

/* In single quotes for a shell, which have no escapes of their own. */
static void quote(struct buf *out, const char *text) {
  buf_char(out, '\'');
  for (; *text; text++)
    if (*text == '\'')
      buf_text(out, "'\\''");
    else
      buf_char(out, *text);
  buf_char(out, '\'');
}

static void write_names(struct buf *out) {
  for (size_t i = 0; commands[i]; i++)
    buf_format(out, "%s%s", i ? " " : "", commands[i]->name);
}

static void write_options(const struct command *c, struct buf *out) {
  const struct option *o;
  for (size_t i = 0; (o = command_option(c, i)); i++)
    buf_format(out, "%s--%s", i ? " " : "", o->name);
}

static bool completes(const struct command *c, const char *what) {
  return strcmp(c->complete ? c->complete : "", what) == 0;
}

/* The command that lists what its arguments may be; NULL: none does. */
static const char *lister(const struct command *c) {
  return completes(c, "services")  ? "perigee services 2>/dev/null | cut -f1"
         : completes(c, "plugins") ? "perigee plugins 2>/dev/null | cut -f2"
                                   : NULL;
}

static bool has_words(const struct command *c) {
  return c->complete && *c->complete && !completes(c, "files") && !lister(c) &&
         !completes(c, "commands");
}

/* An option whose value is a file's or directory's name. */
static bool takes_path(const struct option *o) {
  return o->argument && (strcmp(o->argument, "DIR") == 0 || strcmp(o->argument, "FILE") == 0);
}

static void write_bash(struct buf *out) {
  buf_text(out, "# bash completion for perigee: `perigee completion bash`\n"
                "_perigee() {\n"
                "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                "  COMPREPLY=()\n"
                "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                "    COMPREPLY=($(compgen -W \"");
  write_names(out);
  buf_text(out,
           " --help --version\" -- \"$cur\"))\n    return\n  fi\n"
           "  case $prev in\n"
           "  --run-dir|--data-dir|--config|-c) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
           "  esac\n"
           "  local options= words=\n"
           "  case ${COMP_WORDS[1]} in\n");
  for (size_t i = 0; commands[i]; i++) {
    const struct command *c = commands[i];
    buf_format(out, "  %s)\n    options=\"", c->name);
    write_options(c, out);
    buf_text(out, "\"\n");
    if (lister(c))
      buf_format(out, "    words=$(%s)\n", lister(c));
    else if (completes(c, "commands")) {
      buf_text(out, "    words=\"");
      write_names(out);
      buf_text(out, "\"\n");
    } else if (completes(c, "files"))
      buf_text(out, "    [[ $cur == -* ]] || COMPREPLY=($(compgen -f -- \"$cur\"))\n");
    else if (has_words(c))
      buf_format(out, "    words=\"%s\"\n", c->complete);
    buf_text(out, "    ;;\n");
  }
  buf_text(out, "  esac\n"
                "  case $cur in\n"
                "  -*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
                "  *) [ -z \"$words\" ] || COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
                "  esac\n"
                "}\n"
                "complete -o filenames -F _perigee perigee\n");
}

/* A colon or bracket would end an _arguments spec's description. */
static void write_zsh_about(struct buf *out, const char *text) {
  for (; *text; text++) {
    if (strchr(":[]\\", *text))
      buf_char(out, '\\');
    if (*text == '\'')
      buf_text(out, "'\\''");
    else
      buf_char(out, *text);
  }
}

static void write_zsh_command(struct buf *out, const struct command *c) {
  const struct option *o;
  buf_format(out, "  %s)\n    _arguments", c->name);
  for (size_t i = 0; (o = command_option(c, i)); i++) {
    buf_format(out, " \\\n      '%s--%s%s[", o->repeats ? "*" : "", o->name,
               o->argument ? "=" : "");
    write_zsh_about(out, o->about);
    buf_char(out, ']');
    if (o->argument)
      buf_format(out, ":%s:%s", o->argument, takes_path(o) ? "_files" : "");
    buf_char(out, '\'');
  }
  if (lister(c))
    buf_format(out, " \\\n      \"1:%.*s:($(%s))\"", (int)strlen(c->complete) - 1, c->complete,
               lister(c));
  else if (completes(c, "files"))
    buf_text(out, " \\\n      '1:file:_files'");
  else if (completes(c, "commands")) {
    buf_text(out, " \\\n      '1:command:(");
    write_names(out);
    buf_text(out, ")'");
  } else if (has_words(c))
    buf_format(out, " \\\n      '1::(%s)'", c->complete);
  buf_text(out, "\n    ;;\n");
}

static void write_zsh(struct buf *out) {
  buf_text(out, "#compdef perigee\n# zsh completion for perigee: `perigee completion zsh`\n"
                "_perigee() {\n  local -a names\n  names=(\n");
  for (size_t i = 0; commands[i]; i++) {
    buf_format(out, "    '%s:", commands[i]->name);
    write_zsh_about(out, commands[i]->summary);
    buf_text(out, "'\n");
  }
  buf_text(out,
           "  )\n  if (( CURRENT == 2 )); then\n    _describe command names\n    return\n  fi\n"
           "  local name=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $name in\n");
  for (size_t i = 0; commands[i]; i++)
    write_zsh_command(out, commands[i]);
  buf_text(out, "  esac\n}\n_perigee \"$@\"\n");
}

static void write_fish_command(struct buf *out, const struct command *c) {
  const struct option *o;
  buf_format(out, "complete -c perigee -n __fish_use_subcommand -f -a %s -d ", c->name);
  quote(out, c->summary);
  buf_char(out, '\n');
  for (size_t i = 0; (o = command_option(c, i)); i++) {
    buf_format(out, "complete -c perigee -n '__fish_seen_subcommand_from %s' -l %s%s", c->name,
               o->name,
               !o->argument    ? ""
               : takes_path(o) ? " -r -F"
                               : " -x");
    if (o->letter)
      buf_format(out, " -s %c", o->letter);
    buf_text(out, " -d ");
    quote(out, o->about);
    buf_char(out, '\n');
  }
  buf_format(out, "complete -c perigee -n '__fish_seen_subcommand_from %s' ", c->name);
  if (lister(c))
    buf_format(out, "-f -a '(%s)'\n", lister(c));
  else if (completes(c, "files"))
    buf_text(out, "-F\n");
  else if (completes(c, "commands")) {
    buf_text(out, "-f -a '");
    write_names(out);
    buf_text(out, "'\n");
  } else
    buf_format(out, "-f -a '%s'\n", has_words(c) ? c->complete : "");
}

static void write_fish(struct buf *out) {
  buf_text(out, "# fish completion for perigee: `perigee completion fish`\n"
                "complete -c perigee -f\n"
                "complete -c perigee -n __fish_use_subcommand -l version -d 'print the version'\n");
  for (size_t i = 0; commands[i]; i++)
    write_fish_command(out, commands[i]);
}

static int run(const struct arguments *a) {
  static const struct {
    const char *shell;
    void (*write)(struct buf *out);
  } shells[] = {{"bash", write_bash}, {"zsh", write_zsh}, {"fish", write_fish}};
  struct buf out = {0};
  for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
    if (strcmp(shells[i].shell, a->items[0]) == 0) {
      shells[i].write(&out);
      output_write(&out);
      buf_free(&out);
      return EXIT_DONE;
    }
  return complain(a, EXIT_USAGE, "the shells are bash, zsh and fish, not \"%s\"", a->items[0]);
}

const struct command command_completion = {
    .name = "completion",
    .arguments = "SHELL",
    .summary = "Print a completion script for bash, zsh or fish",
    .about = "",
    .examples = (const struct example[]){{". <(perigee completion bash)", "for this shell"}, {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "bash zsh fish",
    .local = true,
    .run = run,
};
