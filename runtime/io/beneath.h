/* beneath: where a path leads to, held, and not out of a directory: of links and of who changes
 * them meanwhile nothing is trusted. The directory itself may be a link. Any thread; blocks as the
 * disk does. */
#pragma once

#include <stddef.h>

struct beneath {
  int fd;         /* -1: nothing is held */
  char path[300]; /* leads there, whatever becomes of the names */
};

/* The first `root` bytes of `path` are the directory; 0: `path` may lead anywhere, and is itself
 * what is held. 0, or negative errno: -EXDEV: it leads out. To be released in any case. */
int beneath_target(const char *path, size_t root, struct beneath *out); /* what is there */
int beneath_place(const char *path, size_t root,
                  struct beneath *out); /* a name, in whose place something is put */
void beneath_release(struct beneath *b);
