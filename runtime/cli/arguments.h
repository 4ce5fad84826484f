/* arguments: a command line against a command's table. */
#pragma once

#include "cli/command.h"

#include <stdint.h>

enum { ARGUMENTS_MAX = 16, OPTIONS_MAX = 64 };

struct arguments {
  const struct command *command;
  const char *items[ARGUMENTS_MAX]; /* without options */
  size_t count;
  struct {
    const struct option *option;
    const char *value; /* "" for a flag */
  } given[OPTIONS_MAX];
  size_t given_count;
  bool help;
};

/* `--name VALUE`, `--name=VALUE`, `-x VALUE`, `-xVALUE`; options and arguments in any order; `--`
 * ends the options. 0, or EXIT_USAGE after a sentence on standard error, with a suggestion. */
int arguments_read(const struct command *command, int argc, char **argv, struct arguments *out);

/* The last value given, or NULL. */
const char *arguments_option(const struct arguments *a, const char *name);
/* The i-th value given of one that repeats, or NULL. */
const char *arguments_each(const struct arguments *a, const char *name, size_t i);
bool arguments_flag(const struct arguments *a, const char *name);

/* A whole number from `min` to `max`. 0, or EXIT_USAGE after a sentence. */
int arguments_number(const struct arguments *a, const char *name, long min, long max,
                     long otherwise, long *out);

/* A duration ("500ms", "2s"); `ns` is left as it is where the option is absent. 0, or EXIT_USAGE
 * after a sentence. */
int arguments_duration(const struct arguments *a, const char *name, int64_t *ns);

/* "perigee pick: TEXT" on standard error; returns `code`. */
int complain(const struct arguments *a, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
