#include "vm/bind/bind_socket.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "io/io.h"
#include "io/tls.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/grant.h"

enum { ALL_MAX = 8 * 1024 * 1024, TLS_TIMEOUT_MS = 10000 };

struct lua_socket {
  struct handle handle;
  struct socket *socket;
  struct task_wait *reader, *writer; /* who waits, or NULL */
  uint64_t timeout_ms;               /* of each read and write; 0 = none */
  char *host;                        /* that was connected to; NULL: unknown */
  bool line;                         /* the read under way is of a line */
};

struct lua_server {
  struct handle handle;
  struct socket_server *server;
  struct task_wait *accepter;
};

static int push_status(lua_State *L, void *arg) {
  int status = *(int *)arg;
  if (status < 0)
    return push_error(L, status, "%s", uv_strerror(status));
  lua_pushboolean(L, 1);
  return 1;
}

/* Wakes who waits on a handle that another task closes. */
static void wake_closed(struct task_wait *w) {
  int status = -ECANCELED;
  if (w)
    task_wake(w, push_status, &status);
}

/* ---- sockets ---- */

static void lua_socket_close(struct handle *h) {
  struct lua_socket *s = (struct lua_socket *)h;
  struct task_wait *reader = s->reader, *writer = s->writer;
  handle_gone(h);
  socket_close(s->socket);
  free(s->host);
  free(s);
  wake_closed(reader);
  wake_closed(writer);
}

struct opened {
  int status;
  struct socket *socket;
  const char *name, *host, *problem; /* the last two may be NULL */
};

/* Hands the socket to Lua, which takes it over, or to nobody. */
static int push_opened(lua_State *L, void *arg) {
  struct opened *o = arg;
  if (o->status < 0)
    return push_error(L, o->status, "%s: %s", o->name,
                      o->problem ? o->problem : io_reason(o->status));
  struct lua_socket *s = calloc(1, sizeof *s);
  if (s && o->host)
    s->host = strdup(o->host);
  if (!s || (o->host && !s->host)) {
    free(s);
    return push_error(L, -ENOMEM, "out of memory");
  }
  s->socket = o->socket;
  o->socket = NULL;
  handle_push(L, &s->handle, "socket", lua_socket_close);
  return 1;
}

static void opened_tell(struct task_wait *w, struct opened *o) {
  task_wake(w, push_opened, o);
  if (o->socket)
    socket_close(o->socket);
}

static struct lua_socket *check_socket(lua_State *L) {
  return (struct lua_socket *)handle_check(L, 1, "socket");
}

struct arrived {
  ssize_t n;
  const char *data;
  bool line;
  const char *problem; /* or NULL */
};

static int push_arrived(lua_State *L, void *arg) {
  const struct arrived *a = arg;
  if (a->n < 0)
    return push_error(L, (int)a->n, "%s",
                      a->n == -EPROTO && a->problem ? a->problem
                      : a->n == -EMSGSIZE           ? "more than the read allows"
                                                    : uv_strerror((int)a->n));
  if (a->n == 0) {
    lua_pushnil(L);
    return 1;
  }
  size_t n = (size_t)a->n;
  if (a->line && a->data[n - 1] == '\n')
    n -= n > 1 && a->data[n - 2] == '\r' ? 2 : 1;
  lua_pushlstring(L, a->data, n);
  return 1;
}

static void on_read(void *arg, ssize_t n, const char *data) {
  struct lua_socket *s = arg;
  struct task_wait *w = s->reader;
  s->reader = NULL;
  task_wake(w, push_arrived, &(struct arrived){n, data, s->line, socket_problem(s->socket)});
}

static void read_cancel(void *operation) {
  struct lua_socket *s = operation;
  s->reader = NULL;
  socket_read_cancel(s->socket);
}

static int read_call(lua_State *L) {
  static const char *const words[] = {"some", "line", "all", NULL};
  static const enum socket_read_kind kinds[] = {SOCKET_SOME, SOCKET_LINE, SOCKET_ALL};
  struct lua_socket *s = check_socket(L);
  enum socket_read_kind kind = SOCKET_EXACTLY;
  size_t n = 0;
  if (lua_type(L, 2) == LUA_TNUMBER) {
    double bytes = lua_tonumber(L, 2);
    luaL_argcheck(L, bytes >= 1 && bytes <= SOCKET_READ_MAX, 2, "from 1 to 16777216 bytes");
    n = (size_t)bytes;
  } else {
    kind = kinds[luaL_checkoption(L, 2, "some", words)];
    n = kind == SOCKET_ALL ? ALL_MAX : 0;
  }
  uint64_t timeout = argument_ms(L, 3, s->timeout_ms);
  wait_check(L);
  keep_while_waiting(L, 1);
  int rc = socket_read(s->socket, kind, n, timeout, on_read, s);
  if (rc < 0)
    return push_error(L, rc, rc == -EBUSY ? "another task reads from this socket" : "%s",
                      uv_strerror(rc));
  s->line = kind == SOCKET_LINE;
  return task_wait(L, s, read_cancel, &s->reader);
}

static void on_written(void *arg, int status) {
  struct lua_socket *s = arg;
  struct task_wait *w = s->writer;
  s->writer = NULL;
  task_wake(w, push_status, &status);
}

static void write_cancel(void *operation) {
  struct lua_socket *s = operation;
  s->writer = NULL;
  socket_write_cancel(s->socket);
}

static int write_failed(lua_State *L, int rc) {
  return push_error(L, rc, rc == -EBUSY ? "another task writes to this socket" : "%s",
                    uv_strerror(rc));
}

static int write_call(lua_State *L) {
  struct lua_socket *s = check_socket(L);
  size_t length;
  for (int i = 2; i <= lua_gettop(L); i++)
    luaL_checkstring(L, i);
  wait_check(L);
  keep_while_waiting(L, 1);
  lua_concat(L, lua_gettop(L) - 1);
  const char *data = lua_tolstring(L, -1, &length);
  int rc = socket_write(s->socket, data, length, s->timeout_ms, on_written, s);
  return rc < 0 ? write_failed(L, rc) : task_wait(L, s, write_cancel, &s->writer);
}

static int shutdown_call(lua_State *L) {
  struct lua_socket *s = check_socket(L);
  wait_check(L);
  keep_while_waiting(L, 1);
  int rc = socket_shutdown(s->socket, on_written, s);
  return rc < 0 ? write_failed(L, rc) : task_wait(L, s, write_cancel, &s->writer);
}

/* ---- TLS ---- */

static int push_shaken(lua_State *L, void *arg) {
  const struct arrived *a = arg;
  if (a->n == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  return push_error(L, (int)a->n, "%s: %s", a->data,
                    a->problem ? a->problem : uv_strerror((int)a->n));
}

static void on_shaken(void *arg, ssize_t n, const char *data) {
  (void)data;
  struct lua_socket *s = arg;
  struct task_wait *w = s->reader;
  char name[SOCKET_NAME_SIZE] = "";
  s->reader = NULL;
  socket_peer_name(s->socket, name);
  task_wake(w, push_shaken,
            &(struct arrived){.n = n, .data = name, .problem = socket_problem(s->socket)});
}

static int starttls_call(lua_State *L) {
  struct lua_socket *s = check_socket(L);
  struct tls_options options = {0};
  struct tls *tls;
  struct fault f;
  lua_settop(L, 3);
  lua_newtable(L); /* whose `tls` the options are, where there are any */
  lua_pushvalue(L, 2);
  lua_setfield(L, -2, "tls");
  option_tls(L, 4, "tls", &options);
  uint64_t timeout = argument_ms(L, 3, s->timeout_ms ? s->timeout_ms : TLS_TIMEOUT_MS);
  wait_check(L);
  if (!tls_granted(L, &options))
    return push_ungranted(L);
  keep_while_waiting(L, 1);
  int rc = tls_new(&options, s->host, &tls, &f);
  if (rc < 0)
    return push_error(L, rc, "%s", f.text);
  rc = socket_start_tls(s->socket, tls, timeout, on_shaken, s);
  if (rc < 0)
    return push_error(L, rc, "%s",
                      rc == -EBUSY      ? "another task reads from this socket, or writes to it"
                      : rc == -EALREADY ? "it is TLS already"
                      : rc == -EPROTO   ? "the peer has sent more in clear than was read"
                                        : uv_strerror(rc));
  return task_wait(L, s, read_cancel, &s->reader);
}

static int timeout_call(lua_State *L) {
  struct lua_socket *s = check_socket(L);
  s->timeout_ms = argument_ms(L, 2, 0);
  return 0;
}

static int push_name(lua_State *L, int rc, const char *name) {
  if (rc < 0)
    return push_error(L, rc, "%s", uv_strerror(rc));
  lua_pushstring(L, name);
  return 1;
}

static int peer_call(lua_State *L) {
  char name[SOCKET_NAME_SIZE];
  int rc = socket_peer_name(check_socket(L)->socket, name);
  return push_name(L, rc, name);
}

static int name_call(lua_State *L) {
  char name[SOCKET_NAME_SIZE];
  int rc = socket_local_name(check_socket(L)->socket, name);
  return push_name(L, rc, name);
}

/* ---- connecting ---- */

struct connecting *connecting_new(uint64_t timeout_ms, const char *format, ...) {
  struct connecting *c = calloc(1, sizeof *c);
  if (!c)
    return NULL;
  if (timeout_ms)
    c->deadline_ns = clock_now_ns() + (int64_t)timeout_ms * 1000000;
  va_list ap;
  va_start(ap, format);
  vsnprintf(c->name, sizeof c->name, format, ap);
  va_end(ap);
  return c;
}

void connecting_free(struct connecting *c) {
  tls_free(c->tls);
  free(c);
}

static void connecting_tell(struct connecting *c, int status, struct socket *socket) {
  struct opened o = {.status = status, .socket = socket, .name = c->name};
  o.host = *c->host ? c->host : NULL;
  o.problem = socket && status < 0 ? socket_problem(socket) : NULL;
  opened_tell(c->wait, &o);
  connecting_free(c);
}

static void on_greeted(void *arg, ssize_t n, const char *data) {
  (void)data;
  struct connecting *c = arg;
  connecting_tell(c, (int)n, c->socket);
}

void on_connected(void *arg, int status, struct socket *socket) {
  struct connecting *c = arg;
  int64_t left_ms = c->deadline_ns ? (c->deadline_ns - clock_now_ns()) / 1000000 : 0;
  struct tls *tls = c->tls;
  if (status < 0 || !tls) {
    connecting_tell(c, status, socket);
    return;
  }
  c->connect = NULL;
  c->socket = socket;
  c->tls = NULL;
  status = socket_start_tls(socket, tls, c->deadline_ns && left_ms < 1 ? 1 : (uint64_t)left_ms,
                            on_greeted, c);
  if (status < 0)
    connecting_tell(c, status, socket);
}

static void connecting_cancel(void *operation) {
  struct connecting *c = operation;
  if (c->socket)
    socket_close(c->socket);
  else
    socket_connect_cancel(c->connect);
  connecting_free(c);
}

int connecting_wait(lua_State *L, struct connecting *c, int rc) {
  if (rc == 0)
    return task_wait(L, c, connecting_cancel, &c->wait);
  int pushed = push_error(L, rc, "%s: %s", c->name, io_reason(rc));
  connecting_free(c);
  return pushed;
}

/* ---- servers ---- */

static void lua_server_close(struct handle *h) {
  struct lua_server *v = (struct lua_server *)h;
  struct task_wait *accepter = v->accepter;
  handle_gone(h);
  socket_server_close(v->server);
  free(v);
  wake_closed(accepter);
}

static struct lua_server *check_server(lua_State *L) {
  return (struct lua_server *)handle_check(L, 1, "server");
}

static void on_accepted(void *arg, int status, struct socket *socket) {
  struct lua_server *v = arg;
  struct task_wait *w = v->accepter;
  v->accepter = NULL;
  opened_tell(w, &(struct opened){.status = status, .socket = socket, .name = "accept"});
}

static void accept_cancel(void *operation) {
  struct lua_server *v = operation;
  v->accepter = NULL;
  socket_accept_cancel(v->server);
}

static int accept_call(lua_State *L) {
  struct lua_server *v = check_server(L);
  uint64_t timeout = argument_ms(L, 2, 0);
  wait_check(L);
  keep_while_waiting(L, 1);
  int rc = socket_accept(v->server, timeout, on_accepted, v);
  if (rc < 0)
    return push_error(L, rc, "another task accepts on this server");
  return task_wait(L, v, accept_cancel, &v->accepter);
}

static int server_name_call(lua_State *L) {
  char name[SOCKET_NAME_SIZE];
  int rc = socket_server_name(check_server(L)->server, name);
  return push_name(L, rc, name);
}

static int server_port_call(lua_State *L) {
  char name[SOCKET_NAME_SIZE];
  int rc = socket_server_name(check_server(L)->server, name);
  if (rc < 0 || strncmp(name, "unix:", 5) == 0)
    return push_error(L, rc < 0 ? rc : -EINVAL, "it has no port");
  lua_pushinteger(L, strtol(strrchr(name, ':') + 1, NULL, 10));
  return 1;
}

int push_server(lua_State *L, struct socket_server *server) {
  struct lua_server *v = calloc(1, sizeof *v);
  if (!v) {
    socket_server_close(server);
    return push_error(L, -ENOMEM, "out of memory");
  }
  v->server = server;
  handle_push(L, &v->handle, "server", lua_server_close);
  return 1;
}

void socket_types(lua_State *L) {
  static const struct luaL_Reg socket[] = {{"read", read_call},         {"write", write_call},
                                           {"shutdown", shutdown_call}, {"starttls", starttls_call},
                                           {"timeout", timeout_call},   {"peer", peer_call},
                                           {"name", name_call},         {NULL, NULL}};
  static const struct luaL_Reg server[] = {{"accept", accept_call},
                                           {"name", server_name_call},
                                           {"port", server_port_call},
                                           {NULL, NULL}};
  luaL_getmetatable(L, "socket");
  bool there = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (there)
    return;
  handle_type(L, "socket", socket);
  handle_type(L, "server", server);
}
