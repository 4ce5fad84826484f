/* argument: what all bindings need to read their arguments and to say what went wrong. Any thread
 * that has an isolate. */
#pragma once

#include <lua.h>
#include <stdint.h>

/* nil, message, code. Pushes three and returns 3. `code` is an errno's name. */
int push_error(lua_State *L, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *errno_name(int error); /* ENOENT for -2 or 2; "EIO" for what has no name */

/* A number of seconds or a text like "500ms" at `index`, in nanoseconds; else raises. */
int64_t duration_check(lua_State *L, int index);

/* Pushes a buffer that the collector frees if the binding raises before it does. */
struct buf;
struct buf *push_buf(lua_State *L);
