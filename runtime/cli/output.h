/* output: what goes to standard output. A reader that went away (EPIPE) ends the program quietly;
 * any other failure to write is said, and is EXIT_FAILED. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>

bool output_is_terminal(void);
/* "" unless standard output is a terminal and NO_COLOR is not set. `color` is "red", "green",
 * "yellow", "dim", "bold" or "off". */
const char *output_color(const char *color);

/* Writes and empties `b` in as few write(2) as it takes. Does not return when that fails. */
void output_write(struct buf *b);

/* Rows of cells, one string each, NULL-terminated rows of `columns`; the first row is the header.
 * On a terminal aligned with the header; else separated by tabs, and without it, for scripts. */
struct columns {
  size_t columns, count, room;
  char **cells; /* owned */
  int failed;
};
void columns_add(struct columns *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void columns_print(struct columns *t, struct buf *out); /* and frees it */
