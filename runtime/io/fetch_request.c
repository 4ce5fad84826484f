/* fetch_request: from options to an easy handle, and from one hop to the next. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/fetch_inside.h"

enum { CA_CACHE_S = 60 /* how long a replaced authority file may go unnoticed */ };

static void origin_free(struct origin *o) {
  curl_free(o->scheme);
  curl_free(o->host);
  curl_free(o->port);
  *o = (struct origin){0};
}

static bool host_is_literal(const char *host) {
  struct in_addr four;
  return host[0] == '[' || inet_pton(AF_INET, host, &four) == 1;
}

/* Reads `url`; `at` is left with it for further questions. */
static int origin_read(CURLU *at, const char *url, struct origin *o, struct fault *fault) {
  *o = (struct origin){0};
  CURLUcode code = curl_url_set(at, CURLUPART_URL, url, 0);
  if (code == CURLUE_OK)
    code = curl_url_get(at, CURLUPART_SCHEME, &o->scheme, 0);
  if (code == CURLUE_OK)
    code = curl_url_get(at, CURLUPART_HOST, &o->host, 0);
  if (code == CURLUE_OK)
    code = curl_url_get(at, CURLUPART_PORT, &o->port, CURLU_DEFAULT_PORT);
  if (code == CURLUE_OUT_OF_MEMORY) {
    fault_set(fault, -ENOMEM, "out of memory");
    return -ENOMEM;
  }
  if (code != CURLUE_OK) {
    fault_set(fault, -EINVAL, "\"%.200s\" is not a URL: %s", url, curl_url_strerror(code));
    return -EINVAL;
  }
  if (strcmp(o->scheme, "http") != 0 && strcmp(o->scheme, "https") != 0) {
    fault_set(fault, -EINVAL, "\"%.200s\": http:// or https:// expected", url);
    return -EINVAL;
  }
  o->literal = host_is_literal(o->host);
  return 0;
}

static bool origin_equal(const struct origin *a, const struct origin *b) {
  return strcmp(a->scheme, b->scheme) == 0 && strcasecmp(a->host, b->host) == 0 &&
         strcmp(a->port, b->port) == 0;
}

int fetch_origin(const char *url, char *host, size_t size, uint16_t *port, struct fault *fault) {
  struct origin o;
  CURLU *at = curl_url();
  if (!at)
    return fault_set(fault, -ENOMEM, "out of memory");
  int rc = origin_read(at, url, &o, fault);
  curl_url_cleanup(at);
  size_t length = rc == 0 ? strlen(o.host) : 0;
  bool bracketed = rc == 0 && o.host[0] == '[';
  if (rc == 0 && length >= size)
    rc = fault_set(fault, -EINVAL, "\"%.200s\": the host is too long", url);
  if (rc == 0) {
    snprintf(host, size, "%.*s", (int)(bracketed ? length - 2 : length), o.host + bracketed);
    *port = (uint16_t)strtoul(o.port, NULL, 10);
  }
  origin_free(&o);
  return rc;
}

/* ---- headers ---- */

static bool line_is(const char *line, const char *name) {
  size_t length = strlen(name);
  return strncasecmp(line, name, length) == 0 && (line[length] == ':' || line[length] == ';');
}

static bool headers_have(const struct curl_slist *list, const char *name) {
  for (; list; list = list->next)
    if (line_is(list->data, name))
      return true;
  return false;
}

static int headers_add(struct curl_slist **list, const char *line) {
  struct curl_slist *longer = curl_slist_append(*list, line);
  if (!longer)
    return -ENOMEM;
  *list = longer;
  return 0;
}

/* A line that the caller gave. libcurl takes "Name:" for "leave it out" and "Name;" for an empty
 * one. */
static int headers_add_given(struct curl_slist **list, const char *line, struct fault *fault) {
  size_t name = strcspn(line, ":");
  if (name == 0 || !line[name] || strpbrk(line, "\r\n") ||
      strcspn(line, " \t;\"(),/<>=?@[\\]{}") < name)
    return fault_set(fault, -EINVAL, "\"%.100s\" is not a header", line);
  if (line[name + 1 + strspn(line + name + 1, " \t")])
    return headers_add(list, line);
  char *empty = strndup(line, name + 1);
  if (!empty)
    return -ENOMEM;
  empty[name] = ';';
  int rc = headers_add(list, empty);
  free(empty);
  return rc;
}

static int headers_open(struct request *r, const struct fetch_options *options,
                        struct fault *fault) {
  int rc = headers_add(&r->headers, "Expect:"); /* no round trip for a 100 that few send */
  for (const char *const *h = options->headers; rc == 0 && h && *h; h++)
    rc = headers_add_given(&r->headers, *h, fault);
  if (rc == 0 && !headers_have(r->headers, "Content-Type"))
    rc = headers_add(&r->headers, "Content-Type:"); /* libcurl would call a body a form */
  if (rc == 0 && !headers_have(r->headers, "User-Agent"))
    rc = headers_add(&r->headers, "User-Agent: perigee/" PERIGEE_VERSION);
  return rc;
}

static bool line_is_any(const char *line, const char *const *names) {
  for (; *names; names++)
    if (line_is(line, *names))
      return true;
  return false;
}

/* Drops what another origin must not get, which is all that is not known to be harmless, as a token
 * may go by any name; and what went with a body that is sent no more. */
static int headers_strip(struct request *r, bool leaves, bool body) {
  static const char *const harmless[] = {
      "Accept", "Accept-Language", "Cache-Control", "Content-Type",
      "Expect", "If-None-Match",   "User-Agent",    NULL};
  static const char *const content[] = {"Content-Type", "Content-Length", "Transfer-Encoding",
                                        "Content-Encoding", NULL};
  struct curl_slist *kept = NULL;
  for (struct curl_slist *h = r->headers; h; h = h->next) {
    if ((leaves && !line_is_any(h->data, harmless)) || (body && line_is_any(h->data, content)))
      continue;
    if (headers_add(&kept, h->data) < 0) {
      curl_slist_free_all(kept);
      return -ENOMEM;
    }
  }
  curl_slist_free_all(r->headers);
  r->headers = kept;
  return 0;
}

/* ---- the easy handle ---- */

static void set_tls(CURL *easy, const struct tls_options *tls, const struct tls_held *held) {
  static const CURLoption options[] = {
      [TLS_CA] = CURLOPT_CAINFO, [TLS_CERT] = CURLOPT_SSLCERT, [TLS_KEY] = CURLOPT_SSLKEY};
  for (int i = 0; i < TLS_FILES; i++)
    if (tls->files[i])
      curl_easy_setopt(easy, options[i], tls_path(tls, held, i));
  curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT,
                   held->files[TLS_CA].fd < 0 ? (long)CA_CACHE_S : 0L);
  if (tls->insecure) {
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  }
}

static size_t body_wanted(char *to, size_t size, size_t count, void *arg) {
  struct fetch *f = arg;
  size_t have = f->out.length - f->out_taken, room = size * count;
  if (have == 0) {
    if (f->finished)
      return 0;
    f->send_paused = true;
    return CURL_READFUNC_PAUSE;
  }
  size_t n = have < room ? have : room;
  memcpy(to, f->out.data + f->out_taken, n);
  f->out_taken += n;
  if (f->out_taken == f->out.length) {
    fetch_release(f, f->out.length);
    buf_clear(&f->out);
    f->out_taken = 0;
    later_start(f->io, &f->deliver); /* the writer may go on */
  }
  return n;
}

static int set_method(struct fetch *f, const struct fetch_options *options) {
  CURL *easy = f->transfer.easy;
  const char *method = f->request.method;
  CURLcode code = CURLE_OK;
  if (options->send) {
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, body_wanted);
    curl_easy_setopt(easy, CURLOPT_READDATA, f);
  } else if (options->body || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)options->body_length);
    code = curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, options->body ? options->body : "");
  } else if (strcmp(method, "HEAD") == 0) {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    return 0;
  }
  if (code == CURLE_OK)
    code = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
  return code == CURLE_OK ? 0 : -ENOMEM;
}

static int request_check(const struct fetch_options *options, struct fault *fault) {
  size_t length = strlen(options->method);
  if (length == 0 || length >= sizeof((struct request *)0)->method ||
      strspn(options->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != length)
    return fault_set(fault, -EINVAL, "\"%.50s\" is not a method: capital letters expected",
                     options->method);
  if (options->unix_path && strlen(options->unix_path) > 107)
    return fault_set(fault, -ENAMETOOLONG, "%s: a socket's path has at most 107 bytes",
                     options->unix_path);
  if (!options->tls.files[TLS_CERT] != !options->tls.files[TLS_KEY])
    return fault_set(fault, -EINVAL, "a client certificate needs both cert and key");
  return 0;
}

static char *copy_of(const char *text, int *rc) {
  char *copy = text ? strdup(text) : NULL;
  if (text && !copy)
    *rc = -ENOMEM;
  return copy;
}

static bool holds_any(const struct request *r) {
  bool any = r->socket.fd >= 0;
  for (int i = 0; i < TLS_FILES; i++)
    any |= r->tls.files[i].fd >= 0;
  return any;
}

int request_open(struct fetch *f, const struct fetch_options *options, struct fault *fault) {
  struct request *r = &f->request;
  CURL *easy = f->transfer.easy;
  int rc = request_check(options, fault);
  if (rc < 0)
    return rc;
  snprintf(r->method, sizeof r->method, "%s", options->method);
  r->send = options->send;
  r->stream = options->stream;
  r->stay = options->stay;
  /* A body that was streamed cannot be sent again: its redirects are the caller's. */
  if (!options->no_redirects && !options->send)
    r->redirects_left = 1 + (options->redirects ? options->redirects : FETCH_REDIRECTS);
  r->limit = options->limit ? options->limit : FETCH_LIMIT;
  r->url = copy_of(options->url, &rc);
  r->server_name = copy_of(options->tls.server_name, &rc);
  r->unix_path = copy_of(options->unix_path, &rc);
  if (rc == 0 && r->unix_path &&
      (rc = beneath_target(r->unix_path, options->unix_root, &r->socket)))
    fault_set(fault, rc, "%s: %s", r->unix_path,
              rc == -EXDEV ? "a link leads out of the directory that is granted" : strerror(-rc));
  if (rc == 0)
    rc = tls_hold(&options->tls, &r->tls, fault);
  if (rc == 0)
    rc = headers_open(r, options, fault);
  if (rc == 0)
    rc = set_method(f, options);
  if (rc < 0)
    return fault && fault->code ? rc : fault_set(fault, rc, "out of memory");
  r->certified = options->tls.files[TLS_CERT] != NULL;
  set_tls(easy, &options->tls, &r->tls);
  uint64_t connect =
      options->connect_timeout_ms ? options->connect_timeout_ms : FETCH_CONNECT_TIMEOUT_MS;
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
  if (r->unix_path)
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH,
                     r->socket.fd < 0 ? r->unix_path : r->socket.path);
  /* libcurl knows a connection by its paths, and a held one's is a number that is used again. */
  if (options->fresh || holds_any(r)) {
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
  }
  CURLU *at = curl_url();
  if (!at)
    return fault_set(fault, -ENOMEM, "out of memory");
  rc = origin_read(at, r->url, &r->origin, fault);
  curl_url_cleanup(at);
  return rc;
}

void request_close(struct request *r) {
  free(r->url);
  free(r->server_name);
  free(r->unix_path);
  beneath_release(&r->socket);
  tls_release(&r->tls);
  origin_free(&r->origin);
  curl_slist_free_all(r->headers);
  curl_slist_free_all(r->resolve);
  curl_slist_free_all(r->connect_to);
}

int request_name(const struct fetch *f, char **name) {
  const struct origin *o = &f->request.origin;
  *name = NULL;
  if (f->request.unix_path || o->literal)
    return 0;
  *name = strdup(o->host);
  return *name ? 0 : -ENOMEM;
}

/* "+host:port:address,[address]": for this transfer, then as old as any other entry. */
static int route_resolve(struct request *r, const struct resolve_answer *answer) {
  struct buf line = {0};
  buf_format(&line, "+%s:%s:", r->origin.host, r->origin.port);
  for (size_t i = 0; i < answer->count; i++) {
    const struct resolve_record *a = &answer->records[i];
    buf_format(&line, a->family == AF_INET6 ? "%s[%s]" : "%s%s", i ? "," : "", a->target);
  }
  int rc = line.failed ? -ENOMEM : headers_add(&r->resolve, line.data);
  buf_free(&line);
  return rc;
}

/* The URL gets the server's name, for SNI and the certificate; CONNECT_TO leads to the host that
 * was asked for, which also keeps connections to different hosts apart in the pool. */
static int route_server_name(struct fetch *f) {
  struct request *r = &f->request;
  struct buf line = {0};
  char *url = NULL;
  int rc = -ENOMEM;
  CURLU *at = curl_url();
  if (at && curl_url_set(at, CURLUPART_URL, r->url, 0) == CURLUE_OK &&
      curl_url_set(at, CURLUPART_HOST, r->server_name, 0) == CURLUE_OK &&
      curl_url_get(at, CURLUPART_URL, &url, 0) == CURLUE_OK) {
    buf_format(&line, "::%s:%s", r->origin.host, r->origin.port);
    rc = line.failed ? -ENOMEM : headers_add(&r->connect_to, line.data);
    if (rc == 0 && !headers_have(r->headers, "Host")) {
      bool usual = strcmp(r->origin.port, "443") == 0;
      buf_clear(&line);
      buf_format(&line, usual ? "Host: %s" : "Host: %s:%s", r->origin.host, r->origin.port);
      rc = line.failed ? -ENOMEM : headers_add(&r->headers, line.data);
    }
    if (rc == 0)
      curl_easy_setopt(f->transfer.easy, CURLOPT_URL, url);
  }
  curl_free(url);
  curl_url_cleanup(at);
  buf_free(&line);
  return rc;
}

int request_route(struct fetch *f, const struct resolve_answer *answer) {
  struct request *r = &f->request;
  CURL *easy = f->transfer.easy;
  curl_slist_free_all(r->resolve);
  curl_slist_free_all(r->connect_to);
  r->resolve = r->connect_to = NULL;
  int rc = answer ? route_resolve(r, answer) : 0;
  if (rc == 0 && r->server_name && strcmp(r->origin.scheme, "https") == 0)
    rc = route_server_name(f);
  else
    curl_easy_setopt(easy, CURLOPT_URL, r->url);
  if (rc < 0)
    return rc;
  curl_easy_setopt(easy, CURLOPT_RESOLVE, r->resolve);
  curl_easy_setopt(easy, CURLOPT_CONNECT_TO, r->connect_to);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, r->headers);
  curl_easy_setopt(easy, CURLOPT_RESOLVER_START_DATA, r->origin.literal ? f : NULL);
  return 0;
}

int request_redirect(struct fetch *f, int status, const char *url) {
  struct request *r = &f->request;
  struct origin next;
  CURLU *at = curl_url();
  if (!at)
    return fault_set(&f->fault, -ENOMEM, "out of memory");
  int rc = origin_read(at, url, &next, &f->fault);
  curl_url_cleanup(at);
  char *copy = rc == 0 ? strdup(url) : NULL;
  if (!copy) {
    origin_free(&next);
    return rc < 0 ? rc : fault_set(&f->fault, -ENOMEM, "out of memory");
  }
  bool leaves = !origin_equal(&r->origin, &next);
  if (leaves && r->stay) {
    free(copy);
    origin_free(&next);
    return fault_set(&f->fault, -EACCES, "a redirect to \"%.200s\", which is not granted", url);
  }
  free(r->url);
  r->url = copy;
  bool becomes_get = (status == 303 && strcmp(r->method, "HEAD") != 0) ||
                     ((status == 301 || status == 302) && strcmp(r->method, "POST") == 0);
  origin_free(&r->origin);
  r->origin = next;
  if (becomes_get) {
    snprintf(r->method, sizeof r->method, "GET");
    curl_easy_setopt(f->transfer.easy, CURLOPT_CUSTOMREQUEST, NULL);
    curl_easy_setopt(f->transfer.easy, CURLOPT_HTTPGET, 1L);
  }
  if (leaves) { /* the certificate is a credential, too */
    free(r->server_name);
    r->server_name = NULL;
    r->certified = false;
    curl_easy_setopt(f->transfer.easy, CURLOPT_SSLCERT, NULL);
    curl_easy_setopt(f->transfer.easy, CURLOPT_SSLKEY, NULL);
  }
  if (headers_strip(r, leaves, becomes_get) < 0)
    return fault_set(&f->fault, -ENOMEM, "out of memory");
  return 0;
}
