#include "serve/answer.h"

#include "serve/json_pretty.h"
#include "serve/router.h"

#include <errno.h>
#include <inttypes.h>
#include <llhttp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { HEADERS_BYTES = 700 };  /* at most, of one answer */
enum { KEPT_BYTES = 1 << 20 }; /* what the scratch body may hold on to */

static const struct status_line {
  int status;
  const char *line;
} status_lines[] = {
    {200, "HTTP/1.1 200 OK\r\n"},
    {400, "HTTP/1.1 400 Bad Request\r\n"},
    {401, "HTTP/1.1 401 Unauthorized\r\n"},
    {403, "HTTP/1.1 403 Forbidden\r\n"},
    {404, "HTTP/1.1 404 Not Found\r\n"},
    {405, "HTTP/1.1 405 Method Not Allowed\r\n"},
    {408, "HTTP/1.1 408 Request Timeout\r\n"},
    {413, "HTTP/1.1 413 Content Too Large\r\n"},
    {414, "HTTP/1.1 414 URI Too Long\r\n"},
    {417, "HTTP/1.1 417 Expectation Failed\r\n"},
    {429, "HTTP/1.1 429 Too Many Requests\r\n"},
    {431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
    {501, "HTTP/1.1 501 Not Implemented\r\n"},
    {503, "HTTP/1.1 503 Service Unavailable\r\n"},
    {505, "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
    {500, "HTTP/1.1 500 Internal Server Error\r\n"}, /* and for any other */
};

static const char *status_line(int status) {
  const struct status_line *last = status_lines + sizeof status_lines / sizeof status_lines[0] - 1;
  const struct status_line *s = status_lines;
  while (s < last && s->status != status)
    s++;
  return s->line;
}

static void add_consul_headers(const struct exchange *x, struct buf *out) {
  buf_text(out, "Vary: Accept-Encoding\r\nX-Consul-Default-Acl-Policy: allow\r\n");
  if (x->content_hash)
    buf_format(out, "X-Consul-Contenthash: %016" PRIx64 "\r\n", x->content_hash);
  if (!x->index)
    return;
  buf_text(out, "X-Consul-Index: ");
  buf_integer(out, (int64_t)x->index);
  buf_text(out,
           x->known_leader ? "\r\nX-Consul-Knownleader: true" : "\r\nX-Consul-Knownleader: false");
  buf_text(out, "\r\nX-Consul-Lastcontact: 0\r\nX-Consul-Query-Backend: blocking-query\r\n");
  buf_text(out, x->stale_allowed ? "X-Consul-Effective-Consistency: stale\r\n"
                                 : "X-Consul-Effective-Consistency: leader\r\n");
}

void answer_bytes(struct exchange *x, int status, const char *type, const char *body,
                  size_t length) {
  struct buf *out = x->out;
  x->status = status;
  /* All or nothing: half an answer would break those that follow it on the connection. */
  if (buf_reserve(out, length + HEADERS_BYTES) != 0)
    return;
  buf_text(out, status_line(status));
  if (type) {
    buf_text(out, "Content-Type: ");
    buf_text(out, type);
    buf_add(out, "\r\n", 2);
  }
  buf_add(out, x->site->date, x->site->date_length);
  if (x->route && (x->route->flags & ROUTE_CONSUL))
    add_consul_headers(x, out);
  if (x->allow) {
    buf_text(out, "Allow: ");
    buf_text(out, x->allow);
    buf_add(out, "\r\n", 2);
  }
  if (!x->keep_alive)
    buf_text(out, "Connection: close\r\n");
  else if (x->http10)
    buf_text(out, "Connection: keep-alive\r\n");
  buf_text(out, "Content-Length: ");
  buf_integer(out, (int64_t)length);
  buf_add(out, "\r\n\r\n", 4);
  if (x->method != HTTP_HEAD)
    buf_add(out, body, length);
}

struct buf *answer_body(struct exchange *x) {
  struct buf *body = &x->site->body;
  if (body->capacity > KEPT_BYTES)
    buf_free(body);
  buf_clear(body);
  return body;
}

void answer_json(struct exchange *x, int status) {
  struct buf *body = &x->site->body;
  struct buf indented = {0};
  if (x->pretty && !body->failed) {
    json_indent(body->data, body->length, &indented);
    body->failed = indented.failed;
  }
  const struct buf *text = x->pretty ? &indented : body;
  if (body->failed)
    answer_errno(x, -ENOMEM, NULL);
  else
    answer_bytes(x, status, "application/json", text->data, text->length);
  buf_free(&indented);
}

void answer_text(struct exchange *x, int status, const char *format, ...) {
  char text[1200];
  va_list ap;
  va_start(ap, format);
  int n = vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  if (n < 0)
    n = 0;
  if ((size_t)n >= sizeof text)
    n = sizeof text - 1;
  answer_bytes(x, status, "text/plain; charset=utf-8", text, (size_t)n);
}

void answer_empty(struct exchange *x, int status) {
  answer_bytes(x, status, NULL, "", 0);
}

static int status_of(int error) {
  switch (error) {
  case -EINVAL:
  case -EPROTO:
  case -EEXIST:
  case -ESRCH:
    return 400;
  case -EACCES:
  case -EPERM:
    return 403;
  case -ENOENT:
    return 404;
  case -ENOMEM:
  case -EBUSY:
    return 503;
  case -ENOSYS:
  case -ENOTSUP:
    return 501;
  default:
    return 500;
  }
}

void answer_errno(struct exchange *x, int error, const char *text) {
  if (text && *text)
    answer_text(x, status_of(error), "%s", text);
  else if (error == -ENOMEM)
    answer_text(x, 503, "Out of memory.");
  else if (error == -ENOSPC)
    answer_text(x, 500, "The disk under the data directory is full: nothing was changed.");
  else
    answer_text(x, status_of(error), "The agent could not do this: %s.", strerror(-error));
}
