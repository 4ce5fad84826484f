/* fetch: the life of a request: name, transfer, redirects, response. */
#include "io/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/fetch_inside.h"

static void fetch_gone(uv_handle_t *handle) {
  struct fetch *f = handle->data;
  struct io *io = f->io;
  free(f);
  io_drop(io);
}

int fetch_charge(struct fetch *f, size_t bytes) {
  struct fetch_budget *b = f->budget;
  if (!b)
    return 0;
  if (bytes > b->limit || b->held > b->limit - bytes)
    return -ENOBUFS;
  b->held += bytes;
  f->charged += bytes;
  return 0;
}

void fetch_release(struct fetch *f, size_t bytes) {
  if (!f->budget)
    return;
  f->budget->held -= bytes;
  f->charged -= bytes;
}

void fetch_close(struct fetch *f) {
  f->closed = true;
  fetch_release(f, f->charged);
  if (f->resolve)
    resolve_cancel(f->resolve);
  later_stop(&f->deliver);
  transfer_close(f->pool, &f->transfer);
  request_close(&f->request);
  response_close(&f->response);
  buf_free(&f->out);
  uv_close((uv_handle_t *)&f->timer, fetch_gone);
}

const struct fault *fetch_fault(const struct fetch *f) {
  return f->fault.code ? &f->fault : NULL;
}

/* ---- the end ---- */

static void fetch_over(struct fetch *f) {
  f->over = true;
  later_start(f->io, &f->deliver);
}

static void fetch_fail(struct fetch *f, int code, const char *reason) {
  const struct request *r = &f->request;
  transfer_stop(f->pool, &f->transfer);
  fault_set(&f->fault, code, "%s %s://%s:%s: %s", r->method, r->origin.scheme, r->origin.host,
            r->origin.port, reason);
  fetch_over(f);
}

static int curl_errno(const struct fetch *f, CURLcode code) {
  long os = 0;
  switch (code) {
  case CURLE_COULDNT_CONNECT:
    if (f->transfer.no_socket) /* of which libcurl has no errno: it tells one of something else */
      return f->transfer.no_socket;
    curl_easy_getinfo(f->transfer.easy, CURLINFO_OS_ERRNO, &os);
    return os ? -(int)os : -EHOSTUNREACH;
  case CURLE_OPERATION_TIMEDOUT:
    return -ETIMEDOUT;
  case CURLE_OUT_OF_MEMORY:
    return -ENOMEM;
  case CURLE_SEND_ERROR:
  case CURLE_RECV_ERROR:
  case CURLE_GOT_NOTHING:
  case CURLE_PARTIAL_FILE:
    return -ECONNRESET;
  case CURLE_SSL_CERTPROBLEM:
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_URL_MALFORMAT:
    return -EINVAL;
  case CURLE_COULDNT_RESOLVE_HOST: /* the guard in fetch_pool.c: a name that was not given */
  case CURLE_ABORTED_BY_CALLBACK:
    return -EIO;
  default:
    return -EPROTO;
  }
}

/* What to do about what a library says of certificates; NULL: it says nothing of them. */
static const char *tls_advice(const struct fetch *f, const char *said) {
  static const struct {
    const char *says, *advice;
  } known[] = {
      {"certificate has expired", "the server's certificate must be renewed there"},
      {"not yet valid", "the server's clock or this host's is wrong"},
      {"issuer certificate", "the server's certificate is not of the authority in tls.ca"},
      {"self-signed certificate", "the server's certificate is not of the authority in tls.ca"},
      {"self signed certificate", "the server's certificate is not of the authority in tls.ca"},
      {"certificate subject name", "tls.server_name says which name it has"},
      {"alert certificate expired", "the certificate in tls.cert must be renewed"},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strstr(said, known[i].says))
      return known[i].advice;
  if (!strstr(said, "alert") || (!strstr(said, "certificate") && !strstr(said, "unknown ca")))
    return NULL;
  return f->request.certified ? "the server does not take the certificate in tls.cert"
                              : "the server wants a certificate: tls.cert and tls.key";
}

static void fetch_fail_curl(struct fetch *f, CURLcode code) {
  char text[CURL_ERROR_SIZE + 96];
  const char *said = f->transfer.no_socket ? io_reason(f->transfer.no_socket)
                     : f->error_text[0]    ? f->error_text
                                           : curl_easy_strerror(code);
  const char *advice = tls_advice(f, said);
  switch (f->response.error) {
  case 0:
    snprintf(text, sizeof text, "%s%s%s", said, advice ? ": " : "", advice ? advice : "");
    fetch_fail(f, curl_errno(f, code), text);
    return;
  case -ENOBUFS:
    fetch_fail(f, -ENOBUFS, "all bodies together are over their limit");
    return;
  case -EMSGSIZE:
    if (f->response.head)
      snprintf(text, sizeof text, "the response is over its limit of %zu bytes", f->request.limit);
    else
      snprintf(text, sizeof text,
               "what is before the response's body is over its limit of %d bytes",
               FETCH_HEADERS_LIMIT);
    fetch_fail(f, -EMSGSIZE, text);
    return;
  default:
    fetch_fail(f, f->response.error, "out of memory");
  }
}

static void fetch_late(uv_timer_t *timer) {
  struct fetch *f = timer->data;
  if (!f->done) { /* of a read */
    fetch_read_fn done = f->read_done;
    f->read_done = NULL;
    done(f->read_arg, -ETIMEDOUT, NULL);
    return;
  }
  if (f->over) /* the answer came in this turn: deliver has it */
    return;
  if (f->resolve)
    resolve_cancel(f->resolve);
  const char *stage = f->resolve ? "no answer to its name in time" : "no response in time";
  f->resolve = NULL;
  fetch_fail(f, -ETIMEDOUT, stage);
}

/* ---- one hop ---- */

static void fetch_send(struct fetch *f, const struct resolve_answer *answer) {
  struct response *r = &f->response;
  r->following = r->head = false;
  r->discarded = 0;
  r->error = 0;
  f->error_text[0] = '\0';
  int rc = request_route(f, answer);
  if (rc == 0)
    rc = transfer_start(f->pool, &f->transfer, strcmp(f->request.origin.scheme, "http") == 0);
  if (rc < 0)
    fetch_fail(f, rc, uv_strerror(rc));
}

static void fetch_resolved(void *arg, const struct resolve_answer *answer) {
  struct fetch *f = arg;
  f->resolve = NULL;
  if (answer->status == -ENOENT)
    fetch_fail(f, -ENOENT, "no such name");
  else if (answer->status < 0)
    fetch_fail(f, answer->status, "its name could not be resolved");
  else
    fetch_send(f, answer);
}

/* Resolves where that is needed, then sends. Every failure is told from the loop. */
static void fetch_hop(struct fetch *f) {
  char *name;
  int rc = request_name(f, &name);
  if (rc == 0 && name)
    rc = resolve_start(f->io, name, RESOLVE_CONNECT, 0, fetch_resolved, f, &f->resolve);
  else if (rc == 0)
    fetch_send(f, NULL);
  free(name);
  if (rc < 0)
    fetch_fail(f, rc, rc == -EINVAL ? "not a name" : uv_strerror(rc));
}

static void fetch_redirect(struct fetch *f) {
  char *url = NULL;
  curl_easy_getinfo(f->transfer.easy, CURLINFO_REDIRECT_URL, &url);
  if (--f->request.redirects_left == 0)
    fetch_fail(f, -ELOOP, "too many redirects");
  else if (!url)
    fetch_fail(f, -EPROTO, "a redirect that leads nowhere");
  else if (request_redirect(f, f->response.public.status, url) < 0)
    fetch_over(f);
  else
    fetch_hop(f);
}

static void fetch_transferred(struct transfer *t) {
  struct fetch *f = ring_item(t, struct fetch, transfer);
  if (f->over)
    return;
  if (t->code != CURLE_OK)
    fetch_fail_curl(f, t->code);
  else if (f->response.following)
    fetch_redirect(f);
  else
    fetch_over(f);
}

/* ---- telling ---- */

static void deliver_response(struct fetch *f) {
  fetch_fn done = f->done;
  const struct fetch_response *response = NULL;
  if (!f->fault.code) {
    response = response_public(f);
    if (!response)
      fault_set(&f->fault, -ENOMEM, "out of memory");
  }
  f->done = NULL;
  uv_timer_stop(&f->timer);
  done(f->arg, f->fault.code, response, fetch_fault(f));
}

/* Lets libcurl go on with what was paused and has reason to go on. */
static void fetch_resume(struct fetch *f) {
  int stays = (f->receive_paused ? CURLPAUSE_RECV : 0) | (f->send_paused ? CURLPAUSE_SEND : 0);
  if (f->transfer.running)
    curl_easy_pause(f->transfer.easy, stays);
}

static void deliver_body(struct fetch *f) {
  fetch_read_fn done = f->read_done;
  struct buf taken = f->response.body;
  if (!taken.length && !f->over)
    return;
  f->read_done = NULL;
  uv_timer_stop(&f->timer);
  if (!taken.length) {
    done(f->read_arg, f->fault.code, NULL);
    return;
  }
  f->response.body = (struct buf){0};
  fetch_release(f, taken.length);
  if (f->receive_paused) {
    f->receive_paused = false;
    fetch_resume(f);
  }
  done(f->read_arg, (ssize_t)taken.length, taken.data);
  buf_free(&taken);
}

static void deliver_written(struct fetch *f) {
  fetch_write_fn done = f->write_done;
  if (f->out.length && !f->over)
    return;
  f->write_done = NULL;
  done(f->write_arg, f->over ? -EPIPE : 0);
}

/* Each callback may close the fetch, whose memory lasts to the end of the loop's turn. */
static void fetch_deliver(struct later *l) {
  struct fetch *f = ring_item(l, struct fetch, deliver);
  bool head = f->over || (f->request.stream && f->response.head);
  if (f->write_done)
    deliver_written(f);
  if (!f->closed && head && f->done)
    deliver_response(f);
  if (!f->closed && f->read_done)
    deliver_body(f);
}

/* ---- the caller's side ---- */

int fetch_start(struct io *io, const struct fetch_options *options, fetch_fn done, void *arg,
                struct fetch **out, struct fault *fault) {
  struct fault unasked;
  fault = fault ? fault : &unasked;
  *fault = (struct fault){0};
  struct fetch *f = calloc(1, sizeof *f);
  if (!f)
    return fault_set(fault, -ENOMEM, "out of memory");
  f->io = io;
  f->done = done;
  f->arg = arg;
  f->budget = options->budget;
  f->request.socket.fd = -1;
  later_init(&f->deliver, fetch_deliver);
  int rc = fetch_pool_of(io, &f->pool);
  if (rc < 0) {
    free(f);
    return fault_set(fault, rc, "out of memory");
  }
  uv_timer_init(io->loop, &f->timer);
  f->timer.data = f;
  io_hold(io);
  rc = transfer_open(f->pool, &f->transfer, fetch_transferred);
  if (rc < 0)
    fault_set(fault, rc, "out of memory");
  else
    rc = request_open(f, options, fault);
  if (rc == 0 && fetch_charge(f, options->body_length) < 0)
    rc = fault_set(fault, -ENOBUFS, "all bodies together are over their limit");
  if (rc < 0) {
    fetch_close(f);
    return rc;
  }
  curl_easy_setopt(f->transfer.easy, CURLOPT_ERRORBUFFER, f->error_text);
  response_open(f);
  if (options->timeout_ms)
    timer_start(&f->timer, fetch_late, options->timeout_ms);
  fetch_hop(f);
  *out = f;
  return 0;
}

int fetch_read(struct fetch *f, uint64_t timeout_ms, fetch_read_fn done, void *arg) {
  if (f->done || !f->request.stream)
    return -EINVAL;
  if (f->read_done)
    return -EBUSY;
  f->read_done = done;
  f->read_arg = arg;
  if (f->response.body.length || f->over)
    later_start(f->io, &f->deliver);
  else if (timeout_ms)
    timer_start(&f->timer, fetch_late, timeout_ms);
  return 0;
}

void fetch_read_cancel(struct fetch *f) {
  f->read_done = NULL;
  if (!f->done)
    uv_timer_stop(&f->timer);
}

int fetch_write(struct fetch *f, const void *data, size_t length, fetch_write_fn done, void *arg) {
  if (!f->request.send || f->finished)
    return -EINVAL;
  if (f->write_done)
    return -EBUSY;
  if (f->over)
    return -EPIPE;
  int rc = fetch_charge(f, length);
  if (rc < 0)
    return rc;
  buf_add(&f->out, data, length);
  if (f->out.failed)
    return -ENOMEM;
  f->write_done = done;
  f->write_arg = arg;
  if (length == 0)
    later_start(f->io, &f->deliver);
  f->send_paused = false;
  fetch_resume(f);
  return 0;
}

void fetch_write_cancel(struct fetch *f) {
  f->write_done = NULL; /* what was given is sent all the same */
}

void fetch_finish(struct fetch *f) {
  f->finished = true;
  f->send_paused = false;
  fetch_resume(f);
}
