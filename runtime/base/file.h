/* file: reading a regular file whole. Any thread; blocks as long as the disk does, and never for
 * somebody who might write into a pipe. */
#pragma once

#include <stddef.h>

struct buf;
struct stat;

/* To its end, not to its size: files of /proc say 0, and files grow. Appends to `out`, with a NUL
 * behind it. `st` may be NULL. 0, or negative errno: -EISDIR; -EINVAL: a pipe, socket or device;
 * -EFBIG: more than `limit` bytes. */
int file_read_whole(const char *path, size_t limit, struct buf *out, struct stat *st);
/* What that means, in words. */
const char *file_problem(int code);
