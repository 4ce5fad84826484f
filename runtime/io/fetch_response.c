/* fetch_response: what libcurl hands over, header by header and piece by piece. Its callbacks only
 * collect; fetch.c tells of it when libcurl has returned. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/fetch_inside.h"

enum { REDIRECT_BODY_MAX = 256 * 1024 };

static bool status_redirects(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static void block_begin(struct response *r, const char *line, size_t length) {
  buf_clear(&r->text);
  r->count = 0;
  const char *code = memchr(line, ' ', length);
  const char *reason = code ? memchr(code + 1, ' ', length - (size_t)(code + 1 - line)) : NULL;
  r->reason[0] = '\0';
  if (!reason)
    return;
  size_t n = length - (size_t)(reason + 1 - line);
  if (n >= sizeof r->reason)
    n = sizeof r->reason - 1;
  memcpy(r->reason, reason + 1, n);
  r->reason[n] = '\0';
}

/* Keeps a line as name NUL value NUL. */
static void block_add(struct response *r, const char *line, size_t length) {
  const char *colon = memchr(line, ':', length);
  if (!colon)
    return;
  if (r->count == r->capacity) {
    size_t capacity = r->capacity ? 2 * r->capacity : 32;
    size_t *offsets = realloc(r->offsets, 2 * capacity * sizeof *offsets);
    if (!offsets) {
      r->error = -ENOMEM;
      return;
    }
    r->offsets = offsets;
    r->capacity = capacity;
  }
  const char *value = colon + 1, *end = line + length;
  while (value < end && (*value == ' ' || *value == '\t'))
    value++;
  r->offsets[2 * r->count] = r->text.length;
  buf_add(&r->text, line, (size_t)(colon - line));
  buf_char(&r->text, '\0');
  r->offsets[2 * r->count + 1] = r->text.length;
  buf_add(&r->text, value, (size_t)(end - value));
  buf_char(&r->text, '\0');
  r->count++;
  if (r->text.failed)
    r->error = -ENOMEM;
}

static const char *block_find(const struct response *r, const char *name) {
  for (size_t i = 0; i < r->count; i++)
    if (strcasecmp(r->text.data + r->offsets[2 * i], name) == 0)
      return r->text.data + r->offsets[2 * i + 1];
  return NULL;
}

static void block_end(struct fetch *f) {
  struct response *r = &f->response;
  long status = 0;
  curl_easy_getinfo(f->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  if (status < 200 || r->head)
    return; /* on the way; or trailers */
  r->public.status = (int)status;
  if (status_redirects((int)status) && f->request.redirects_left && block_find(r, "Location")) {
    r->following = true;
    return;
  }
  r->head = true;
  if (f->request.stream)
    later_start(f->io, &f->deliver);
}

static size_t header_arrived(char *data, size_t size, size_t count, void *arg) {
  struct fetch *f = arg;
  struct response *r = &f->response;
  size_t all = size * count, length = all;
  while (length && (data[length - 1] == '\n' || data[length - 1] == '\r'))
    length--;
  if (length > 5 && memcmp(data, "HTTP/", 5) == 0)
    block_begin(r, data, length);
  else if (length == 0)
    block_end(f);
  else if (r->text.length + length > FETCH_HEADERS_LIMIT)
    r->error = -EMSGSIZE;
  else if (!(r->head && f->request.stream)) /* who streams has the headers already: no trailers */
    block_add(r, data, length);
  return r->error ? 0 : all;
}

static size_t body_arrived(char *data, size_t size, size_t count, void *arg) {
  struct fetch *f = arg;
  struct response *r = &f->response;
  size_t length = size * count;
  if (r->following) {
    r->discarded += length;
    r->error = r->discarded > REDIRECT_BODY_MAX ? -EMSGSIZE : 0;
    return r->error ? 0 : length;
  }
  if (f->request.stream) {
    if (r->body.length >= FETCH_WATER) {
      f->receive_paused = true;
      return CURL_WRITEFUNC_PAUSE;
    }
    later_start(f->io, &f->deliver);
  } else if (length > f->request.limit - r->body.length) {
    r->error = -EMSGSIZE;
    return 0;
  }
  r->error = fetch_charge(f, length);
  if (r->error)
    return 0;
  buf_reserve(&r->body, length + FETCH_PADDING);
  buf_add(&r->body, data, length);
  if (r->body.failed)
    r->error = -ENOMEM;
  return r->error ? 0 : length;
}

void response_open(struct fetch *f) {
  CURL *easy = f->transfer.easy;
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, header_arrived);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, f);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_arrived);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, f);
}

void response_close(struct response *r) {
  buf_free(&r->text);
  buf_free(&r->body);
  free(r->offsets);
  free(r->headers);
}

/* NULL: out of memory. */
const struct fetch_response *response_public(struct fetch *f) {
  struct response *r = &f->response;
  free(r->headers);
  r->headers = calloc(r->count + 1, sizeof *r->headers);
  if (!r->headers)
    return NULL;
  for (size_t i = 0; i < r->count; i++)
    r->headers[i] = (struct fetch_header){r->text.data + r->offsets[2 * i],
                                          r->text.data + r->offsets[2 * i + 1]};
  r->public.headers = r->headers;
  r->public.header_count = r->count;
  r->public.reason = r->reason;
  r->public.url = f->request.url;
  if (!f->request.stream) {
    static const char empty[FETCH_PADDING];
    r->public.body = r->body.data ? r->body.data : empty;
    r->public.body_length = r->body.length;
  }
  return &r->public;
}
