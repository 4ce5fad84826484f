/* server_inside: what the files of the server share. Not for others.
 *
 *   server.c    its making and end
 *   workers.c   its threads, and what they listen on
 *   errands.c   what workers ask, on its way to the agent and back */
#pragma once

#include "serve/server.h"
#include "serve/http/worker.h"

enum { WORKERS_MAX = SERVER_WORKERS_MAX };

struct server {
  struct commons commons;
  struct mailbox control;
  uv_prepare_t prepare;
  uv_check_t check;
  uv_idle_t idle; /* active while replies wait: the loop does not sleep on them */
  uv_loop_t *loop;
  struct view *view;
  const struct server_requests *requests;
  void *arg;
  struct errand_list {
    struct letter *first, *last;
  } replied, sealed;        /* sealed: a prepare has passed */
  struct letter *under_way; /* of the asked ones, the long ones */
  unsigned asked; /* errands with the agent; the server's memory stays for their replies */
  struct counters *counters;
  char *version, *run_dir, *library, socket_path[300];
  struct pick_rules *pick_rules;
  int sockets[WORKERS_MAX]; /* that listen for HTTP; the workers have copies */
  unsigned socket_count;
  uint16_t port;
  struct worker *workers[WORKERS_MAX]; /* by number; NULL: none. From worker_count on: retired */
  unsigned worker_count;
  _Atomic unsigned worker_most; /* there ever were, at once */
  unsigned closing;             /* handles of ours whose close callback is to come */
  bool stopping, stopped;
  void (*on_stopped)(void *arg);
  void *on_stopped_arg;
};

/* server.c */
void server_close(struct server *s); /* all threads have ended, or none was started */
void server_free(struct server *s);

/* workers.c. `add`: one that has no thread yet. */
int workers_add(struct server *s, unsigned number);
/* So many run from now on, the others retire; all listen on what there is. What cannot be is
 * logged. */
void workers_set(struct server *s, unsigned count);
void workers_deal(struct server *s);
void workers_reap(struct server *s); /* those that have ended */
bool workers_are_over(const struct server *s);
void workers_stop(struct server *s);
void workers_look(struct server *s);

/* errands.c, on the control thread: the mailbox's letters; what was replied before a prepare goes
 * out after the next check. */
void errands_deliver(void *server, struct letter *letter);
void errands_on_prepare(uv_prepare_t *prepare);
void errands_on_check(uv_check_t *check);
void errands_drop(struct server *s); /* replies that nobody waits for any more: no worker is left */
