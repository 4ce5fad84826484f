/* params: a request's query, and what a path's last part says, decoded. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { PARAMS_MAX = 64 };

struct params {
  size_t count;
  struct param {
    const char *key, *value; /* into the text given to params_parse */
  } items[PARAMS_MAX];
};

/* Percent-decodes in place; `plus`: '+' is a blank. The new length, or -EINVAL: a bad escape, or a
 * NUL byte. Terminates the text. */
long percent_decode(char *text, size_t length, bool plus);

/* `a=1&b=&c` in `text`, which it changes, and which must outlive `p`. -EINVAL: a bad escape;
 * -E2BIG: more than PARAMS_MAX. */
int params_parse(struct params *p, char *text, size_t length);

/* The value of the first, "" when it has none; NULL: it is not there. */
const char *params_get(const struct params *p, const char *key);
/* The next value of a key that may be repeated: start with *at = 0; NULL after the last. */
const char *params_next(const struct params *p, const char *key, size_t *at);
