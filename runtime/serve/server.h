/* server: the HTTP front end. Worker threads with a loop and SO_REUSEPORT listeners of their own
 * pick from the catalog through the same code as any other process (client/), read all else from
 * the view, and send the control thread messages for what changes something. */
#pragma once

#include "serve/exchange/visit.h"
#include "serve/http/limits.h"
#include "serve/view/view.h"

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum { SERVER_WORKERS_MAX = 64 };

struct server;
struct fault;

/* `status` 0 or a negative errno, and what to tell the client (NULL: what the errno says). For
 * do_metrics, do_status, do_plugins, do_policies and do_operate the text is the answer. Copied. */
typedef void (*server_reply)(void *to, int status, const char *text);

/* What a worker asks of the control thread. Implemented by agent/; called on the control thread;
 * `reply` must be called exactly once, on the control thread, then or later, also after
 * server_stop. What a request hands over is the server's: take references, copy texts.
 *
 * A client that was answered finds its own change: replies leave from a uv_prepare of the server's,
 * just before the loop sleeps, after the view is committed. So publish from anywhere but a
 * uv_prepare that was started before the server (the last started runs first). */
struct server_requests {
  void (*do_register)(void *arg, struct registration *r, server_reply reply, void *to);
  void (*do_deregister)(void *arg, const char *id, server_reply reply, void *to);
  void (*do_renew)(void *arg, const char *id, server_reply reply, void *to);
  void (*do_check)(void *arg, const char *check_id, enum status s, const char *output,
                   server_reply reply, void *to);
  /* Prometheus text of what the control thread knows (loop lag, registry, store, vm, catalog). */
  void (*do_metrics)(void *arg, server_reply reply, void *to);
  /* A JSON object for GET /v1/explain/SERVICE; -ENOENT: there is none of that name. */
  void (*do_explain)(void *arg, const char *service, server_reply reply, void *to);
  /* A service is asked for: it is watched on demand if need be, and answered when there is
   * something to pick from, or -ENOENT: nobody knows it. */
  void (*do_resolve)(void *arg, const char *service, server_reply reply, void *to);
  /* A request for a plugin. `v` is valid until it is answered: by server_visit_end, once, then or
   * later, after any number of server_visit_write. */
  void (*do_visit)(void *arg, const struct visit *v, void *to);
  /* What was written has left: there is room for more. */
  void (*do_visit_room)(void *arg, void *to);
  /* Nobody waits for its answer any more: it is to be ended soon. */
  void (*do_visit_gone)(void *arg, void *to);
  /* A JSON object for GET /v1/status. */
  void (*do_status)(void *arg, server_reply reply, void *to);
  /* A JSON list for GET /v1/plugins. */
  void (*do_plugins)(void *arg, server_reply reply, void *to);
  /* A JSON list for GET /v1/policies. */
  void (*do_policies)(void *arg, server_reply reply, void *to);
  /* What operates the agent: `body` is the request's, often JSON, never NULL. The text is the
   * answer, JSON too; -ENOSYS: there is no such verb. */
  void (*do_operate)(void *arg, const char *verb, const char *body, server_reply reply, void *to);
  /* Nobody waits for its reply any more: what need not be finished may end. */
  void (*do_operate_gone)(void *arg, void *to);
};

/* Control thread; both take the answer over. A piece, the first with a status: 0, and do_visit_room
 * or do_visit_gone follows; or -EPIPE: nobody waits for it. */
int server_visit_write(void *to, struct visit_answer *piece);
/* A whole answer where nothing was written, else the end of it. NULL: out of memory, or all is
 * said. */
void server_visit_end(void *to, struct visit_answer *answer);

struct server_config {
  const char *http;    /* "127.0.0.1:8500"; NULL = none; port 0 = any free one */
  const char *run_dir; /* for the catalog, and the socket RUN_DIR/perigee.sock (0600) */
  struct pick_rules
      *pick_rules;     /* which services plugins pick for; NULL: none. Outlives `stopped` */
  const char *library; /* the directory that holds lua/, for these plugins */
  unsigned workers;    /* 1 to 64; 0 = the cores there are, at most 4 */
  size_t body_limit;   /* limits.body_bytes by its older name; 0 = see there */
  const char *version; /* perigee's */
  struct server_limits limits;
};

/* Copies the configuration. -EADDRINUSE: the fault says who is on the port, "a Consul agent" when
 * it answers as one. The view and the requests must outlive `stopped`; the process must ignore
 * SIGPIPE. */
int server_start(uv_loop_t *control, const struct server_config *config, struct view *view,
                 const struct server_requests *requests, void *arg, struct server **out,
                 struct fault *f);
/* Stops listening, answers what is in flight (at most 1 s), joins the threads, calls `stopped` on
 * the control thread; the server is gone then. */
void server_stop(struct server *s, void (*stopped)(void *arg), void *arg);
/* Another address for HTTP, or another number of workers: everything that may fail, while all is
 * served as it was. -EBUSY and the like as server_start. */
struct server_place {
  const char *http; /* as in the configuration */
  bool elsewhere;   /* that is another one than before */
  unsigned workers; /* likewise; 0 = the default */
};
struct server_door;
int server_door_open(const struct server *s, const struct server_place *place,
                     struct server_door **out, struct fault *f);
/* The workers go over to it: each listens there before it closes what it had. What is connected
 * stays, but for those of a worker that is too many: they are closed after their next answer, and
 * it ends with the last of them. Nobody who connects meanwhile is refused. Takes it over. */
void server_move(struct server *s, struct server_door *door);
void server_door_close(struct server_door *door); /* instead; NULL is fine */
/* How many connections there may be, in all and of one client; 0 = the default. Those that are
 * open stay. Control thread. */
void server_admit(struct server *s, unsigned connections, unsigned per_client);
void server_ready(struct server *s, bool ready); /* what /readyz says; control thread */
uint16_t server_port(const struct server *s);    /* the one listened on; 0 = none */
/* What `workers` means for this configuration value. */
unsigned server_workers(unsigned configured);
