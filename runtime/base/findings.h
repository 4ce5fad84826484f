/* findings: what is wrong with a file, all of it at once, each with its place. Zero-initialised is
 * empty. One owner. */
#pragma once

#include <stddef.h>

struct value;
struct buf;

struct finding {
  char *path; /* like `services.web.checks[2].interval`; "" for the file itself */
  char *file; /* "" when unknown */
  int line;   /* 0 when unknown */
  char *text; /* what was found, what was expected, and "did you mean ...?" */
};
struct findings {
  struct finding *items;
  size_t count, room;
  int failed; /* out of memory: one or more are missing */
};

/* `where` gives the place (NULL: none); `path` is copied. */
void findings_add(struct findings *all, const struct value *where, const char *path,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* By line within each file; files in the order in which they first appear, and findings of one line
 * as they were added. */
void findings_sort(struct findings *all);
/* One line each: `FILE:LINE: PATH: TEXT`, without the parts that are unknown. */
void findings_print(const struct findings *all, struct buf *out);
void findings_free(struct findings *all);
