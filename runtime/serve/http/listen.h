/* listen: makes the sockets that the workers listen on. Control thread. */
#pragma once

#include <stdint.h>

struct fault;

/* `count` sockets bound to "HOST:PORT" with SO_REUSEPORT, not yet listening; the port 0 becomes one
 * for all, told in `*port`. -EADDRINUSE: the fault says who has it, and what to do. `ours`: a port
 * that this server listens on already, and may share with itself; 0: none. */
int listen_tcp(const char *address, uint16_t ours, int *fds, unsigned count, uint16_t *port,
               struct fault *f);
enum { LISTEN_BACKLOG = 1024 };
/* `count` more sockets where `like` is bound, not yet listening. 0, or a negative errno and none.
 */
int listen_more(int like, int *fds, unsigned count, struct fault *f);
/* A unix socket at `path`, mode 0600; a stale one in its place is removed, which is right while one
 * holds the run directory's lock. */
int listen_unix(const char *path, int *fd, struct fault *f);
