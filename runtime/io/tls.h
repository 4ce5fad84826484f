/* tls: the client's side of one TLS session, between bytes in clear and bytes as they travel. It
 * knows no socket: who has one carries the bytes (socket.c). TLS 1.2 at least; the peer is verified
 * unless `insecure`. Control thread; making one reads the files of its options. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct fault;
struct tls;

struct tls_options {
  const char *ca; /* files in PEM; NULL: the system's authorities */
  const char *cert, *key;
  const char *server_name; /* asked for and verified instead of the host */
  bool insecure;           /* the peer is not verified */
};

/* A session with `host`, a name or an address (NULL: `server_name` has to say it, or `insecure`).
 * 0, or negative errno and `f`: -EINVAL for options that are wrong. */
int tls_new(const struct tls_options *options, const char *host, struct tls **out, struct fault *f);
void tls_free(struct tls *t); /* NULL is fine */

/* All of these return 0, -EAGAIN where the peer has to say more first, or -EPROTO with
 * tls_problem; and may leave bytes to send in tls_out. */
int tls_shake(struct tls *t);
/* What the peer has sent is to be shaken or read. */
int tls_arrived(struct tls *t, const void *bytes, size_t length);
/* Appends what has arrived, in clear; 1: the peer has ended the stream. */
int tls_read(struct tls *t, struct buf *into);
int tls_write(struct tls *t, const void *bytes, size_t length);
void tls_end(struct tls *t); /* nothing more will be written */

bool tls_is_up(const struct tls *t); /* the handshake is over */
/* Bytes to send; *length 0: none. Valid until tls_sent, which forgets them. */
const char *tls_out(const struct tls *t, size_t *length);
void tls_sent(struct tls *t);
const char *tls_problem(const struct tls *t); /* in words; "" when nothing failed */
