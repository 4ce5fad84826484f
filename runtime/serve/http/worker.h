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
  _Atomic uint64_t long_errands; /* counted, for their numbers */
  atomic_bool ready;
  struct mailbox *control;                    /* where errands go */
  void (*ended)(void *arg, struct worker *w); /* on the worker's thread, as its last act */
  void *arg;
};

enum { INPUT_BYTES = 65536 };

/* What the control thread wants of it. */
enum worker_wish {
  WORKER_SERVES,
  WORKER_RETIRES, /* its connections are told that the next answer is their last */
  WORKER_ENDS,    /* it had retired, and has none any more: its own word */
  WORKER_STOPS,
};

struct doors { /* sockets that listen, of TCP; one owner */
  unsigned count;
  int fds[];
};

struct listener {
  struct listener *next;
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } uv;
  struct worker *worker;
  bool unix_socket;
  bool may_operate; /* what comes in here may operate the agent */
  bool waiting;     /* libuv holds a connection that there was no memory to take */
};

struct worker {
  struct site site;
  struct commons *commons;
  uv_loop_t loop;
  uv_thread_t thread;
  struct mailbox inbox;          /* answered errands; woken without a letter: stop */
  bool started;                  /* the control thread's: it has a thread */
  atomic_bool over;              /* that has ended */
  _Atomic int wish;              /* enum worker_wish */
  _Atomic(struct doors *) doors; /* to listen on from now on; NULL: as before */
  bool draining;                 /* it takes nobody any more, and ends with its connections */
  uv_timer_t grace;
  struct deadlines deadlines;
  struct parking parking;
  struct listener *listeners;
  struct connection *connections; /* all open ones */
  unsigned connection_count;
  unsigned asked;          /* errands that are to come back */
  unsigned refused_count;  /* of those, the ones being told that they are too many */
  char input[INPUT_BYTES]; /* what one read returns; used up before the next */
};

/* Makes a worker that is not running; its site's fields are the caller's to fill in, the view and
 * its number in it before that. */
int worker_open(struct worker *w, struct commons *commons);
/* Before it starts: `fd` is bound; the worker's from here on, also on failure. */
int worker_listen(struct worker *w, int fd, bool unix_socket, bool may_operate);

/* The control thread. */
int worker_start(struct worker *w);
/* Listens on these, and then no more on the TCP sockets that it had. Takes them over. */
void worker_move(struct worker *w, struct doors *doors);
/* Ends when the last of its connections has: each is closed after its next answer. */
void worker_retire(struct worker *w);
bool worker_return(struct worker *w); /* serves again, or still; false: it is ending */
void worker_stop(struct worker *w);   /* ends soon, at most 1 s */
void worker_look(struct worker *w);   /* the view shows something new */
bool worker_is_over(struct worker *w);
/* When it is over (joins the thread), or instead of a start. */
void worker_close(struct worker *w);

/* For connections. */
void worker_connection_gone(struct worker *w);
bool worker_leaves(struct worker *w); /* the answer that is made now is its connection's last */
