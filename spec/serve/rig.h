/* rig: a whole HTTP server over a real catalog, on a control loop of its own thread, with a small
 * registry behind it that a spec can script; and clients that speak bytes over plain sockets.
 * Everything waits for a condition with a deadline; nothing sleeps. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "catalog/writer.h"
#include "serve/server.h"
#include "watch/set.h"

enum { PATIENCE_MS = 20000, RIG_ROOM = 256 };

struct rig {
  uv_loop_t loop; /* the control thread's, and so is all below */
  uv_thread_t thread;
  uv_prepare_t turn;
  uv_async_t stop;
  char dir[64];
  struct catalog_writer *catalog;
  struct sets *sets;
  struct view *view;
  struct server *server;
  uint16_t port;
  bool stopping;
  struct registration_state *states[RIG_ROOM];
  size_t count;
  /* The script. */
  _Atomic int refuse_with; /* the next change is refused with this errno */
  atomic_bool hold;        /* replies wait until it is off */
  _Atomic unsigned held;   /* how many wait */
  uv_async_t release;
  struct rig_reply {
    server_reply reply;
    void *to;
  } waiting[RIG_ROOM];
  _Atomic int64_t last_lease_ms; /* of what was registered last */
  struct rig_visit {
    struct rig_visit *next;
    void *to;
    int left; /* pieces to come; -1: without end */
  } * visits;
  _Atomic unsigned visit_count, gone; /* under way; whose clients went, ever */
};

/* --- the registry behind it --- */

static void rig_answer(struct rig *rig, server_reply reply, void *to, int status,
                       const char *text) {
  if (rig->hold) {
    rig->waiting[rig->held] = (struct rig_reply){.reply = reply, .to = to};
    rig->held++;
    return;
  }
  reply(to, status, text);
}

static void rig_release(uv_async_t *bell) {
  struct rig *rig = bell->data;
  unsigned n = atomic_exchange(&rig->held, 0);
  for (unsigned i = 0; i < n; i++)
    rig->waiting[i].reply(rig->waiting[i].to, 0, NULL);
}

static struct registration_state **rig_find(struct rig *rig, const char *id) {
  for (size_t i = 0; i < rig->count; i++)
    if (strcmp(rig->states[i]->registration->instance->id, id) == 0)
      return &rig->states[i];
  return NULL;
}

static void rig_publish(struct rig *rig, struct registration_state *s) {
  const struct instance *in = s->registration->instance;
  struct set *set = sets_find(rig->sets, in->service);
  if (!set)
    set = sets_open(rig->sets, in->service);
  assert_int_equal(set_put(set, in, s->status), 0);
  assert_int_equal(view_publish_registration(rig->view, s, false), 0);
}

static void rig_replace(struct rig *rig, struct registration_state *s) {
  struct registration_state **at = rig_find(rig, s->registration->instance->id);
  if (at)
    registration_state_unref(*at);
  else
    at = &rig->states[rig->count++];
  *at = s;
  rig_publish(rig, s);
}

/* In one line with the catalog's versions, as the agent keeps it. */
static uint64_t rig_index(struct rig *rig) {
  uint64_t index = catalog_version(rig->catalog) + 1;
  catalog_version_raise(rig->catalog, index);
  return index;
}

static void rig_register(void *arg, struct registration *r, server_reply reply, void *to) {
  struct rig *rig = arg;
  int refusal = atomic_exchange(&rig->refuse_with, 0);
  if (refusal) {
    reply(to, refusal, NULL);
    return;
  }
  rig->last_lease_ms = r->lease_ms;
  struct check_state checks[64] = {0};
  uint64_t index = rig_index(rig);
  for (uint32_t i = 0; i < r->check_count; i++)
    checks[i] =
        (struct check_state){.status = r->checks[i].initial, .output = "", .modify_index = index};
  rig_replace(
      rig, registration_state_new(&(struct registration_state){
               .registration = r, .create_index = index, .modify_index = index, .checks = checks}));
  rig_answer(rig, reply, to, 0, NULL);
}

static void rig_deregister(void *arg, const char *id, server_reply reply, void *to) {
  struct rig *rig = arg;
  struct registration_state **at = rig_find(rig, id);
  if (!at) {
    reply(to, -ENOENT, NULL);
    return;
  }
  const struct instance *in = (*at)->registration->instance;
  set_remove(sets_find(rig->sets, in->service), id);
  view_publish_registration(rig->view, *at, true);
  registration_state_unref(*at);
  *at = rig->states[--rig->count];
  rig_answer(rig, reply, to, 0, NULL);
}

/* Or a word of the script: "stale:SERVICE", "current:SERVICE", "end:SERVICE". */
static void rig_renew(void *arg, const char *id, server_reply reply, void *to) {
  struct rig *rig = arg;
  const char *colon = strchr(id, ':');
  struct set *set = colon ? sets_find(rig->sets, colon + 1) : NULL;
  if (set && strncmp(id, "end:", 4) == 0)
    set_close(set);
  else if (set)
    set_stale(set, strncmp(id, "stale:", 6) == 0);
  if (set)
    rig_answer(rig, reply, to, 0, NULL);
  else
    reply(to, rig_find(rig, id) ? 0 : -ENOENT, NULL);
}

static void rig_check(void *arg, const char *check_id, enum status status, const char *output,
                      server_reply reply, void *to) {
  struct rig *rig = arg;
  for (size_t k = 0; k < rig->count; k++) {
    struct registration *r = rig->states[k]->registration;
    for (uint32_t i = 0; i < r->check_count; i++) {
      if (strcmp(r->checks[i].id, check_id) != 0)
        continue;
      if (strcmp(r->checks[i].plugin, "ttl") != 0) {
        reply(to, -EINVAL, NULL);
        return;
      }
      struct check_state checks[64];
      memcpy(checks, rig->states[k]->checks, r->check_count * sizeof checks[0]);
      checks[i].status = status;
      checks[i].output = output;
      rig_replace(rig, registration_state_new(&(struct registration_state){
                           .registration = r,
                           .create_index = rig->states[k]->create_index,
                           .modify_index = rig_index(rig),
                           .checks = checks}));
      rig_answer(rig, reply, to, 0, NULL);
      return;
    }
  }
  reply(to, -ENOENT, NULL);
}

static void rig_metrics(void *arg, server_reply reply, void *to) {
  rig_answer(arg, reply, to, 0, "rig_control 1\n");
}

static void rig_status(void *arg, server_reply reply, void *to) {
  rig_answer(arg, reply, to, 0, "{\"rig\":true}");
}

/* Nobody knows more services than those that are published. */
static inline void rig_resolve(void *arg, const char *service, server_reply reply, void *to) {
  rig_answer(arg, reply, to, -ENOENT, NULL);
}

static inline struct rig_visit *rig_visit_of(struct rig *rig, void *to) {
  struct rig_visit *v = rig->visits;
  while (v->to != to)
    v = v->next;
  return v;
}

static inline void rig_visit_end(struct rig *rig, struct rig_visit *v,
                                 struct visit_answer *answer) {
  struct rig_visit **link = &rig->visits;
  while (*link != v)
    link = &(*link)->next;
  *link = v->next;
  rig->visit_count--;
  server_visit_end(v->to, answer);
  free(v);
}

/* Knows one verb, which says back what it was given. */
static inline void rig_operate(void *arg, const char *verb, const char *body, server_reply reply,
                               void *to) {
  if (strcmp(verb, "echo") == 0)
    rig_answer(arg, reply, to, 0, body);
  else
    rig_answer(arg, reply, to, -ENOSYS, "no such verb");
}

/* /v1/x/whole is answered by its method and body; /v1/x/pieces in as many pieces as the body says;
 * /v1/x/endless in pieces without end; /v1/x/never not at all. */
static inline void rig_piece(struct rig *rig, struct rig_visit *v) {
  if (v->left == 0 || server_visit_write(v->to, visit_answer_new(0, NULL, "piece\n", 6)) != 0)
    rig_visit_end(rig, v, NULL);
  else if (v->left > 0)
    v->left--;
}

static inline void rig_visit(void *arg, const struct visit *v, void *to) {
  struct rig *rig = arg;
  char text[300];
  if (strcmp(v->route, "whole") == 0) {
    snprintf(text, sizeof text, "%s %.200s", v->method, v->body);
    server_visit_end(to, visit_answer_new(201, "X-Route: whole\r\n", text, strlen(text)));
    return;
  }
  struct rig_visit *own = calloc(1, sizeof *own);
  *own = (struct rig_visit){.next = rig->visits, .to = to, .left = -1};
  rig->visits = own;
  rig->visit_count++;
  if (strcmp(v->route, "never") == 0)
    return;
  if (strcmp(v->route, "pieces") == 0)
    own->left = atoi(v->body);
  server_visit_write(to, visit_answer_new(200, "X-Route: pieces\r\n", NULL, 0));
}

static inline void rig_visit_room(void *arg, void *to) {
  rig_piece(arg, rig_visit_of(arg, to));
}

static inline void rig_visit_gone(void *arg, void *to) {
  struct rig *rig = arg;
  rig->gone++;
  rig_visit_end(rig, rig_visit_of(rig, to), NULL);
}

static inline void rig_operate_gone(void *arg, void *to) {
  struct rig *rig = arg;
  rig->gone++;
}

static const struct server_requests rig_requests = {.do_register = rig_register,
                                                    .do_deregister = rig_deregister,
                                                    .do_renew = rig_renew,
                                                    .do_check = rig_check,
                                                    .do_metrics = rig_metrics,
                                                    .do_status = rig_status,
                                                    .do_resolve = rig_resolve,
                                                    .do_operate = rig_operate,
                                                    .do_operate_gone = rig_operate_gone,
                                                    .do_visit = rig_visit,
                                                    .do_visit_room = rig_visit_room,
                                                    .do_visit_gone = rig_visit_gone};

/* --- its life --- */

static void rig_on_turn(uv_prepare_t *turn) {
  struct rig *rig = turn->data;
  do /* what is paced too (a build that was slow, as under sanitizers): tests look right after */
    sets_flush(rig->sets);
  while (sets_due_ns(rig->sets) != 0);
}

static void rig_on_published(void *arg, const struct set_published *what) {
  struct rig *rig = arg;
  assert_int_equal(view_publish_service(rig->view, what), 0);
}

static void rig_on_stopped(void *arg) {
  struct rig *rig = arg;
  uv_close((uv_handle_t *)&rig->turn, NULL);
  uv_close((uv_handle_t *)&rig->stop, NULL);
  uv_close((uv_handle_t *)&rig->release, NULL);
}

static void rig_on_stop(uv_async_t *stop) {
  struct rig *rig = stop->data;
  if (rig->stopping)
    return;
  rig->stopping = true;
  server_stop(rig->server, rig_on_stopped, rig);
}

static void rig_run(void *arg) {
  struct rig *rig = arg;
  uv_run(&rig->loop, UV_RUN_DEFAULT);
}

static inline struct rig *rig_open(const struct server_limits *limits, unsigned workers) {
  struct rig *rig = calloc(1, sizeof *rig);
  struct view_node node = {.name = "n1",
                           .id = "e4746563-ef8f-5575-be66-e282f9627c27",
                           .address = "127.0.0.1",
                           .datacenter = "dc1",
                           .zone = "z1"};
  struct fault f = {0};
  log_set_level(LOG_LEVEL_ERROR);
  signal(SIGPIPE, SIG_IGN); /* as the agent does */
  strcpy(rig->dir, "/tmp/perigee-serve-XXXXXX");
  assert_non_null(mkdtemp(rig->dir));
  uv_loop_init(&rig->loop);
  uv_prepare_init(&rig->loop, &rig->turn);
  uv_async_init(&rig->loop, &rig->stop, rig_on_stop);
  uv_async_init(&rig->loop, &rig->release, rig_release);
  rig->turn.data = rig->stop.data = rig->release.data = rig;
  uv_prepare_start(&rig->turn, rig_on_turn);
  assert_int_equal(catalog_writer_open(rig->dir, &rig->catalog, NULL), 0);
  assert_int_equal(view_new(&node, workers, &rig->view), 0);
  rig->sets = sets_new(rig->catalog, rig_on_published, rig);
  struct server_config config = {
      .http = "127.0.0.1:0", .run_dir = rig->dir, .workers = workers, .version = "0.0-rig"};
  if (limits)
    config.limits = *limits;
  if (server_start(&rig->loop, &config, rig->view, &rig_requests, rig, &rig->server, &f) != 0)
    fail_msg("server_start: %s", f.text);
  server_ready(rig->server, true);
  rig->port = server_port(rig->server);
  uv_thread_create(&rig->thread, rig_run, rig);
  return rig;
}

/* Until its loop has ended. */
static inline void rig_stop(struct rig *rig) {
  uv_async_send(&rig->stop);
  uv_thread_join(&rig->thread);
}

static inline void rig_free(struct rig *rig) {
  sets_free(rig->sets);
  view_free(rig->view);
  catalog_writer_close(rig->catalog);
  while (rig->visits) /* as the agent's parts end after the server */
    rig_visit_end(rig, rig->visits, NULL);
  for (size_t i = 0; i < rig->count; i++)
    registration_state_unref(rig->states[i]);
  assert_int_equal(uv_loop_close(&rig->loop), 0);
  char command[200];
  snprintf(command, sizeof command, "rm -rf %s", rig->dir);
  assert_int_equal(system(command), 0);
  free(rig);
}

static inline void rig_close(struct rig *rig) {
  rig_stop(rig);
  rig_free(rig);
}

/* --- clients --- */

static inline int client_open(const struct rig *rig) {
  struct sockaddr_in a = {.sin_family = AF_INET,
                          .sin_port = htons(rig->port),
                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
  return fd;
}

/* False: the server has closed. */
static inline bool client_send(int fd, const void *bytes, size_t length) {
  const char *p = bytes;
  while (length > 0) {
    ssize_t n = send(fd, p, length, MSG_NOSIGNAL);
    if (n <= 0)
      return false;
    p += n;
    length -= (size_t)n;
  }
  return true;
}

static inline bool client_say(int fd, const char *text) {
  return client_send(fd, text, strlen(text));
}

struct reply {
  int status; /* 0: none came before the connection ended */
  char *head; /* with its blank line */
  char *body;
  size_t length;
};

static inline void reply_free(struct reply *r) {
  free(r->head);
  free(r->body);
  *r = (struct reply){0};
}

/* The value of a header, in a static buffer; NULL: it is not there. */
static inline const char *reply_header(const struct reply *r, const char *name) {
  static char value[512];
  for (const char *line = r->head; line && *line; line = strchr(line, '\n') + 1) {
    size_t n = strlen(name);
    if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
      const char *from = line + n + 1 + strspn(line + n + 1, " ");
      snprintf(value, sizeof value, "%.*s", (int)strcspn(from, "\r\n"), from);
      return value;
    }
  }
  return NULL;
}

/* Reads exactly one answer, byte for byte, so that the next one on the connection stays. */
static inline struct reply client_read(int fd, bool head_only) {
  struct reply r = {0};
  size_t n = 0, room = 8192;
  r.head = calloc(1, room);
  while (n < room - 1 && (n < 4 || memcmp(r.head + n - 4, "\r\n\r\n", 4) != 0))
    if (recv(fd, r.head + n, 1, 0) == 1)
      n++;
    else
      return r;
  r.status = atoi(r.head + 9);
  const char *length = reply_header(&r, "Content-Length");
  r.length = length && !head_only ? (size_t)atoll(length) : 0;
  r.body = calloc(1, r.length + 1);
  for (size_t got = 0; got < r.length;) {
    ssize_t m = recv(fd, r.body + got, r.length - got, 0);
    if (m <= 0)
      fail_msg("an answer was cut off after %zu of %zu bytes", got, r.length);
    got += (size_t)m;
  }
  return r;
}

/* Whether the server closes the connection, and sends nothing more before. */
static inline bool client_closed(int fd) {
  char byte;
  return recv(fd, &byte, 1, 0) == 0;
}

/* One request on a connection of its own, sent in one piece: no deadline passes between two.
 * `body` may be NULL. */
static inline struct reply rig_ask(const struct rig *rig, const char *method, const char *target,
                                   const char *body) {
  char length[50] = "";
  struct buf request = {0};
  int fd = client_open(rig);
  if (body)
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
  buf_format(&request, "%s %s HTTP/1.1\r\nHost: rig\r\nConnection: close\r\n%s\r\n%s", method,
             target, length, body ? body : "");
  client_say(fd, request.data);
  buf_free(&request);
  struct reply r = client_read(fd, strcmp(method, "HEAD") == 0);
  close(fd);
  return r;
}

/* The same, for a status only. */
static inline int rig_status_of(const struct rig *rig, const char *method, const char *target,
                                const char *body) {
  struct reply r = rig_ask(rig, method, target, body);
  int status = r.status;
  reply_free(&r);
  return status;
}

/* One request, whose status and whole text are checked. */
static inline void assert_answer(const struct rig *rig, const char *method, const char *target,
                                 const char *body, int status, const char *text) {
  struct reply r = rig_ask(rig, method, target, body);
  if (r.status != status || (text && strcmp(r.body, text) != 0))
    fail_msg("%s %s: %d %s\nexpected: %d %s", method, target, r.status, r.body ? r.body : "",
             status, text ? text : "");
  reply_free(&r);
}

static inline void rig_hold(struct rig *rig, bool hold) {
  rig->hold = hold;
  if (!hold)
    uv_async_send(&rig->release);
}
