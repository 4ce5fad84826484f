/* socket_tls: a socket's stream, from some byte on, under TLS. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/socket_inside.h"
#include "io/tls.h"

static void sent_aside(uv_write_t *write, int status) {
  (void)status; /* who reads next finds out */
  free(ring_item(write, struct sending, write));
}

/* Sends what TLS has to say by itself: shaking hands, new keys, why it refuses. Nobody waits. */
void socket_tls_flush(struct socket *s) {
  size_t length;
  const char *bytes = tls_out(s->tls, &length);
  struct sending *sending = length ? malloc(sizeof *sending + length) : NULL;
  if (!sending) {
    s->ended = length ? -ENOMEM : s->ended;
    return;
  }
  sending->socket = NULL;
  memcpy(sending->data, bytes, length);
  tls_sent(s->tls);
  uv_buf_t out = uv_buf_init(sending->data, (unsigned)length);
  if (uv_write(&sending->write, &s->stream.stream, &out, 1, sent_aside) < 0)
    free(sending);
}

void socket_tls_take(struct socket *s, const char *bytes, size_t n) {
  int rc = tls_arrived(s->tls, bytes, n);
  if (rc == 0 && !tls_is_up(s->tls))
    rc = tls_shake(s->tls);
  if (rc == 0)
    rc = tls_read(s->tls, &s->in);
  socket_tls_flush(s);
  if (rc == 1)
    s->ended = UV_EOF;
  else if (rc != -EAGAIN)
    s->ended = s->torn = rc;
}

/* The peer is told that this is the end, where that costs no wait. */
void socket_tls_close(struct socket *s) {
  if (!s->tls)
    return;
  if (!s->torn)
    tls_end(s->tls);
  size_t length;
  uv_buf_t out = uv_buf_init((char *)tls_out(s->tls, &length), 0);
  out.len = length;
  if (length)
    uv_try_write(&s->stream.stream, &out, 1);
  tls_free(s->tls);
  s->tls = NULL;
}

static int shake_begin(struct socket *s, uint64_t timeout_ms, socket_read_fn done, void *arg) {
  int rc = tls_shake(s->tls);
  if (rc != -EAGAIN)
    return rc < 0 ? rc : -EPROTO; /* nobody has said anything yet */
  socket_tls_flush(s);
  return socket_read(s, SOCKET_SHAKE, 1, timeout_ms, done, arg);
}

int socket_start_tls(struct socket *s, struct tls *tls, uint64_t timeout_ms, socket_read_fn done,
                     void *arg) {
  int rc = s->read_done || s->sending ? -EBUSY
           : s->tls                   ? -EALREADY
           : s->torn                  ? s->torn
           : s->in.length             ? -EPROTO
                                      : 0;
  if (rc < 0) {
    tls_free(tls);
    return rc;
  }
  s->tls = tls;
  rc = shake_begin(s, timeout_ms, done, arg);
  if (rc < 0)
    s->ended = s->torn = rc;
  return rc;
}

const char *socket_problem(const struct socket *s) {
  return s->tls && *tls_problem(s->tls) ? tls_problem(s->tls) : NULL;
}
