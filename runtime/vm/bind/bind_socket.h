/* bind_socket: sockets and servers as plugins see them, the same for tcp and unix.
 *
 *     socket:read(n | "line" | "some" | "all" [, timeout])  bytes; nil at the end of the stream
 *     socket:write(...)       true, once the kernel has taken it all
 *     socket:shutdown()       no more will be written
 *     socket:starttls([{ ca, cert, key, server_name, verify }[, timeout]])
 *                             from here on it is TLS, and the peer is who was connected to
 *     socket:timeout(d)       for each read and write from here on; nil: none
 *     socket:peer(), socket:name()
 *     server:accept([timeout]), server:name(), server:port()
 *     :close() */
#pragma once

#include <lua.h>

#include "io/socket.h"
#include "vm/bind/bind_io.h"

void socket_types(lua_State *L); /* registers both; again does nothing */

/* connecting: an operation that ends with a socket. Start it with on_connected and the operation as
 * its argument; then `return connecting_wait(L, c)`. */
struct connecting {
  struct socket_connect *connect; /* at first */
  struct socket *socket;          /* then, while it shakes hands */
  struct task_wait *wait;
  struct tls *tls;     /* to shake hands with; NULL: in clear */
  int64_t deadline_ns; /* of both together; 0: none */
  char host[256];      /* "": whose certificate would be expected is not known */
  char name[300];      /* for messages */
};
struct connecting *connecting_new(uint64_t timeout_ms, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void on_connected(void *arg, int status, struct socket *s);
/* `rc` is what starting it returned. */
int connecting_wait(lua_State *L, struct connecting *c, int rc);
void connecting_free(struct connecting *c);

int push_server(lua_State *L, struct socket_server *v);
