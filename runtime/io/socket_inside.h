/* socket_inside: an open stream, as socket.c and socket_tls.c have it. */
#pragma once

#include "base/buf.h"
#include "io/stream.h"

struct tls;

struct socket {
  union stream stream;
  uv_timer_t read_deadline, write_deadline;
  unsigned handles; /* of the three above, still open */
  struct io *io;
  char *path;         /* socket_call's, or NULL */
  struct later later; /* a read whose outcome is there already */

  struct buf in; /* arrived and not yet read */
  size_t looked; /* bytes of `in` that hold no "\n" */
  int ended;     /* UV_EOF or the error that ended the reading side */
  enum socket_read_kind kind;
  size_t wanted;
  socket_read_fn read_done; /* NULL: nobody reads */
  void *read_arg;

  struct sending *sending; /* on its way, or NULL */
  int torn;                /* why writing is over */
  socket_done_fn write_done;
  void *write_arg;

  struct tls *tls;   /* NULL: in clear */
  struct buf sealed; /* arrived under TLS, on its way to it */
};

/* A write or shutdown outlives its socket until libuv reports on it. */
struct sending {
  union {
    uv_write_t write;
    uv_shutdown_t shutdown;
  };
  struct socket *socket; /* NULL once nobody waits */
  char data[];
};

/* socket_tls.c: bytes have arrived on a stream that is TLS; what TLS has to say by itself is sent,
 * and nobody waits for it; the session ends with its socket. */
void socket_tls_take(struct socket *s, const char *bytes, size_t n);
void socket_tls_flush(struct socket *s);
void socket_tls_close(struct socket *s); /* of one in clear nothing */
