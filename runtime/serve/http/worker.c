#include "serve/http/worker.h"

#include "base/log.h"
#include "serve/http/connection.h"
#include "serve/http/listen.h"
#include "serve/exchange/picks.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STOP_MS = 1000 };

static void worker_end_retired(struct worker *w);

static void on_listener_ready(uv_stream_t *stream, int status) {
  if (status == 0)
    connection_accept(stream->data);
}

/* With the last connection goes what keeps the loop running. */
static void worker_settle(struct worker *w) {
  if (!w->draining || w->connection_count > 0 || uv_is_closing((uv_handle_t *)&w->grace))
    return;
  uv_close((uv_handle_t *)&w->grace, NULL);
  deadlines_close(&w->deadlines);
  picks_end(w->site.picks);
  mailbox_close(&w->inbox, NULL);
}

void worker_connection_gone(struct worker *w) {
  w->connection_count--;
  for (struct listener *l = w->listeners; l && !w->draining; l = l->next)
    if (l->waiting)
      connection_accept(l);
  worker_settle(w);
  worker_end_retired(w);
}

bool worker_leaves(struct worker *w) {
  return w->draining || atomic_load(&w->wish) != WORKER_SERVES;
}

static void on_grace_over(uv_timer_t *timer) {
  connections_close(timer->data);
}

static void on_listener_closed(uv_handle_t *handle) {
  free(handle->data);
}

/* `link` leads to it, and on to the next one. */
static void listener_close(struct listener **link) {
  struct listener *l = *link;
  *link = l->next;
  uv_close(&l->uv.handle, on_listener_closed);
}

static void worker_drain(struct worker *w) {
  w->draining = true;
  while (w->listeners)
    listener_close(&w->listeners);
  uv_timer_start(&w->grace, on_grace_over, STOP_MS, 0);
  w->site.parking = NULL;
  parking_end(&w->parking);
  connections_drain(w);
  worker_settle(w);
}

/* It has retired, and nobody needs it any more. */
static void worker_end_retired(struct worker *w) {
  int wish = WORKER_RETIRES;
  if (!w->draining && w->connection_count == 0 && w->asked == 0 &&
      atomic_compare_exchange_strong(&w->wish, &wish, WORKER_ENDS))
    worker_drain(w);
}

static void doors_close(struct doors *d) {
  for (unsigned i = 0; d && i < d->count; i++)
    close(d->fds[i]);
  free(d);
}

/* The new doors are open before the old ones close. */
static void worker_change_doors(struct worker *w) {
  struct doors *d = atomic_exchange(&w->doors, NULL);
  struct listener *old = w->listeners;
  if (!d || w->draining) {
    doors_close(d);
    return;
  }
  w->listeners = NULL;
  for (unsigned i = 0; i < d->count; i++) {
    int r = worker_listen(w, d->fds[i], false, false);
    if (r != 0)
      log_error("a worker cannot listen", LOG_S("error", uv_strerror(r)));
  }
  free(d);
  while (old) {
    struct listener *l = old;
    if (!l->unix_socket) {
      listener_close(&old);
      continue;
    }
    old = l->next;
    l->next = w->listeners;
    w->listeners = l;
  }
}

static void worker_rung(struct worker *w) {
  worker_change_doors(w);
  if (!w->draining)
    parking_look(&w->parking);
  worker_end_retired(w);
}

/* A stop that was asked for goes before the letters that came after it: their answers are the last
 * of their connections, and say so. */
static void on_letter(void *arg, struct letter *letter) {
  struct worker *w = arg;
  if (!w->draining && atomic_load(&w->wish) == WORKER_STOPS)
    worker_drain(w);
  struct errand *e = (struct errand *)letter;
  if (e && e->kind == ERRAND_PIECE) {
    connection_piece(e);
  } else if (e) {
    w->asked--;
    connection_answered(e);
    worker_end_retired(w);
  } else {
    worker_rung(w);
  }
}

static void worker_ring(void *arg) {
  struct worker *w = arg;
  mailbox_wake(&w->inbox);
}

static void worker_ask(struct site *site, struct errand *e) {
  struct worker *w = site->owner;
  if (errand_is_long(e))
    e->number = atomic_fetch_add(&w->commons->long_errands, 1) + 1;
  w->asked += e->kind != ERRAND_ROOM && e->kind != ERRAND_GONE;
  mailbox_post(w->commons->control, &e->letter); /* open for as long as a worker runs */
}

int worker_open(struct worker *w, struct commons *commons) {
  const struct server_limits *l = &commons->limits;
  const uint32_t spans[DEADLINE_KINDS] = {[DEADLINE_IDLE] = l->idle_ms,
                                          [DEADLINE_HEADER] = l->header_ms,
                                          [DEADLINE_BODY] = l->body_ms,
                                          [DEADLINE_WRITE] = l->write_ms,
                                          [DEADLINE_LINGER] = 2000};
  w->commons = commons;
  atomic_init(&w->wish, WORKER_SERVES);
  atomic_init(&w->doors, NULL);
  w->site.owner = w;
  w->site.ask = worker_ask;
  w->site.date_second = -1;
  w->site.ready = &commons->ready;
  int r = uv_loop_init(&w->loop);
  if (r != 0)
    return r;
  r = mailbox_open(&w->inbox, &w->loop, on_letter, w);
  if (r != 0) {
    uv_loop_close(&w->loop);
    return r;
  }
  uv_timer_init(&w->loop, &w->grace);
  w->grace.data = w;
  deadlines_open(&w->deadlines, &w->loop, spans, connection_expired);
  w->parking.ready = connection_unparked;
  w->parking.ring = worker_ring;
  w->parking.arg = w;
  parking_open(&w->parking, &w->loop, w->site.view, w->site.worker);
  w->site.parking = &w->parking;
  return 0;
}

int worker_listen(struct worker *w, int fd, bool unix_socket, bool may_operate) {
  struct listener *l = calloc(1, sizeof *l);
  int r = !l            ? UV_ENOMEM
          : unix_socket ? uv_pipe_init(&w->loop, &l->uv.pipe, 0)
                        : uv_tcp_init(&w->loop, &l->uv.tcp);
  if (r != 0) {
    free(l);
    close(fd);
    return r;
  }
  l->worker = w;
  l->unix_socket = unix_socket;
  l->may_operate = may_operate;
  l->uv.handle.data = l;
  l->next = w->listeners;
  w->listeners = l;
  r = unix_socket ? uv_pipe_open(&l->uv.pipe, fd) : uv_tcp_open(&l->uv.tcp, fd);
  if (r != 0) {
    close(fd);
    return r;
  }
  return uv_listen(&l->uv.stream, LISTEN_BACKLOG, on_listener_ready);
}

static void worker_run(void *arg) {
  struct worker *w = arg;
  uv_run(&w->loop, UV_RUN_DEFAULT);
  atomic_store(&w->over, true);
  w->commons->ended(w->commons->arg, w);
}

bool worker_is_over(struct worker *w) {
  return atomic_load(&w->over);
}

int worker_start(struct worker *w) {
  int r = uv_thread_create(&w->thread, worker_run, w);
  w->started = r == 0;
  return r;
}

void worker_move(struct worker *w, struct doors *doors) {
  doors_close(atomic_exchange(&w->doors, doors));
  mailbox_wake(&w->inbox);
}

void worker_retire(struct worker *w) {
  int wish = WORKER_SERVES;
  if (atomic_compare_exchange_strong(&w->wish, &wish, WORKER_RETIRES))
    mailbox_wake(&w->inbox);
}

bool worker_return(struct worker *w) {
  int wish = WORKER_RETIRES;
  return atomic_compare_exchange_strong(&w->wish, &wish, WORKER_SERVES) || wish == WORKER_SERVES;
}

void worker_look(struct worker *w) {
  if (parking_used(&w->parking))
    mailbox_wake(&w->inbox);
}

void worker_stop(struct worker *w) {
  atomic_store(&w->wish, WORKER_STOPS);
  mailbox_wake(&w->inbox);
}

void worker_close(struct worker *w) {
  if (w->started) {
    uv_thread_join(&w->thread);
  } else {
    worker_drain(w);
    uv_run(&w->loop, UV_RUN_DEFAULT);
  }
  doors_close(atomic_exchange(&w->doors, NULL));
  uv_loop_close(&w->loop);
  mailbox_free(&w->inbox);
  parking_free(&w->parking);
  picks_free(w->site.picks);
  site_free(&w->site);
}
