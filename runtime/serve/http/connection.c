#include "serve/http/connection.h"

#include "serve/http/admission.h"
#include "serve/exchange/answer.h"
#include "serve/routes/dispatch.h"
#include "serve/routes/routes.h"
#include "serve/http/reader.h"
#include "serve/http/worker.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
  KEPT_BYTES = 65536,      /* what an idle connection's output buffer may hold on to */
  REFUSED_MAX = 256,       /* connections a worker tells that there are too many */
  LINGER_BYTES = 16 << 20, /* read and thrown away after a refusal, at most */
  HELD_BYTES = 65536,      /* read while an answer takes its time, to see that the client goes */
};

struct connection {
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } uv;
  struct worker *worker;
  struct connection *next, *previous;
  struct client *client; /* counted under this address; NULL: under none */
  struct deadline deadline;
  struct reader reader;
  struct exchange exchange;
  struct buf held;    /* came, and could not be read yet */
  struct buf out;     /* answered, and not yet given to the kernel */
  struct buf writing; /* in `write` */
  uv_write_t write;
  uv_shutdown_t shutdown;
  struct errand *owed; /* a piece that was taken, whose sender waits for room; NULL: none */
  size_t lingered;
  bool may_operate, refused;
  bool reading;   /* uv_read_start is on */
  bool ended;     /* the client sent its last byte */
  bool finishing; /* after what is in `out`, no more */
  bool lingering; /* all is sent; waiting for the client to close */
  bool closed;
};

static void connection_close(struct connection *c);
static void connection_advance(struct connection *c);

static bool asks_long(const struct connection *c) {
  return c->exchange.errand && errand_is_long(c->exchange.errand);
}

/* Some answers may take their time, and so may news: whether anybody still waits is watched. */
static bool is_long(const struct connection *c) {
  return asks_long(c) || parked_is(&c->exchange.parked);
}

/* A piece goes back as what its sender is to know. */
static void piece_return(struct worker *w, struct errand *piece, enum errand_kind kind) {
  visit_answer_free(piece->answer);
  piece->answer = NULL;
  piece->kind = kind;
  w->site.ask(&w->site, piece);
}

/* Its client has gone. Without memory it goes on; a plugin learns of it by its next piece. */
static void errand_abandon(struct connection *c) {
  struct errand *e = c->owed ? c->owed : errand_new(ERRAND_GONE, NULL, NULL, NULL);
  c->owed = NULL;
  if (!e)
    return;
  e->number = c->exchange.errand->number;
  piece_return(c->worker, e, ERRAND_GONE);
}

static struct deadlines *deadlines_of(struct connection *c) {
  return &c->worker->deadlines;
}

/* --- the end --- */

static void on_closed(uv_handle_t *handle) {
  struct connection *c = handle->data;
  struct worker *w = c->worker;
  reader_free(&c->reader);
  buf_free(&c->held);
  buf_free(&c->out);
  buf_free(&c->writing);
  free(c);
  worker_connection_gone(w);
}

static void connection_close(struct connection *c) {
  struct worker *w = c->worker;
  if (c->closed)
    return;
  c->closed = true;
  if (asks_long(c))
    errand_abandon(c);
  if (c->exchange.errand)
    c->exchange.errand->connection = NULL; /* its answer goes to nobody */
  if (parked_is(&c->exchange.parked)) {
    parking_remove(&c->exchange.parked);
    counter_add(w->site.counters, COUNTER_UNPARKED, 1);
  }
  deadline_set(deadlines_of(c), &c->deadline, DEADLINE_NONE);
  if (c->client)
    client_leave(w->commons->clients, c->client);
  if (c->refused)
    w->refused_count--;
  *(c->previous ? &c->previous->next : &w->connections) = c->next;
  if (c->next)
    c->next->previous = c->previous;
  atomic_fetch_sub(&w->commons->connections, 1);
  counter_add(w->site.counters, COUNTER_CLOSED, 1);
  uv_close(&c->uv.handle, on_closed);
}

static void on_shutdown(uv_shutdown_t *request, int status) {
  (void)request;
  (void)status; /* whatever it was: the client closes, or the linger deadline does */
}

/* All is sent. What the client still sends is read for a while: closing on unread bytes makes the
 * kernel reset the connection, and the client loses the answer that it was to read. */
static void connection_linger(struct connection *c) {
  if (c->lingering)
    return;
  c->lingering = true;
  buf_free(&c->held);
  if (c->ended || uv_shutdown(&c->shutdown, &c->uv.stream, on_shutdown) != 0) {
    connection_close(c);
    return;
  }
  deadline_set(deadlines_of(c), &c->deadline, DEADLINE_LINGER);
}

/* --- output --- */

static bool blocked(const struct connection *c) {
  size_t unsent = c->out.length + c->writing.length;
  return exchange_waits(&c->exchange) || unsent >= c->worker->commons->limits.output_bytes;
}

static void on_written(uv_write_t *request, int status) {
  struct connection *c = request->data;
  if (c->closed)
    return;
  if (status != 0) {
    connection_close(c);
    return;
  }
  buf_free(&c->writing);
  connection_advance(c);
}

/* Gives the kernel what it takes now, and the rest to libuv. False: the connection is closed. */
static bool connection_flush(struct connection *c) {
  if (c->out.failed) { /* an answer is missing: nothing after it may be sent */
    connection_close(c);
    return false;
  }
  if (c->out.length == 0 || c->writing.length)
    return true;
  uv_buf_t all = uv_buf_init(c->out.data, (unsigned)c->out.length);
  int sent = uv_try_write(&c->uv.stream, &all, 1);
  if (sent < 0 && sent != UV_EAGAIN) {
    connection_close(c);
    return false;
  }
  size_t done = sent > 0 ? (size_t)sent : 0;
  counter_add(c->worker->site.counters, COUNTER_BYTES_OUT, c->out.length);
  if (done == c->out.length) {
    if (c->out.capacity > KEPT_BYTES)
      buf_free(&c->out);
    else
      buf_clear(&c->out);
    return true;
  }
  c->writing = c->out;
  c->out = (struct buf){0};
  uv_buf_t rest = uv_buf_init(c->writing.data + done, (unsigned)(c->writing.length - done));
  c->write.data = c;
  if (uv_write(&c->write, &c->uv.stream, &rest, 1, on_written) == 0)
    return true;
  connection_close(c);
  return false;
}

/* --- input --- */

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
  (void)suggested;
  struct connection *c = handle->data;
  *buffer = uv_buf_init(c->worker->input, INPUT_BYTES);
}

/* The handler has returned: with an answer, or to go on later. */
static void exchange_returned(struct connection *c) {
  struct exchange *x = &c->exchange;
  if (x->errand)
    x->errand->connection = c;
  if (exchange_waits(x))
    return;
  c->finishing |= !x->keep_alive;
  reader_next(&c->reader);
}

static void connection_request(struct connection *c) {
  struct exchange *x = &c->exchange;
  x->site = &c->worker->site;
  x->method = c->reader.parser.method;
  x->http10 = c->reader.parser.http_minor == 0;
  x->keep_alive = c->reader.keep_alive && !worker_leaves(c->worker);
  x->may_operate = c->may_operate;
  x->target = c->reader.target.data;
  x->target_length = c->reader.target.length;
  x->request_body = &c->reader.body;
  x->request_headers = &c->reader.headers;
  x->out = &c->out;
  exchange_run(x);
  exchange_returned(c);
}

static void connection_refuse(struct connection *c, int status, const char *text) {
  c->exchange.site = &c->worker->site;
  c->exchange.out = &c->out;
  exchange_refuse(&c->exchange, status, text);
  c->finishing = true;
}

/* Answers as many of the requests in `bytes` as it may; returns how much of it was used. */
static size_t connection_consume(struct connection *c, const char *bytes, size_t length) {
  size_t all = 0;
  while (all < length && !blocked(c) && !c->finishing) {
    size_t used = 0;
    enum reader_phase phase = reader_feed(&c->reader, bytes + all, length - all, &used);
    all += used;
    if (phase == READER_WHOLE)
      connection_request(c);
    else if (phase == READER_REFUSED)
      connection_refuse(c, c->reader.status, c->reader.reason);
  }
  if (c->reader.phase == READER_BODY && c->reader.continue_wanted) {
    c->reader.continue_wanted = false;
    buf_text(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
  }
  return all;
}

static enum deadline_kind deadline_wanted(const struct connection *c) {
  if (c->writing.length)
    return DEADLINE_WRITE;
  if (exchange_waits(&c->exchange))
    return DEADLINE_NONE; /* the control thread answers each errand, and who is parked has a time */
  if (c->reader.phase == READER_BODY)
    return DEADLINE_BODY;
  return c->reader.phase == READER_HEAD ? DEADLINE_HEADER : DEADLINE_IDLE;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);

/* Reading is on when nothing that came before waits. */
static void connection_set_reading(struct connection *c) {
  bool waits = blocked(c) && !(is_long(c) && c->held.length < HELD_BYTES);
  bool wanted = c->lingering || (!c->ended && !c->finishing && !waits);
  if (wanted == c->reading)
    return;
  c->reading = wanted;
  if (!wanted)
    uv_read_stop(&c->uv.stream);
  else if (uv_read_start(&c->uv.stream, on_allocate, on_read) != 0)
    connection_close(c);
}

/* After anything happened: sends, reads on what was held, and settles what it waits for. */
static void connection_advance(struct connection *c) {
  size_t used;
  do {
    if (!connection_flush(c))
      return;
    used = 0;
    if (c->held.length && !blocked(c) && !c->finishing) {
      used = connection_consume(c, c->held.data, c->held.length);
      memmove(c->held.data, c->held.data + used, c->held.length - used);
      c->held.length -= used;
      if (c->held.length == 0)
        buf_free(&c->held);
    }
  } while (used);
  bool sent = c->out.length == 0 && c->writing.length == 0;
  if (sent && c->owed) {
    piece_return(c->worker, c->owed, ERRAND_ROOM);
    c->owed = NULL;
  }
  if (sent && !exchange_waits(&c->exchange) && (c->finishing || c->ended)) {
    connection_linger(c);
  } else if (!c->lingering) {
    enum deadline_kind wanted = deadline_wanted(c);
    if (wanted != c->deadline.kind || wanted == DEADLINE_IDLE)
      deadline_set(deadlines_of(c), &c->deadline, wanted);
  }
  if (!c->closed)
    connection_set_reading(c);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer) {
  struct connection *c = stream->data;
  if (n == 0)
    return;
  if (n < 0) {
    /* An end of input may be half of one: what was asked before it is still answered. */
    c->ended = true;
    c->reading = false;
    uv_read_stop(stream);
    if (n != UV_EOF || c->lingering || is_long(c))
      connection_close(c);
    else
      connection_advance(c);
    return;
  }
  counter_add(c->worker->site.counters, COUNTER_BYTES_IN, (uint64_t)n);
  if (c->lingering) {
    c->lingered += (size_t)n;
    if (c->lingered > LINGER_BYTES)
      connection_close(c);
    return;
  }
  site_clock(&c->worker->site, uv_now(stream->loop));
  size_t used = connection_consume(c, buffer->base, (size_t)n);
  if (used < (size_t)n && !c->finishing) {
    buf_add(&c->held, buffer->base + used, (size_t)n - used);
    if (c->held.failed) {
      connection_close(c);
      return;
    }
  }
  connection_advance(c);
}

/* --- what others say --- */

void connection_answered(struct errand *e) {
  struct connection *c = e->connection;
  if (c) {
    site_clock(&c->worker->site, uv_now(&c->worker->loop));
    exchange_resume(&c->exchange, e);
    exchange_returned(c);
    connection_advance(c);
  }
  errand_free(e);
}

void connection_unparked(struct parked *p, bool over) {
  struct connection *c =
      (struct connection *)((char *)p - offsetof(struct connection, exchange.parked));
  site_clock(&c->worker->site, uv_now(&c->worker->loop));
  counter_add(c->worker->site.counters, COUNTER_UNPARKED, 1);
  c->exchange.keep_alive &= !worker_leaves(c->worker);
  exchange_again(&c->exchange, over);
  exchange_returned(c);
  connection_advance(c);
}

void connection_piece(struct errand *e) {
  struct connection *c = e->about->connection;
  if (!c) {
    struct worker *w = e->worker;
    piece_return(w, e, ERRAND_GONE);
    return;
  }
  site_clock(&c->worker->site, uv_now(&c->worker->loop));
  visit_piece(&c->exchange, e);
  if (c->owed)
    errand_free(c->owed); /* one was sent without waiting for room */
  c->owed = e;
  connection_advance(c);
}

void connection_expired(struct deadline *d, enum deadline_kind kind) {
  struct connection *c = (struct connection *)((char *)d - offsetof(struct connection, deadline));
  if (kind != DEADLINE_IDLE && kind != DEADLINE_LINGER)
    counter_add(c->worker->site.counters, COUNTER_TIMEOUTS, 1);
  if (kind == DEADLINE_HEADER || kind == DEADLINE_BODY) {
    site_clock(&c->worker->site, uv_now(&c->worker->loop));
    connection_refuse(c, 408, "The request did not arrive in time.");
    connection_advance(c);
  } else {
    connection_close(c);
  }
}

void connections_drain(struct worker *w) {
  for (struct connection *c = w->connections, *next; c; c = next) {
    next = c->next;
    c->exchange.keep_alive = false;
    if (c->reader.phase == READER_IDLE && !c->out.length && !c->writing.length && !c->lingering)
      connection_close(c);
  }
}

void connections_close(struct worker *w) {
  while (w->connections)
    connection_close(w->connections);
}

/* --- the beginning --- */

void connection_accept(struct listener *l) {
  struct worker *w = l->worker;
  struct connection *c = calloc(1, sizeof *c);
  int r = c ? (l->unix_socket ? uv_pipe_init(&w->loop, &c->uv.pipe, 0)
                              : uv_tcp_init(&w->loop, &c->uv.tcp))
            : UV_ENOMEM;
  l->waiting = r != 0; /* then it is taken when another one has gone */
  if (r != 0) {
    free(c);
    return;
  }
  c->uv.handle.data = c;
  c->worker = w;
  reader_init(&c->reader, w->commons->limits.head_bytes, w->commons->limits.body_bytes);
  c->next = w->connections;
  if (c->next)
    c->next->previous = c;
  w->connections = c;
  w->connection_count++;
  atomic_fetch_add(&w->commons->connections, 1);
  counter_add(w->site.counters, COUNTER_CONNECTIONS, 1);
  if (uv_accept(&l->uv.stream, &c->uv.stream) != 0) {
    connection_close(c);
    return;
  }
  if (!l->unix_socket)
    uv_tcp_nodelay(&c->uv.tcp, 1);
  c->may_operate = l->may_operate && admission_operates(&c->uv.handle);
  const char *text;
  int status = admission(w, &c->uv.handle, l->unix_socket, &c->client, &text);
  if (status != 0) {
    if (w->refused_count == REFUSED_MAX) {
      connection_close(c);
      return;
    }
    c->refused = true;
    w->refused_count++;
    site_clock(&w->site, uv_now(&w->loop));
    connection_refuse(c, status, text);
  }
  connection_advance(c);
}
