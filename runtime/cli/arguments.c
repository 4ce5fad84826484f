#include "cli/arguments.h"

#include "base/fault.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int complain(const struct arguments *a, int code, const char *format, ...) {
  va_list ap;
  fprintf(stderr, "perigee %s: ", a->command->name);
  va_start(ap, format);
  vfprintf(stderr, format, ap);
  va_end(ap);
  fputc('\n', stderr);
  if (code == EXIT_USAGE)
    fprintf(stderr, "Usage: perigee %s%s%s [options]; `perigee %s --help` has them.\n",
            a->command->name, *a->command->arguments ? " " : "", a->command->arguments,
            a->command->name);
  return code;
}

static int refuse_option(const struct arguments *a, const char *name, size_t length) {
  const char *names[OPTIONS_MAX];
  char word[80];
  size_t count = 0;
  const struct option *o;
  for (; (o = command_option(a->command, count)); count++)
    names[count] = o->name;
  snprintf(word, sizeof word, "%.*s", (int)length, name);
  const char *near = nearest_word(word, names, count);
  if (near)
    return complain(a, EXIT_USAGE, "there is no option --%s; did you mean --%s?", word, near);
  return complain(a, EXIT_USAGE, "there is no option --%s", word);
}

static const struct option *find_long(const struct command *c, const char *name, size_t length) {
  const struct option *o;
  for (size_t i = 0; (o = command_option(c, i)); i++)
    if (strlen(o->name) == length && strncmp(o->name, name, length) == 0)
      return o;
  return NULL;
}

static const struct option *find_short(const struct command *c, char letter) {
  const struct option *o;
  for (size_t i = 0; (o = command_option(c, i)); i++)
    if (o->letter == letter)
      return o;
  return NULL;
}

static int take_option(struct arguments *a, const struct option *o, const char *value) {
  if (!o->argument && value)
    return complain(a, EXIT_USAGE, "--%s takes no value", o->name);
  if (o->argument && !value)
    return complain(a, EXIT_USAGE, "--%s needs a value: --%s %s", o->name, o->name, o->argument);
  if (strcmp(o->name, "help") == 0)
    a->help = true;
  else if (!o->repeats && arguments_option(a, o->name))
    return complain(a, EXIT_USAGE, "--%s is given twice", o->name);
  if (a->given_count == OPTIONS_MAX)
    return complain(a, EXIT_USAGE, "more than %d options", OPTIONS_MAX);
  a->given[a->given_count].option = o;
  a->given[a->given_count++].value = value ? value : "";
  return 0;
}

/* One option at argv[i]; its value may be argv[i + 1]. Moves `i` to what was used last. */
static int read_option(struct arguments *a, int argc, char **argv, int *i) {
  const char *word = argv[*i], *value = NULL;
  const struct option *o;
  if (word[1] == '-') {
    size_t length = strcspn(word + 2, "=");
    o = find_long(a->command, word + 2, length);
    if (!o)
      return refuse_option(a, word + 2, length);
    if (word[2 + length] == '=')
      value = word + 2 + length + 1;
  } else {
    o = find_short(a->command, word[1]);
    if (!o)
      return complain(a, EXIT_USAGE, "there is no option -%c", word[1]);
    if (word[2])
      value = word + 2;
  }
  if (!value && o->argument && *i + 1 < argc)
    value = argv[++*i];
  return take_option(a, o, value);
}

/* What is to come after the arguments that are there. */
static const char *words_from(const struct arguments *a) {
  const char *words = a->command->arguments;
  for (size_t i = 0; i < a->count && strchr(words, ' '); i++)
    words = strchr(words, ' ') + 1;
  return words;
}

int arguments_read(const struct command *command, int argc, char **argv, struct arguments *out) {
  bool only_arguments = false;
  *out = (struct arguments){.command = command};
  for (int i = 0; i < argc; i++) {
    const char *word = argv[i];
    int status = 0;
    if (!only_arguments && strcmp(word, "--") == 0)
      only_arguments = true;
    else if (!only_arguments && word[0] == '-' && word[1])
      status = read_option(out, argc, argv, &i);
    else if (out->count == command->arguments_max || out->count == ARGUMENTS_MAX)
      status = complain(out, EXIT_USAGE, "one argument too many: \"%s\"", word);
    else
      out->items[out->count++] = word;
    if (status || out->help)
      return status;
  }
  if (out->count < command->arguments_min)
    return complain(out, EXIT_USAGE, "an argument is missing: %s", words_from(out));
  return 0;
}

const char *arguments_option(const struct arguments *a, const char *name) {
  for (size_t i = a->given_count; i-- > 0;)
    if (strcmp(a->given[i].option->name, name) == 0)
      return a->given[i].value;
  return NULL;
}

const char *arguments_each(const struct arguments *a, const char *name, size_t n) {
  for (size_t i = 0; i < a->given_count; i++)
    if (strcmp(a->given[i].option->name, name) == 0 && n-- == 0)
      return a->given[i].value;
  return NULL;
}

bool arguments_flag(const struct arguments *a, const char *name) {
  return arguments_option(a, name) != NULL;
}

int arguments_number(const struct arguments *a, const char *name, long min, long max,
                     long otherwise, long *out) {
  const char *text = arguments_option(a, name);
  char *end;
  *out = otherwise;
  if (!text)
    return 0;
  errno = 0;
  long n = strtol(text, &end, 10);
  if (errno || end == text || *end || n < min || n > max)
    return complain(a, EXIT_USAGE, "--%s is a number from %ld to %ld, not \"%s\"", name, min, max,
                    text);
  *out = n;
  return 0;
}

int arguments_duration(const struct arguments *a, const char *name, int64_t *ns) {
  const char *text = arguments_option(a, name);
  struct fault f = {0};
  if (text && duration_parse(text, ns, &f) != 0)
    return complain(a, EXIT_USAGE, "--%s: %s", name, f.text);
  return 0;
}
