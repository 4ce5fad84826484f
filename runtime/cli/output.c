#include "cli/output.h"

#include "cli/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool output_is_terminal(void) {
  return isatty(STDOUT_FILENO);
}

const char *output_color(const char *color) {
  static const struct {
    const char *name, *code;
  } colors[] = {{"red", "\033[31m"}, {"green", "\033[32m"}, {"yellow", "\033[33m"},
                {"dim", "\033[2m"},  {"bold", "\033[1m"},   {"off", "\033[0m"}};
  const char *no_color = getenv("NO_COLOR");
  if (!output_is_terminal() || (no_color && *no_color))
    return "";
  for (size_t i = 0; i < sizeof colors / sizeof *colors; i++)
    if (strcmp(colors[i].name, color) == 0)
      return colors[i].code;
  return "";
}

void output_write(struct buf *b) {
  if (b->failed) {
    fputs("perigee: out of memory\n", stderr);
    exit(EXIT_FAILED);
  }
  for (size_t done = 0; done < b->length;) {
    ssize_t n = write(STDOUT_FILENO, b->data + done, b->length - done);
    if (n < 0 && errno == EPIPE)
      exit(EXIT_DONE);
    if (n < 0 && errno != EINTR) {
      fprintf(stderr, "perigee: cannot write to standard output: %s\n", strerror(errno));
      exit(EXIT_FAILED);
    }
    done += n > 0 ? (size_t)n : 0;
  }
  buf_clear(b);
}

void columns_add(struct columns *t, const char *format, ...) {
  char *cell = NULL;
  va_list ap;
  va_start(ap, format);
  if (vasprintf(&cell, format, ap) < 0)
    cell = NULL;
  va_end(ap);
  if (t->count == t->room) {
    size_t room = t->room ? t->room * 2 : 64;
    char **more = realloc(t->cells, room * sizeof *more);
    if (more) {
      t->cells = more;
      t->room = room;
    }
  }
  if (!cell || t->count == t->room) {
    free(cell);
    t->failed = 1;
    return;
  }
  t->cells[t->count++] = cell;
}

/* Characters, not bytes: UTF-8's continuation bytes take no column. */
static size_t width(const char *text) {
  size_t n = 0;
  for (; *text; text++)
    n += ((unsigned char)*text & 0xc0) != 0x80;
  return n;
}

void columns_print(struct columns *t, struct buf *out) {
  bool aligned = output_is_terminal();
  size_t widths[16] = {0};
  for (size_t i = 0; i < t->count; i++)
    if (width(t->cells[i]) > widths[i % t->columns])
      widths[i % t->columns] = width(t->cells[i]);
  for (size_t i = 0; i < t->count; i++) {
    size_t column = i % t->columns;
    bool last = column + 1 == t->columns;
    if (i < t->columns && !aligned)
      continue;
    if (i == 0)
      buf_text(out, output_color("bold"));
    buf_text(out, t->cells[i]);
    if (i + 1 == t->columns)
      buf_text(out, output_color("off"));
    if (aligned && !last)
      buf_format(out, "%*s", (int)(widths[column] - width(t->cells[i]) + 2), "");
    else
      buf_char(out, last ? '\n' : '\t');
  }
  for (size_t i = 0; i < t->count; i++)
    free(t->cells[i]);
  free(t->cells);
  out->failed |= t->failed;
  *t = (struct columns){0};
}
