/* worker: one thread of the server: a loop, its listeners, its connections, and the site that its
 * handlers work at. Started and stopped by the control thread; all else is its own thread's. */
#pragma once

#include "serve/http/clients.h"
#include "serve/http/deadline.h"
#include "serve/exchange/exchange.h"
#include "serve/exchange/mailbox.h"
#include "serve/http/limits.h"

struct worker;
struct connection;

/* What all workers share. */
struct commons {
  struct server_limits limits; /* no zeroes, but for the connections */
  struct clients *clients;
  _Atomic unsigned connections; /* of all workers; and how many they may be: */
  _Atomic unsigned connections_most, per_client_most;
  _Atomic uint64_t visits; /* counted, for their numbers */
  atomic_bool ready;
  struct mailbox *control;                    /* where errands go */
  void (*ended)(void *arg, struct worker *w); /* on the worker's thread, as its last act */
  void *arg;
};

enum { INPUT_BYTES = 65536, LISTENERS_MAX = 3 }; /* one of them is closing, at most */
enum { DOOR_NONE = -1, DOOR_SAME = -2 };

struct listener {
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } uv;
  struct worker *worker; /* NULL: the place is free */
  bool unix_socket;
  bool may_operate; /* what comes in here may operate the agent */
  bool waiting;     /* libuv holds a connection that there was no memory to take */
};

struct worker {
  struct site site;
  struct commons *commons;
  uv_loop_t loop;
  uv_thread_t thread;
  struct mailbox inbox; /* answered errands; woken without a letter: stop */
  atomic_bool stopping;
  atomic_int door; /* a socket to listen on instead of the TCP one; or as above */
  bool draining;   /* it has seen `stopping` */
  uv_timer_t grace;
  struct deadlines deadlines;
  struct parking parking;
  struct listener listeners[LISTENERS_MAX];
  struct connection *connections; /* all open ones */
  unsigned connection_count;
  unsigned refused_count;  /* of those, the ones being told that they are too many */
  char input[INPUT_BYTES]; /* what one read returns; used up before the next */
};

/* Makes a worker that is not running; its site's fields are the caller's to fill in, the view and
 * its number in it before that. */
int worker_open(struct worker *w, struct commons *commons);
/* Before it starts: `fd` is bound, not listening; the worker's from here on, also on failure. */
int worker_listen(struct worker *w, int fd, bool unix_socket, bool may_operate);
int worker_start(struct worker *w);
/* Any thread: listens on `fd` (bound, not listening; the worker's from here on, or DOOR_NONE), and
 * then no more on the TCP socket that it had. */
void worker_move(struct worker *w, int fd);
void worker_stop(struct worker *w); /* any thread: ends soon, at most 1 s */
void worker_look(struct worker *w); /* control thread: the view shows something new */
/* After `ended` (joins the thread), or instead of a start. */
void worker_close(struct worker *w, bool started);

/* For connections. */
void worker_connection_gone(struct worker *w);
