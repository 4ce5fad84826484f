#include "serve/http/worker.h"

#include "base/log.h"
#include "serve/http/connection.h"
#include "serve/exchange/picks.h"

#include <string.h>
#include <unistd.h>

enum { BACKLOG = 1024, STOP_MS = 1000 };

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
  for (unsigned i = 0; i < LISTENERS_MAX && !w->draining; i++)
    if (w->listeners[i].waiting)
      connection_accept(&w->listeners[i]);
  worker_settle(w);
}

static void on_grace_over(uv_timer_t *timer) {
  connections_close(timer->data);
}

static void on_listener_closed(uv_handle_t *handle) {
  struct listener *l = handle->data;
  l->worker = NULL;
}

static void listener_close(struct listener *l) {
  l->waiting = false;
  if (l->worker && !uv_is_closing(&l->uv.handle))
    uv_close(&l->uv.handle, on_listener_closed);
}

static void worker_drain(struct worker *w) {
  w->draining = true;
  for (unsigned i = 0; i < LISTENERS_MAX; i++)
    listener_close(&w->listeners[i]);
  uv_timer_start(&w->grace, on_grace_over, STOP_MS, 0);
  w->site.parking = NULL;
  parking_end(&w->parking);
  connections_drain(w);
  worker_settle(w);
}

/* The new door is open before the old one closes. */
static void worker_change_door(struct worker *w) {
  struct listener *old = NULL;
  int fd = atomic_exchange(&w->door, DOOR_SAME);
  if (fd == DOOR_SAME)
    return;
  for (unsigned i = 0; i < LISTENERS_MAX; i++) {
    struct listener *l = &w->listeners[i];
    if (l->worker && !l->unix_socket && !uv_is_closing(&l->uv.handle))
      old = l;
  }
  int r = fd == DOOR_NONE ? 0 : w->draining ? UV_ECANCELED : worker_listen(w, fd, false, false);
  if (r != 0)
    log_error("a worker cannot listen", LOG_S("error", uv_strerror(r)));
  if (old)
    listener_close(old);
}

static void worker_rung(struct worker *w) {
  worker_change_door(w);
  if (!w->draining)
    parking_look(&w->parking);
}

/* A stop that was asked for goes before the letters that came after it: their answers are the last
 * of their connections, and say so. */
static void on_letter(void *arg, struct letter *letter) {
  struct worker *w = arg;
  if (!w->draining && atomic_load(&w->stopping))
    worker_drain(w);
  struct errand *e = (struct errand *)letter;
  if (e && e->kind == ERRAND_PIECE)
    connection_piece(e);
  else if (e)
    connection_answered(e);
  else
    worker_rung(w);
}

static void worker_ring(void *arg) {
  struct worker *w = arg;
  mailbox_wake(&w->inbox);
}

static void worker_ask(struct site *site, struct errand *e) {
  struct worker *w = site->owner;
  if (e->kind == ERRAND_VISIT)
    e->number = atomic_fetch_add(&w->commons->visits, 1) + 1;
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
  atomic_init(&w->door, DOOR_SAME);
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
  struct listener *l = w->listeners;
  while (l->worker)
    l++;
  l->unix_socket = unix_socket;
  l->may_operate = may_operate;
  int r = unix_socket ? uv_pipe_init(&w->loop, &l->uv.pipe, 0) : uv_tcp_init(&w->loop, &l->uv.tcp);
  if (r != 0) {
    close(fd);
    return r;
  }
  l->worker = w;
  l->uv.handle.data = l;
  r = unix_socket ? uv_pipe_open(&l->uv.pipe, fd) : uv_tcp_open(&l->uv.tcp, fd);
  if (r != 0) {
    close(fd);
    return r;
  }
  return uv_listen(&l->uv.stream, BACKLOG, on_listener_ready);
}

static void worker_run(void *arg) {
  struct worker *w = arg;
  uv_run(&w->loop, UV_RUN_DEFAULT);
  w->commons->ended(w->commons->arg, w);
}

int worker_start(struct worker *w) {
  return uv_thread_create(&w->thread, worker_run, w);
}

void worker_move(struct worker *w, int fd) {
  int before = atomic_exchange(&w->door, fd);
  if (before >= 0)
    close(before);
  mailbox_wake(&w->inbox);
}

void worker_look(struct worker *w) {
  if (parking_used(&w->parking))
    mailbox_wake(&w->inbox);
}

void worker_stop(struct worker *w) {
  atomic_store(&w->stopping, true);
  mailbox_wake(&w->inbox);
}

void worker_close(struct worker *w, bool started) {
  if (started) {
    uv_thread_join(&w->thread);
  } else {
    worker_drain(w);
    uv_run(&w->loop, UV_RUN_DEFAULT);
  }
  int door = atomic_exchange(&w->door, DOOR_SAME);
  if (door >= 0)
    close(door);
  uv_loop_close(&w->loop);
  mailbox_free(&w->inbox);
  parking_free(&w->parking);
  picks_free(w->site.picks);
  site_free(&w->site);
}
