/* source: a file of Lua, read whole. Any thread. */
#pragma once

#include <stddef.h>

struct buf;
struct fault;

enum { SOURCE_HASH_SIZE = 65 };

/* Ends with a NUL that is not counted. A file that somebody writes may be read half old, half new:
 * two readings in a row must agree. The buffer is the caller's in any case. 0, or negative errno
 * and `f` names the path. */
int source_read(const char *path, struct buf *source, struct fault *f);

/* Its sha256, in hexadecimal digits. */
void source_hash(const char *text, size_t length, char out[SOURCE_HASH_SIZE]);
