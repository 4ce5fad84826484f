#include "serve/exchange/answer.h"

#include "base/clock.h"
#include "serve/json/json_pretty.h"
#include "serve/exchange/route.h"

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
    {201, "HTTP/1.1 201 Created\r\n"},
    {202, "HTTP/1.1 202 Accepted\r\n"},
    {204, "HTTP/1.1 204 No Content\r\n"},
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
    {500, "HTTP/1.1 500 Internal Server Error\r\n"},
    {501, "HTTP/1.1 501 Not Implemented\r\n"},
    {502, "HTTP/1.1 502 Bad Gateway\r\n"},
    {503, "HTTP/1.1 503 Service Unavailable\r\n"},
    {504, "HTTP/1.1 504 Gateway Timeout\r\n"},
    {505, "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
};

/* One that has no line here is a plugin's: its number says it all. */
static void add_status_line(struct buf *out, int status) {
  const struct status_line *s = status_lines,
                           *end = s + sizeof status_lines / sizeof status_lines[0];
  while (s < end && s->status != status)
    s++;
  if (s < end)
    buf_text(out, s->line);
  else
    buf_format(out, "HTTP/1.1 %d \r\n", status);
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

/* All but how long the body is. False: no memory, and nothing was added. */
static bool add_head(struct exchange *x, int status, const char *type, size_t room) {
  struct buf *out = x->out;
  const char *more = x->more_headers ? x->more_headers : "";
  x->status = status;
  /* All or nothing: half an answer would break those that follow it on the connection. */
  if (buf_reserve(out, room + strlen(more) + HEADERS_BYTES) != 0)
    return false;
  add_status_line(out, status);
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
  buf_text(out, more);
  if (!x->keep_alive)
    buf_text(out, "Connection: close\r\n");
  else if (x->http10)
    buf_text(out, "Connection: keep-alive\r\n");
  return true;
}

static bool has_body(const struct exchange *x, int status) {
  return x->method != HTTP_HEAD && status != 204 && status != 304;
}

void answer_bytes(struct exchange *x, int status, const char *type, const char *body,
                  size_t length) {
  struct buf *out = x->out;
  if (!add_head(x, status, type, length))
    return;
  if (status != 204) {
    buf_text(out, "Content-Length: ");
    buf_integer(out, (int64_t)length);
    buf_add(out, "\r\n", 2);
  }
  buf_add(out, "\r\n", 2);
  if (has_body(x, status))
    buf_add(out, body, length);
}

/* Whoever asks in HTTP/1.0 knows no chunks: the connection's end is the answer's. */
void answer_begin(struct exchange *x, int status) {
  x->keep_alive &= !x->http10;
  x->streaming = true;
  x->head_ns = clock_now_ns();
  if (!add_head(x, status, NULL, 0))
    return;
  if (has_body(x, status) && !x->http10)
    buf_text(x->out, "Transfer-Encoding: chunked\r\n");
  buf_add(x->out, "\r\n", 2);
}

void answer_more(struct exchange *x, const char *bytes, size_t length) {
  struct buf *out = x->out;
  if (length == 0 || !has_body(x, x->status))
    return;
  if (!x->http10)
    buf_format(out, "%zx\r\n", length);
  buf_add(out, bytes, length);
  if (!x->http10)
    buf_add(out, "\r\n", 2);
}

void answer_end(struct exchange *x, bool whole) {
  if (!whole)
    x->keep_alive = false;
  else if (has_body(x, x->status) && !x->http10)
    buf_text(x->out, "0\r\n\r\n");
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
