/* perigee.tcp: connect(host, port, { timeout, tls }), listen(host, port). See bind_socket.h for
 * what they return. */
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "vm/bind/bind_socket.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/grant.h"
#include "vm/isolate/script.h"

enum { TIMEOUT_MS = 10000 };

static int connect_call(lua_State *L) {
  static const char *const known[] = {"timeout", "tls", NULL};
  const char *host = luaL_checkstring(L, 1);
  uint16_t port = port_check(L, 2, 1);
  options_check(L, 3, known);
  uint64_t timeout = option_ms(L, 3, "timeout", TIMEOUT_MS);
  struct tls_options options = {0};
  struct fault f;
  bool tls = option_tls(L, 3, "tls", &options);
  wait_check(L);
  if (!granted_host(L, GRANT_CONNECT, host, port) || !tls_granted(L, &options))
    return push_ungranted(L);
  if (scripted(L)) {
    lua_pushfstring(L, "tcp %s port %d: connection timed out", host, (int)port);
    lua_pushfstring(L, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, (int)port);
    return script_ask(L, "connect", 1, timeout, lua_tostring(L, -2));
  }
  struct connecting *c = connecting_new(timeout, "tcp %s port %u", host, port);
  if (!c)
    return push_error(L, -ENOMEM, "out of memory");
  snprintf(c->host, sizeof c->host, "%s", host);
  int rc = tls ? tls_new(&options, host, &c->tls, &f) : 0;
  if (rc < 0) {
    connecting_free(c);
    return push_error(L, outside_code(rc), "tcp %s port %d: %s", host, (int)port, f.text);
  }
  return connecting_wait(
      L, c, socket_connect_tcp(io_of(L), host, port, timeout, on_connected, c, &c->connect));
}

static int listen_call(lua_State *L) {
  struct fault f;
  struct socket_server *server;
  const char *host = luaL_checkstring(L, 1);
  uint16_t port = port_check(L, 2, 0);
  if (!granted_host(L, GRANT_LISTEN, host, port))
    return push_ungranted(L);
  if (scripted(L))
    return luaL_error(L, "perigee.tcp.listen: a test has nobody who would connect");
  int rc = socket_listen_tcp(io_of(L), host, port, &server, &f);
  return rc < 0 ? push_error(L, rc, "%s", f.text) : push_server(L, server);
}

int open_tcp(lua_State *L) {
  socket_types(L);
  lua_newtable(L);
  lua_pushcfunction(L, connect_call);
  lua_setfield(L, -2, "connect");
  lua_pushcfunction(L, listen_call);
  lua_setfield(L, -2, "listen");
  return 1;
}
