/* stream: what socket.c, socket_connect.c and socket_server.c share: one uv stream that is a TCP or
 * a pipe handle. */
#pragma once

#include "io/inside.h"
#include "io/socket.h"

union stream {
  uv_handle_t handle;
  uv_stream_t stream;
  uv_tcp_t tcp;
  uv_pipe_t pipe;
};

static inline int stream_init(uv_loop_t *loop, union stream *s, bool tcp) {
  return tcp ? uv_tcp_init(loop, &s->tcp) : uv_pipe_init(loop, &s->pipe, 0);
}

int stream_name(const union stream *s, bool peer, char *name);

/* A socket whose handle is initialised but not yet connected; socket_close frees it. */
int socket_new(struct io *io, bool tcp, struct socket **out);
union stream *socket_stream(struct socket *s);
/* Its own name, where the kernel's is not the one that was asked for. 0 or -ENOMEM. */
int socket_call(struct socket *s, const char *path);
