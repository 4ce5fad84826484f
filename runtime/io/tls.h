/* tls: the client's side of one TLS session, between bytes in clear and bytes as they travel. It
 * knows no socket: who has one carries the bytes (socket.c). TLS 1.2 at least; the peer is verified
 * unless `insecure`. Control thread; making one reads the files of its options. */
#pragma once

#include "io/beneath.h"

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct fault;
struct tls;

enum tls_file { TLS_CA, TLS_CERT, TLS_KEY, TLS_FILES };
struct tls_options {
  const char *files[TLS_FILES]; /* in PEM; no TLS_CA: the system's authorities */
  size_t roots[TLS_FILES];      /* so much of each is a directory that no link leads out of; or 0 */
  const char *server_name;      /* asked for and verified instead of the host */
  bool insecure;                /* the peer is not verified */
};

/* Where the files of options lead to, held: those that have a root. */
struct tls_held {
  struct beneath files[TLS_FILES];
};
/* 0, or negative errno and `f`, which names the file: -EXDEV: a link leads out of its directory. To
 * be released in any case, once; all zero holds nothing. */
int tls_hold(const struct tls_options *options, struct tls_held *out, struct fault *f);
void tls_release(struct tls_held *held);
/* A path that leads to the file; NULL: the options name none. As long as both are there. */
const char *tls_path(const struct tls_options *options, const struct tls_held *held,
                     enum tls_file file);

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
