/* target: where to watch, as a gRPC-style name: `registry://authority/name?options`. A fault of one
 * quotes its text, without what may be a password in it, and names the character (1-based). Pure.
 */
#pragma once

#include <stddef.h>

struct fault;
struct target_form;

struct target_option {
  char *key, *value;
  size_t at; /* where in the text it begins, 0-based */
};

/* All parts are percent-decoded. */
struct target {
  char *registry;  /* "embedded", "static", the name of a registry in the configuration */
  char *authority; /* "" when there is none */
  char *name;      /* what comes after the slash, never "" */
  size_t authority_at, name_at;
  struct target_option *options; /* in the order written; no key twice */
  size_t option_count;
};

/* 0, -ENOMEM, or -EINVAL; one with a user in it is refused: credentials are the registry's. */
int target_parse(const char *text, struct target *out, struct fault *f);
void target_clear(struct target *t);
const char *target_option(const struct target *t, const char *key); /* NULL when absent */

/* What the registry's adapter says of its targets (NULL: nothing, and all is right), of the target
 * that was read from `text`. 0, -ENOMEM or -EINVAL. */
int target_check(const struct target *t, const char *text, const struct target_form *form,
                 struct fault *f);

/* -EINVAL: `text` goes wrong at `at`. */
int target_refuse(const char *text, const char *at, struct fault *f, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
