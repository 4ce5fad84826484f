/* fault: why something failed, in words that a user can act on.
 *
 * Functions whose failure a user may see take a `struct fault *` and return a negative errno. The
 * text names the file, line, field or peer and says what to do. It may be NULL where nobody asks.
 */
#pragma once

#include <stdarg.h>

struct fault {
  int code;       /* negative errno, 0 when nothing happened */
  char text[500]; /* one line, no newline at its end */
};

/* Fills `f` (when not NULL) and returns `code`, so that `return fault_set(f, -EINVAL, ...)` reads
 * well. */
int fault_set(struct fault *f, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
