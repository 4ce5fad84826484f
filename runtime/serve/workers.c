/* The server's workers: as many as the configuration says, and those that have retired and end with
 * their last connection. What they listen on is the server's: each has copies of some of these
 * sockets, and a socket that once listened goes on in other hands when its worker retires, so that
 * nobody who waits in its queue is refused. */
#include "serve/server_inside.h"

#include "base/log.h"
#include "serve/exchange/picks.h"
#include "serve/http/listen.h"
#include "vm/pick/picker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PICKS_ROOM = 1024 };

/* --- one --- */

static struct picks *picks_of_worker(const struct server *s, struct worker *w, unsigned number) {
  const struct pickers_with with = {
      .rules = s->pick_rules, .thread = number, .loop = &w->loop, .library = s->library};
  struct pickers *pickers = s->pick_rules ? pickers_new(&with) : NULL;
  if (s->pick_rules && !pickers)
    return NULL;
  return picks_new(s->run_dir, PICKS_ROOM, pickers);
}

static void worker_free(struct server *s, unsigned number) {
  worker_close(s->workers[number]);
  free(s->workers[number]);
  s->workers[number] = NULL;
}

int workers_add(struct server *s, unsigned number) {
  struct worker *w = calloc(1, sizeof *w);
  if (!w)
    return -ENOMEM;
  struct site *site = &w->site;
  site->view = s->view;
  site->worker = number;
  int r = worker_open(w, &s->commons);
  if (r != 0) {
    free(w);
    return r;
  }
  s->workers[number] = w;
  site->version = s->version;
  site->counters = counters_of(s->counters, number);
  site->all_counters = s->counters;
  site->all_count = &s->worker_most;
  site->picks = picks_of_worker(s, w, number);
  if (number >= s->worker_most)
    s->worker_most = number + 1;
  return site->picks ? 0 : -ENOMEM;
}

/* One that has not ended yet, or a new one. */
static int worker_run(struct server *s, unsigned number) {
  if (s->workers[number] && worker_return(s->workers[number]))
    return 0;
  if (s->workers[number])
    worker_free(s, number); /* it was just ending */
  int r = workers_add(s, number);
  if (r == 0)
    r = worker_start(s->workers[number]);
  if (r != 0 && s->workers[number])
    worker_free(s, number);
  return r;
}

/* --- what they listen on --- */

/* Copies of every `count`th socket from the `first` on. NULL: out of memory. */
static struct doors *doors_of(const struct server *s, unsigned first, unsigned count) {
  struct doors *d = calloc(1, sizeof *d + s->socket_count * sizeof *d->fds);
  for (unsigned i = first; d && count > 0 && i < s->socket_count; i += count) {
    int fd = fcntl(s->sockets[i], F_DUPFD_CLOEXEC, 0);
    if (fd >= 0)
      d->fds[d->count++] = fd;
    else
      log_error("a worker cannot listen", LOG_S("error", strerror(errno)));
  }
  return d;
}

void workers_deal(struct server *s) {
  for (unsigned i = 0; i < WORKERS_MAX; i++) {
    struct doors *d =
        s->workers[i] ? doors_of(s, i, i < s->worker_count ? s->worker_count : 0) : NULL;
    if (d)
      worker_move(s->workers[i], d);
    else if (s->workers[i])
      log_error("a worker listens where it did: out of memory");
  }
}

/* --- all --- */

void workers_set(struct server *s, unsigned count) {
  unsigned before = s->worker_count, running = 0;
  while (running < count) {
    int r = worker_run(s, running);
    if (r != 0) {
      log_error("there are fewer workers than configured", LOG_I("workers", running),
                LOG_S("error", strerror(-r)));
      break;
    }
    running++;
  }
  s->worker_count = running;
  workers_deal(s);
  for (unsigned i = running; i < WORKERS_MAX; i++)
    if (s->workers[i])
      worker_retire(s->workers[i]);
  if (running != before)
    log_info("http workers", LOG_I("workers", running), LOG_I("before", before));
}

void workers_reap(struct server *s) {
  for (unsigned i = 0; i < WORKERS_MAX; i++)
    if (s->workers[i] && worker_is_over(s->workers[i]))
      worker_free(s, i);
}

bool workers_are_over(const struct server *s) {
  for (unsigned i = 0; i < WORKERS_MAX; i++)
    if (s->workers[i] && s->workers[i]->started && !worker_is_over(s->workers[i]))
      return false;
  return true;
}

void workers_stop(struct server *s) {
  for (unsigned i = 0; i < WORKERS_MAX; i++)
    if (s->workers[i] && s->workers[i]->started)
      worker_stop(s->workers[i]);
}

void workers_look(struct server *s) {
  for (unsigned i = 0; i < WORKERS_MAX; i++)
    if (s->workers[i] && s->workers[i]->started)
      worker_look(s->workers[i]);
}
