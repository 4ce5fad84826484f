#include "serve/server_inside.h"

#include "base/fault.h"
#include "base/log.h"
#include "serve/http/listen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORKERS_DEFAULT = 4 };
enum { CONNECTIONS = 8192, CONNECTIONS_PER_CLIENT = 200 };

/* --- the end --- */

static void server_free_memory(struct server *s) {
  for (unsigned i = 0; i < WORKERS_MAX; i++)
    free(s->workers[i]);
  counters_free(s->counters, WORKERS_MAX);
  clients_free(s->commons.clients);
  free(s->version);
  free(s->run_dir);
  free(s->library);
  free(s);
}

void server_free(struct server *s) {
  mailbox_free(&s->control);
  server_free_memory(s);
}

static void server_handle_closed(struct server *s) {
  if (--s->closing > 0)
    return;
  s->stopped = true;
  void (*stopped)(void *arg) = s->on_stopped;
  void *arg = s->on_stopped_arg;
  if (s->asked == 0)
    server_free(s);
  if (stopped)
    stopped(arg);
}

static void on_handle_closed(uv_handle_t *handle) {
  server_handle_closed(handle->data);
}

static void on_control_closed(uv_handle_t *bell) {
  struct mailbox *control = bell->data;
  server_handle_closed(control->arg);
}

void server_close(struct server *s) {
  s->closing = 4;
  view_follow(s->view, NULL, NULL);
  for (unsigned i = 0; i < WORKERS_MAX; i++)
    if (s->workers[i])
      worker_close(s->workers[i]);
  if (*s->socket_path)
    unlink(s->socket_path);
  errands_drop(s);
  mailbox_close(&s->control, on_control_closed);
  uv_close((uv_handle_t *)&s->prepare, on_handle_closed);
  uv_close((uv_handle_t *)&s->check, on_handle_closed);
  uv_close((uv_handle_t *)&s->idle, on_handle_closed);
}

static void sockets_close(struct server *s) {
  while (s->socket_count > 0)
    close(s->sockets[--s->socket_count]);
}

void server_stop(struct server *s, void (*stopped)(void *arg), void *arg) {
  s->on_stopped = stopped;
  s->on_stopped_arg = arg;
  s->stopping = true;
  atomic_store(&s->commons.ready, false);
  sockets_close(s);
  workers_stop(s);
  if (workers_are_over(s))
    server_close(s);
}

/* On the worker's thread. */
static void on_worker_ended(void *arg, struct worker *w) {
  (void)w;
  struct server *s = arg;
  mailbox_wake(&s->control);
}

/* --- the beginning --- */

unsigned server_workers(unsigned configured) {
  if (configured == 0) {
    configured = uv_available_parallelism();
    if (configured > WORKERS_DEFAULT)
      configured = WORKERS_DEFAULT;
  }
  return configured < 1 ? 1 : configured > WORKERS_MAX ? WORKERS_MAX : configured;
}

static struct server_limits limits_of(const struct server_config *config) {
  struct server_limits l = config->limits;
  if (!l.body_bytes)
    l.body_bytes = config->body_limit;
  const struct server_limits standard = {.header_ms = 10000,
                                         .body_ms = 30000,
                                         .idle_ms = 60000,
                                         .write_ms = 30000,
                                         .head_bytes = 16384,
                                         .body_bytes = 524288,
                                         .output_bytes = 262144};
#define STANDARD(field)                                                                            \
  if (!l.field)                                                                                    \
  l.field = standard.field
  STANDARD(header_ms);
  STANDARD(body_ms);
  STANDARD(idle_ms);
  STANDARD(write_ms);
  STANDARD(head_bytes);
  STANDARD(body_bytes);
  STANDARD(output_bytes);
#undef STANDARD
  return l;
}

/* Everything that needs only memory. NULL: there is none. */
static struct server *server_new(const struct server_config *config, struct view *view) {
  struct server *s = calloc(1, sizeof *s);
  if (!s)
    return NULL;
  s->worker_count = server_workers(config->workers);
  s->view = view;
  s->commons.limits = limits_of(config);
  server_admit(s, config->limits.connections, config->limits.connections_per_client);
  s->commons.clients = clients_new();
  s->commons.control = &s->control;
  s->commons.ended = on_worker_ended;
  s->commons.arg = s;
  s->counters = counters_new(WORKERS_MAX);
  s->version = strdup(config->version ? config->version : "");
  s->run_dir = strdup(config->run_dir);
  s->library = config->library ? strdup(config->library) : NULL;
  s->pick_rules = config->pick_rules;
  if (s->commons.clients && s->counters && s->version && s->run_dir &&
      (s->library || !config->library))
    return s;
  server_free_memory(s);
  return NULL;
}

/* The sockets, before anything is on the loop: what usually fails, fails here. */
static int sockets_open(struct server *s, const struct server_config *config, int *local,
                        struct fault *f) {
  int r = 0;
  *local = -1;
  if (config->http) {
    r = listen_tcp(config->http, 0, s->sockets, s->worker_count, &s->port, f);
    s->socket_count = r == 0 ? s->worker_count : 0;
  }
  if (r == 0) {
    snprintf(s->socket_path, sizeof s->socket_path, "%.250s/perigee.sock", config->run_dir);
    r = listen_unix(s->socket_path, local, f);
  }
  if (r != 0)
    s->socket_path[0] = 0;
  return r;
}

/* Who connects from here on waits for a worker. */
static int sockets_listen(const int *fds, unsigned count) {
  int r = 0;
  for (unsigned i = 0; r == 0 && i < count; i++)
    r = listen(fds[i], LISTEN_BACKLOG) == 0 ? 0 : -errno;
  return r;
}

/* The workers, and what they listen on; then their threads, once nothing more can fail. */
static int workers_begin(struct server *s, int local) {
  int r = 0;
  for (unsigned i = 0; r == 0 && i < s->worker_count; i++)
    r = workers_add(s, i);
  if (r == 0)
    r = worker_listen(s->workers[0], local, true, true);
  else
    close(local);
  if (r == 0)
    r = sockets_listen(s->sockets, s->socket_count);
  workers_deal(s);
  for (unsigned i = 0; r == 0 && i < s->worker_count; i++)
    r = worker_start(s->workers[i]);
  return r;
}

static void on_shown(void *arg) {
  workers_look(arg);
}

static void turns_start(struct server *s) {
  uv_prepare_init(s->loop, &s->prepare);
  uv_check_init(s->loop, &s->check);
  uv_idle_init(s->loop, &s->idle);
  s->prepare.data = s->check.data = s->idle.data = s;
  uv_prepare_start(&s->prepare, errands_on_prepare);
  uv_check_start(&s->check, errands_on_check);
  uv_unref((uv_handle_t *)&s->prepare);
  uv_unref((uv_handle_t *)&s->check);
}

int server_start(uv_loop_t *control, const struct server_config *config, struct view *view,
                 const struct server_requests *requests, void *arg, struct server **out,
                 struct fault *f) {
  int local;
  struct server *s = server_new(config, view);
  if (!s)
    return fault_set(f, -ENOMEM, "out of memory");
  s->loop = control;
  s->requests = requests;
  s->arg = arg;
  int r = sockets_open(s, config, &local, f);
  if (r == 0 && (r = mailbox_open(&s->control, control, errands_deliver, s)) != 0)
    fault_set(f, r, "cannot start the HTTP server: %s.", strerror(-r));
  if (r != 0) {
    sockets_close(s);
    if (local >= 0)
      close(local);
    if (*s->socket_path)
      unlink(s->socket_path);
    server_free_memory(s);
    return r;
  }
  turns_start(s);
  view_follow(view, on_shown, s);
  view_commit(view);
  r = workers_begin(s, local);
  if (r != 0) {
    fault_set(f, r, "cannot start the HTTP server's workers: %s.", strerror(-r));
    server_stop(s, NULL, NULL);
    return r;
  }
  log_info("http server started", LOG_S("address", config->http), LOG_I("port", s->port),
           LOG_S("socket", s->socket_path), LOG_I("workers", s->worker_count));
  *out = s;
  return 0;
}

/* --- another address, another number of workers --- */

struct server_door {
  int fds[WORKERS_MAX]; /* bound */
  unsigned count;
  bool elsewhere; /* they are in the place of those that there are; else more of them */
  unsigned workers;
  uint16_t port;
};

int server_door_open(const struct server *s, const struct server_place *place,
                     struct server_door **out, struct fault *f) {
  struct server_door *door = calloc(1, sizeof *door);
  int r = 0;
  if (!door)
    return fault_set(f, -ENOMEM, "out of memory");
  door->workers = server_workers(place->workers);
  door->elsewhere = place->elsewhere;
  door->port = s->port;
  if (place->elsewhere) {
    door->port = 0;
    door->count = place->http ? door->workers : 0;
    if (place->http)
      r = listen_tcp(place->http, s->port, door->fds, door->count, &door->port, f);
  } else if (s->socket_count > 0 && s->socket_count < door->workers) {
    door->count = door->workers - s->socket_count;
    r = listen_more(s->sockets[0], door->fds, door->count, f);
  }
  if (r != 0) {
    free(door);
    return r;
  }
  *out = door;
  return 0;
}

void server_move(struct server *s, struct server_door *door) {
  int old[WORKERS_MAX];
  unsigned old_count = door->elsewhere ? s->socket_count : 0;
  int r = sockets_listen(door->fds, door->count);
  if (r != 0)
    log_error("cannot listen", LOG_S("error", strerror(-r)));
  memcpy(old, s->sockets, sizeof old);
  s->socket_count -= old_count;
  memcpy(s->sockets + s->socket_count, door->fds, door->count * sizeof *door->fds);
  s->socket_count += door->count;
  s->port = door->port;
  door->count = 0;
  workers_set(s, door->workers);
  while (old_count > 0)
    close(old[--old_count]);
  server_door_close(door);
}

void server_door_close(struct server_door *door) {
  for (unsigned i = 0; door && i < door->count; i++)
    close(door->fds[i]);
  free(door);
}

void server_admit(struct server *s, unsigned connections, unsigned per_client) {
  atomic_store(&s->commons.connections_most, connections ? connections : CONNECTIONS);
  atomic_store(&s->commons.per_client_most, per_client ? per_client : CONNECTIONS_PER_CLIENT);
}

void server_ready(struct server *s, bool ready) {
  atomic_store_explicit(&s->commons.ready, ready, memory_order_release);
}

uint16_t server_port(const struct server *s) {
  return s->port;
}
