/* backend NAME PORT: a small HTTP server on 127.0.0.1, as a service of yours would be one.
 * GET /healthz says ok, everything else says who answers. Knows nothing of perigee. */
#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static const char *name;

struct connection {
  uv_tcp_t tcp;
  llhttp_t parser;
  char path[64]; /* as much of it as is ever looked at */
  size_t path_length;
  char received[4096];
};

struct answer {
  uv_write_t write;
  int last; /* close the connection after it */
  char text[256];
};

static void closed(uv_handle_t *handle) {
  free(handle->data);
}

static void drop(struct connection *c) {
  if (!uv_is_closing((uv_handle_t *)&c->tcp))
    uv_close((uv_handle_t *)&c->tcp, closed);
}

static void written(uv_write_t *write, int status) {
  struct answer *a = write->data;
  if (status != 0 || a->last)
    drop(write->handle->data);
  free(a);
}

static int path_arrived(llhttp_t *parser, const char *at, size_t length) {
  struct connection *c = parser->data;
  size_t room = sizeof c->path - 1 - c->path_length;
  size_t taken = length < room ? length : room;
  memcpy(c->path + c->path_length, at, taken);
  c->path_length += taken;
  c->path[c->path_length] = '\0';
  return 0;
}

static int request_ended(llhttp_t *parser) {
  struct connection *c = parser->data;
  struct answer *a = malloc(sizeof *a);
  if (!a)
    return -1;
  char body[96];
  int healthy = strcmp(c->path, "/healthz") == 0;
  int length = snprintf(body, sizeof body, healthy ? "ok\n" : "hello from %s\n", name);
  a->write.data = a;
  a->last = !llhttp_should_keep_alive(parser);
  int total = snprintf(a->text, sizeof a->text,
                       "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
                       "Connection: %s\r\n\r\n%s",
                       length, a->last ? "close" : "keep-alive", body);
  uv_buf_t out = uv_buf_init(a->text, (unsigned)total);
  c->path_length = 0;
  if (uv_write(&a->write, (uv_stream_t *)&c->tcp, &out, 1, written) != 0) {
    free(a);
    return -1;
  }
  return 0;
}

static const llhttp_settings_t requests = {.on_url = path_arrived,
                                           .on_message_complete = request_ended};

static void give_room(uv_handle_t *handle, size_t hint, uv_buf_t *room) {
  struct connection *c = handle->data;
  *room = uv_buf_init(c->received, sizeof c->received);
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *bytes) {
  struct connection *c = stream->data;
  if (count < 0 || llhttp_execute(&c->parser, bytes->base, (size_t)count) != HPE_OK)
    drop(c);
}

static void connected(uv_stream_t *listener, int status) {
  struct connection *c = status == 0 ? calloc(1, sizeof *c) : NULL;
  if (!c)
    return;
  uv_tcp_init(listener->loop, &c->tcp);
  c->tcp.data = c;
  llhttp_init(&c->parser, HTTP_REQUEST, &requests);
  c->parser.data = c;
  if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 ||
      uv_read_start((uv_stream_t *)&c->tcp, give_room, received) != 0)
    drop(c);
}

int main(int argc, char **argv) {
  char *end = NULL;
  long port = argc == 3 ? strtol(argv[2], &end, 10) : 0;
  if (argc != 3 || *end || port < 1 || port > 65535) {
    fprintf(stderr, "usage: backend NAME PORT\n");
    return 2;
  }
  name = argv[1];

  struct sockaddr_in address;
  uv_tcp_t listener;
  uv_ip4_addr("127.0.0.1", (int)port, &address);
  uv_tcp_init(uv_default_loop(), &listener);
  int r = uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0);
  if (r == 0)
    r = uv_listen((uv_stream_t *)&listener, 64, connected);
  if (r != 0) {
    fprintf(stderr, "%s: 127.0.0.1:%ld: %s\n", name, port, uv_strerror(r));
    return 1;
  }
  printf("%s listens on 127.0.0.1:%ld\n", name, port);
  fflush(stdout);
  return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
