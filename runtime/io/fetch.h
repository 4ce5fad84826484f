/* fetch: one HTTP request and its response, with libcurl on the loop. Connections are pooled for
 * the whole loop. Names are resolved by io/resolve.h, never by libcurl, and redirects are followed
 * here, so that nothing in it can block the loop.
 *
 * A fetch belongs to its caller from fetch_start to fetch_close, also when it has failed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "io/tls.h"

struct fault;
struct fetch;
struct io;

enum {
  FETCH_LIMIT = 8 * 1024 * 1024,    /* bytes of a response's body */
  FETCH_HEADERS_LIMIT = 256 * 1024, /* bytes of a response's headers */
  FETCH_CONNECT_TIMEOUT_MS = 5000,
  FETCH_REDIRECTS = 10,
  FETCH_PADDING = 64,      /* readable bytes behind a collected body */
  FETCH_WATER = 64 * 1024, /* bytes of a streamed response held before the peer has to wait */
};

/* What the bodies of several fetches may hold together, of requests and responses: a plugin's, say,
 * whose memory limit does not see them. The owner of the fetches keeps it until they are closed. */
struct fetch_budget {
  size_t held, limit; /* bytes */
};

struct fetch_options {        /* all copied */
  const char *method, *url;   /* http:// or https:// */
  const char *const *headers; /* "Name: value", ends with NULL; or NULL */
  const void *body;           /* NULL: none */
  size_t body_length;
  bool send;   /* the body comes by fetch_write and fetch_finish instead */
  bool stream; /* the response's body is taken by fetch_read instead of collected */
  bool fresh;  /* a connection of its own, closed after use: what a health check wants to see */
  bool no_redirects;
  bool stay;                   /* a redirect to another host or port is -EACCES */
  unsigned redirects;          /* followed at most; 0 = FETCH_REDIRECTS */
  uint64_t connect_timeout_ms; /* 0 = FETCH_CONNECT_TIMEOUT_MS */
  uint64_t timeout_ms; /* from the start to the response (its head, when streaming); 0 = none */
  size_t limit;        /* 0 = FETCH_LIMIT; not for streams */
  struct fetch_budget *budget; /* NULL: none. Over it is -ENOBUFS */
  const char *unix_path;       /* connect there, whatever the URL's host */
  size_t unix_root;            /* so much of it is a directory that no link leads out of; or 0 */
  struct tls_options tls;
};

/* The host, without an IPv6 address's brackets, and the port that a request to `url` goes to. 0, or
 * as fetch_start would refuse it. */
int fetch_origin(const char *url, char *host, size_t size, uint16_t *port, struct fault *fault);

struct fetch_header {
  const char *name, *value;
};

/* Valid until fetch_close. */
struct fetch_response {
  int status;               /* 200, ... */
  const char *reason, *url; /* the URL after redirects */
  const struct fetch_header *headers;
  size_t header_count;
  const char *body; /* collected: NUL-terminated, may hold NULs; FETCH_PADDING more can be read */
  size_t body_length;
};

/* `error` 0 with a response, whatever its status; or a negative errno with `fault` saying why.
 * -ENOENT no such name, -ECONNREFUSED, -ETIMEDOUT, -ECONNRESET (closed before its end), -EPROTO
 * (TLS, or no HTTP), -EMSGSIZE over the limit, -ENOBUFS over the budget,
 * -ELOOP redirects. */
typedef void (*fetch_fn)(void *arg, int error, const struct fetch_response *response,
                         const struct fault *fault);
/* `n` bytes, valid during the call; 0 = the end; or negative errno. */
typedef void (*fetch_read_fn)(void *arg, ssize_t n, const char *data);
typedef void (*fetch_write_fn)(void *arg, int status);

/* 0 or negative errno, with `f` saying what is wrong with the options. */
int fetch_start(struct io *io, const struct fetch_options *options, fetch_fn done, void *arg,
                struct fetch **out, struct fault *f);

/* The next piece of a streamed body, after `done`. One at a time, else -EBUSY. */
int fetch_read(struct fetch *f, uint64_t timeout_ms, fetch_read_fn done, void *arg);
void fetch_read_cancel(struct fetch *f);

/* Of a request with `send`: copies `data`; done when it has been passed on. One at a time. May be
 * called before the response and after it. -EPIPE once the request is over. */
int fetch_write(struct fetch *f, const void *data, size_t length, fetch_write_fn done, void *arg);
void fetch_write_cancel(struct fetch *f);
void fetch_finish(struct fetch *f); /* the request's body is complete */

const struct fault *fetch_fault(const struct fetch *f); /* why it failed, or NULL */

void fetch_close(struct fetch *f); /* at any time; what is pending is cancelled */
