#include "serve/http/reader.h"

#include <ctype.h>
#include <string.h>

enum { KEPT_BYTES = 8192 }; /* what a reader between requests holds on to */

static int refuse(struct reader *r, int status, const char *reason) {
  r->phase = READER_REFUSED;
  r->status = status;
  r->reason = reason;
  return HPE_USER;
}

static int head_grows(struct reader *r, size_t length) {
  r->head_bytes += length;
  if (r->head_bytes <= r->head_limit)
    return 0;
  return refuse(r, 431, "The request's headers are too large for this agent.");
}

static int on_message_begin(llhttp_t *p) {
  struct reader *r = p->data;
  r->phase = READER_HEAD;
  return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t length) {
  struct reader *r = p->data;
  if (r->target.length + length > r->head_limit)
    return refuse(r, 414, "The request line is too long for this agent.");
  buf_add(&r->target, at, length);
  return r->target.failed ? refuse(r, 503, "Out of memory.") : head_grows(r, length);
}

static void keep(char *kept, unsigned *kept_length, const char *at, size_t length) {
  for (size_t i = 0; i < length; i++, (*kept_length)++)
    if (*kept_length < sizeof(((struct reader *)0)->field))
      kept[*kept_length] = (char)tolower((unsigned char)at[i]);
}

/* Only plugins look at headers, so only their requests' are kept. */
static void keep_header(struct reader *r, const char *at, size_t length, bool lower) {
  static const char below[] = "/v1/x/";
  if (r->target.length < sizeof below - 1 || memcmp(r->target.data, below, sizeof below - 1) != 0)
    return;
  size_t begin = r->headers.length;
  buf_add(&r->headers, at, length);
  for (size_t i = begin; lower && i < r->headers.length; i++)
    r->headers.data[i] = (char)tolower((unsigned char)r->headers.data[i]);
}

static int on_header_field(llhttp_t *p, const char *at, size_t length) {
  struct reader *r = p->data;
  keep_header(r, at, length, true);
  keep(r->field, &r->field_length, at, length);
  return head_grows(r, length + 4); /* ": " and the line's end */
}

static int on_header_field_complete(llhttp_t *p) {
  keep_header(p->data, ": ", 2, false);
  return 0;
}

static int on_header_value(llhttp_t *p, const char *at, size_t length) {
  struct reader *r = p->data;
  keep_header(r, at, length, false);
  keep(r->value, &r->value_length, at, length);
  return head_grows(r, length);
}

static bool kept_is(const char *kept, unsigned kept_length, const char *word) {
  return kept_length == strlen(word) && memcmp(kept, word, kept_length) == 0;
}

static int on_header_value_complete(llhttp_t *p) {
  struct reader *r = p->data;
  keep_header(r, "\n", 1, false);
  if (r->headers.failed)
    return refuse(r, 503, "Out of memory.");
  if (kept_is(r->field, r->field_length, "host")) {
    if (r->has_host)
      return refuse(r, 400, "The request has two Host headers.");
    r->has_host = true;
  } else if (kept_is(r->field, r->field_length, "expect")) {
    r->expects = true;
    r->continue_wanted = kept_is(r->value, r->value_length, "100-continue");
  }
  r->field_length = r->value_length = 0;
  return 0;
}

static int on_headers_complete(llhttp_t *p) {
  struct reader *r = p->data;
  if (p->http_major != 1 || p->http_minor > 1)
    return refuse(r, 505, "This agent speaks HTTP/1.1.");
  if (p->http_minor == 1 && !r->has_host)
    return refuse(r, 400, "An HTTP/1.1 request needs a Host header.");
  if (p->method == HTTP_CONNECT)
    return refuse(r, 405, "method CONNECT not allowed");
  if ((p->flags & F_CONTENT_LENGTH) && p->content_length > r->body_limit)
    return refuse(r, 413, "The request's body is too large for this agent.");
  if (r->expects && !r->continue_wanted)
    return refuse(r, 417, "This agent only knows the expectation 100-continue.");
  p->upgrade = 0; /* no upgrade is offered: an Upgrade header is ignored, as RFC 9110 allows */
  r->phase = READER_BODY;
  r->keep_alive = llhttp_should_keep_alive(p);
  return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t length) {
  struct reader *r = p->data;
  r->continue_wanted = false;
  if (r->body.length + length > r->body_limit)
    return refuse(r, 413, "The request's body is too large for this agent.");
  buf_add(&r->body, at, length);
  return r->body.failed ? refuse(r, 503, "Out of memory.") : 0;
}

static int on_message_complete(llhttp_t *p) {
  struct reader *r = p->data;
  r->phase = READER_WHOLE;
  return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void reader_init(struct reader *r, size_t head_limit, size_t body_limit) {
  *r = (struct reader){.head_limit = head_limit, .body_limit = body_limit};
  llhttp_init(&r->parser, HTTP_REQUEST, &settings);
  r->parser.data = r;
}

void reader_free(struct reader *r) {
  buf_free(&r->target);
  buf_free(&r->body);
  buf_free(&r->headers);
}

enum reader_phase reader_feed(struct reader *r, const char *bytes, size_t length, size_t *used) {
  llhttp_errno_t e = llhttp_execute(&r->parser, bytes, length);
  if (e == HPE_PAUSED && r->phase == READER_WHOLE) {
    *used = (size_t)(llhttp_get_error_pos(&r->parser) - bytes);
    llhttp_resume(&r->parser);
    return r->phase;
  }
  *used = length;
  if (e == HPE_OK) {
    /* What no callback sees, like blanks around a value, counts here: too much rather than little,
     * as a part of it may belong to the request before. */
    if (r->phase == READER_HEAD && length > r->head_limit)
      refuse(r, 431, "The request's headers are too large for this agent.");
  } else if (r->phase != READER_REFUSED) {
    const char *reason = llhttp_get_error_reason(&r->parser);
    refuse(r, 400, reason && *reason ? reason : "This is not an HTTP request.");
  }
  return r->phase;
}

void reader_next(struct reader *r) {
  r->phase = READER_IDLE;
  r->head_bytes = 0;
  r->has_host = r->expects = r->continue_wanted = false;
  r->field_length = r->value_length = 0;
  buf_clear(&r->target);
  buf_free(&r->headers);
  if (r->body.capacity > KEPT_BYTES)
    buf_free(&r->body);
  else
    buf_clear(&r->body);
}
