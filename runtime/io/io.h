/* io: asynchronous operations on one uv loop, without Lua: names, HTTP, sockets, processes, files.
 *
 * What holds for every operation of this folder:
 * - It is started, used and ended on the loop's thread only.
 * - Its callback comes exactly once, from the loop, never from within the call that started it.
 * - It has one owner. After its callback or its cancel the pointer is no longer valid; after a
 *   cancel there is no callback.
 * - Memory that holds uv handles is freed in their close callbacks, so it outlives a cancel by a
 *   turn of the loop.
 * - Errors are negative errno; times are milliseconds, and 0 means no deadline. */
#pragma once

#include <uv.h>

struct io; /* what all operations on a loop share: the resolver, the HTTP connections */

/* Takes nothing over; starts nothing before it is needed. From here on the process ignores SIGPIPE,
 * which a peer that went away would otherwise raise in libuv's and OpenSSL's writes. */
int io_new(uv_loop_t *loop, struct io **out);

/* Gives up the caller's hold. Operations are ended by their owners, before or after; with the last
 * of them gone (children that were cancelled are waited for) the rest is closed on the loop. Once
 * the loop has run dry nothing is left. NULL is allowed. */
void io_free(struct io *io);

/* How many operations, sockets, watchers and ending children there are now. */
size_t io_open(const struct io *io);

/* What a negative errno means: libuv's words, and of a limit which one it is and what to do. Valid
 * to the thread's next call. */
const char *io_reason(int code);
