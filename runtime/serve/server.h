/* server: the HTTP front end. Worker threads with a loop and SO_REUSEPORT listeners of their own
 * pick from the catalog through the same code as any other process (client/), read all else from
 * the view, and send the control thread messages for what changes something. */
#pragma once

#include "serve/view.h"

#include <uv.h>

struct server;
struct fault;

/* What a worker asks of the control thread. Implemented by agent/; called on the control thread;
 * `reply` must be called exactly once, on the control thread, then or later. */
struct server_requests {
  void (*do_register)(void *arg, struct registration *r, void (*reply)(void *to, int status, const char *message), void *to);
  void (*do_deregister)(void *arg, const char *id, void (*reply)(void *to, int status, const char *message), void *to);
  void (*do_renew)(void *arg, const char *id, void (*reply)(void *to, int status, const char *message), void *to);
  void (*do_check)(void *arg, const char *check_id, enum status s, const char *output,
                   void (*reply)(void *to, int status, const char *message), void *to);
  /* Prometheus text of what the control thread knows (loop lag, registry, store, vm, catalog). */
  void (*do_metrics)(void *arg, void (*reply)(void *to, int status, const char *text), void *to);
  /* A JSON object for GET /v1/status. */
  void (*do_status)(void *arg, void (*reply)(void *to, int status, const char *json), void *to);
};

struct server_config {
  const char *http;      /* "127.0.0.1:8500"; NULL = none */
  const char *run_dir;   /* for the catalog, and the socket RUN_DIR/perigee.sock (0600) */
  unsigned workers;      /* 1 to 64 */
  size_t body_limit;     /* default 512 KiB */
  const char *version;
};

/* -EADDRINUSE: the fault says who is on the port, "a Consul agent" when it answers as one. */
int server_start(uv_loop_t *control, const struct server_config *config, struct view *view,
                 const struct server_requests *requests, void *arg, struct server **out,
                 struct fault *f);
/* Stops listening, answers what is in flight (at most 1 s), joins the threads, calls `stopped`. */
void server_stop(struct server *s, void (*stopped)(void *arg), void *arg);
void server_ready(struct server *s, bool ready); /* what /readyz says */
