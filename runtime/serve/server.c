#include "serve/server_inside.h"

#include "base/fault.h"
#include "base/log.h"
#include "serve/http/listen.h"
#include "serve/exchange/picks.h"
#include "vm/pick/picker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS_MAX = 64, WORKERS_DEFAULT = 4, PICKS_ROOM = 1024 };
enum { CONNECTIONS = 8192, CONNECTIONS_PER_CLIENT = 200 };

/* --- the end --- */

static void server_free_memory(struct server *s) {
  for (unsigned i = 0; s->workers && i < s->worker_count; i++)
    free(s->workers[i]);
  free(s->workers);
  counters_free(s->counters);
  clients_free(s->commons.clients);
  free(s->version);
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
  for (unsigned i = 0; i < s->opened; i++)
    worker_close(s->workers[i], i < s->started);
  if (*s->socket_path)
    unlink(s->socket_path);
  errands_drop(s);
  mailbox_close(&s->control, on_control_closed);
  uv_close((uv_handle_t *)&s->prepare, on_handle_closed);
  uv_close((uv_handle_t *)&s->check, on_handle_closed);
  uv_close((uv_handle_t *)&s->idle, on_handle_closed);
}

void server_stop(struct server *s, void (*stopped)(void *arg), void *arg) {
  s->on_stopped = stopped;
  s->on_stopped_arg = arg;
  s->stopping = true;
  atomic_store(&s->commons.ready, false);
  for (unsigned i = 0; i < s->started; i++)
    worker_stop(s->workers[i]);
  if (s->started == 0)
    server_close(s);
}

/* On the worker's thread. */
static void on_worker_ended(void *arg, struct worker *w) {
  (void)w;
  struct server *s = arg;
  atomic_fetch_add(&s->ended, 1);
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
  s->counters = counters_new(s->worker_count);
  s->version = strdup(config->version ? config->version : "");
  s->workers = calloc(s->worker_count, sizeof *s->workers);
  bool whole = s->commons.clients && s->counters && s->version && s->workers;
  for (unsigned i = 0; whole && i < s->worker_count; i++)
    whole = (s->workers[i] = calloc(1, sizeof *s->workers[i])) != NULL;
  if (whole)
    return s;
  server_free_memory(s);
  return NULL;
}

static struct picks *picks_of_worker(const struct server_config *config, struct worker *w,
                                     unsigned number) {
  const struct pickers_with with = {
      .rules = config->pick_rules, .thread = number, .loop = &w->loop, .library = config->library};
  struct pickers *pickers = config->pick_rules ? pickers_new(&with) : NULL;
  if (config->pick_rules && !pickers)
    return NULL;
  return picks_new(config->run_dir, PICKS_ROOM, pickers);
}

static int worker_fill(struct server *s, const struct server_config *config, unsigned number) {
  struct worker *w = s->workers[number];
  struct site *site = &w->site;
  site->view = s->view;
  site->worker = number;
  int r = worker_open(w, &s->commons);
  if (r != 0)
    return r;
  site->version = s->version;
  site->counters = counters_of(s->counters, number);
  site->all_counters = s->counters;
  site->all_count = s->worker_count;
  site->picks = picks_of_worker(config, w, number);
  s->opened++;
  return site->picks ? 0 : -ENOMEM;
}

/* The sockets, before anything is on the loop: what usually fails, fails here. */
struct sockets {
  int tcp[WORKERS_MAX], local;
  unsigned tcp_count;
};

static int sockets_open(struct server *s, const struct server_config *config, struct sockets *out,
                        struct fault *f) {
  int r = 0;
  out->local = -1;
  if (config->http) {
    r = listen_tcp(config->http, 0, out->tcp, s->worker_count, &s->port, f);
    out->tcp_count = r == 0 ? s->worker_count : 0;
  }
  if (r == 0) {
    snprintf(s->socket_path, sizeof s->socket_path, "%.250s/perigee.sock", config->run_dir);
    r = listen_unix(s->socket_path, &out->local, f);
  }
  if (r != 0)
    s->socket_path[0] = 0;
  return r;
}

static void sockets_close(struct sockets *all) {
  for (unsigned i = 0; i < all->tcp_count; i++)
    if (all->tcp[i] >= 0)
      close(all->tcp[i]);
  if (all->local >= 0)
    close(all->local);
}

static int take(int *fd) {
  int taken = *fd;
  *fd = -1;
  return taken;
}

/* The workers, and what they listen on; then their threads, once nothing more can fail. */
static int workers_start(struct server *s, const struct server_config *config,
                         struct sockets *sockets) {
  int r = 0;
  for (unsigned i = 0; r == 0 && i < s->worker_count; i++) {
    r = worker_fill(s, config, i);
    if (r == 0 && i < sockets->tcp_count)
      r = worker_listen(s->workers[i], take(&sockets->tcp[i]), false, false);
  }
  if (r == 0)
    r = worker_listen(s->workers[0], take(&sockets->local), true, true);
  for (unsigned i = 0; r == 0 && i < s->worker_count; i++) {
    r = worker_start(s->workers[i]);
    s->started += r == 0;
  }
  return r;
}

static void on_shown(void *arg) {
  struct server *s = arg;
  for (unsigned i = 0; i < s->started; i++)
    worker_look(s->workers[i]);
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
  struct sockets sockets = {0};
  struct server *s = server_new(config, view);
  if (!s)
    return fault_set(f, -ENOMEM, "out of memory");
  s->loop = control;
  s->requests = requests;
  s->arg = arg;
  int r = sockets_open(s, config, &sockets, f);
  if (r == 0 && (r = mailbox_open(&s->control, control, errands_deliver, s)) != 0)
    fault_set(f, r, "cannot start the HTTP server: %s.", strerror(-r));
  if (r != 0) {
    sockets_close(&sockets);
    if (*s->socket_path)
      unlink(s->socket_path);
    server_free_memory(s);
    return r;
  }
  turns_start(s);
  view_follow(view, on_shown, s);
  view_commit(view);
  r = workers_start(s, config, &sockets);
  if (r != 0) {
    fault_set(f, r, "cannot start the HTTP server's workers: %s.", strerror(-r));
    sockets_close(&sockets);
    server_stop(s, NULL, NULL);
    return r;
  }
  log_info("http server started", LOG_S("address", config->http), LOG_I("port", s->port),
           LOG_S("socket", s->socket_path), LOG_I("workers", s->worker_count));
  *out = s;
  return 0;
}

/* --- another address --- */

struct server_door {
  int fds[WORKERS_MAX];
  unsigned count; /* 0: none */
  uint16_t port;
};

int server_door_open(const struct server *s, const char *http, struct server_door **out,
                     struct fault *f) {
  struct server_door *door = calloc(1, sizeof *door);
  if (!door)
    return fault_set(f, -ENOMEM, "out of memory");
  int r = http ? listen_tcp(http, s->port, door->fds, s->worker_count, &door->port, f) : 0;
  if (r != 0) {
    free(door);
    return r;
  }
  door->count = http ? s->worker_count : 0;
  *out = door;
  return 0;
}

void server_move(struct server *s, struct server_door *door) {
  for (unsigned i = 0; i < s->worker_count; i++)
    worker_move(s->workers[i], i < door->count ? door->fds[i] : DOOR_NONE);
  s->port = door->port;
  door->count = 0;
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
