/* socket: stream connections and servers, TCP and unix. Nothing is read ahead of a reader and one
 * write is on its way at a time, so a peer that is too fast or too slow costs no memory.
 *
 * One read and one write may be pending at once, of different callers; a second of a kind is
 * -EBUSY. A write that did not end (deadline, cancel) leaves the stream torn: later ones fail. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct fault;
struct io;
struct socket;
struct socket_server;
struct tls;

enum {
  SOCKET_LINE_MAX = 64 * 1024,        /* longer lines are -EMSGSIZE */
  SOCKET_READ_MAX = 16 * 1024 * 1024, /* bytes of one read */
  SOCKET_NAME_SIZE = 128,
};

/* A connection, or why there is none: 0 or negative errno. The callee owns `s`. */
typedef void (*socket_open_fn)(void *arg, int status, struct socket *s);
/* `n` bytes at `data`, valid during the call; 0 = end of stream; or negative errno. */
typedef void (*socket_read_fn)(void *arg, ssize_t n, const char *data);
typedef void (*socket_done_fn)(void *arg, int status);

/* Tries the addresses of `host` (a name or a literal, no brackets) one after the other. */
struct socket_connect;
int socket_connect_tcp(struct io *io, const char *host, uint16_t port, uint64_t timeout_ms,
                       socket_open_fn done, void *arg, struct socket_connect **out);
/* Of a path in the next two, the first `root` bytes are a directory out of which no link may lead,
 * as in io/beneath.h (-EXDEV); 0: it may lead anywhere. */
int socket_connect_unix(struct io *io, const char *path, size_t root, uint64_t timeout_ms,
                        socket_open_fn done, void *arg, struct socket_connect **out);
void socket_connect_cancel(struct socket_connect *c);

/* SOME: what there is, at most `n` (0 = 64 KiB). LINE: up to and with its "\n". EXACTLY: `n` bytes,
 * where an end before them is -EPIPE; ALL: to the end, at most `n`, else -EMSGSIZE. At the end of
 * the stream a last line without "\n" is given as it is. */
enum socket_read_kind {
  SOCKET_SOME,
  SOCKET_LINE,
  SOCKET_EXACTLY,
  SOCKET_ALL,
  SOCKET_SHAKE /* what socket_start_tls waits for */
};
int socket_read(struct socket *s, enum socket_read_kind kind, size_t n, uint64_t timeout_ms,
                socket_read_fn done, void *arg);
void socket_read_cancel(struct socket *s); /* what had arrived stays for the next read */

/* From here on the stream is TLS. It takes `tls` over, also when it fails: -EBUSY while something
 * is pending, -EALREADY, -EPROTO where the peer has sent more in clear than was read, which anybody
 * on the way could have put there. Then it counts as a read: `done` with 0, or negative errno,
 * after which, as after a cancel, the stream is of no more use. */
int socket_start_tls(struct socket *s, struct tls *tls, uint64_t timeout_ms, socket_read_fn done,
                     void *arg);
/* What TLS failed for, in words, where the last error of `s` is -EPROTO; else NULL. */
const char *socket_problem(const struct socket *s);

/* Copies `data`; done when the kernel has taken all of it. */
int socket_write(struct socket *s, const void *data, size_t length, uint64_t timeout_ms,
                 socket_done_fn done, void *arg);
void socket_write_cancel(struct socket *s);
/* Ends the sending side, as a write does: at most one of both at once. */
int socket_shutdown(struct socket *s, socket_done_fn done, void *arg);

void socket_close(struct socket *s); /* what is pending is cancelled */

/* "127.0.0.1:80", "[::1]:80", "unix:/path" (or "unix:" when it has none), into SOCKET_NAME_SIZE
 * bytes. */
int socket_local_name(const struct socket *s, char *name);
int socket_peer_name(const struct socket *s, char *name);

/* `host` is a literal, or "" for any address; port 0 takes a free one. A path that nobody listens
 * on any more is taken over; one that is no socket is refused. */
int socket_listen_tcp(struct io *io, const char *host, uint16_t port, struct socket_server **out,
                      struct fault *f);
int socket_listen_unix(struct io *io, const char *path, size_t root, struct socket_server **out,
                       struct fault *f);
/* One at a time, else -EBUSY. Connections that nobody accepts wait in the kernel. */
int socket_accept(struct socket_server *v, uint64_t timeout_ms, socket_open_fn done, void *arg);
void socket_accept_cancel(struct socket_server *v);
int socket_server_name(const struct socket_server *v, char *name);
void socket_server_close(struct socket_server *v);
