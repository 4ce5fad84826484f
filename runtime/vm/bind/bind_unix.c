/* perigee.unix: connect(path, { timeout }), listen(path). See bind_socket.h for what they return.
 */
#include <errno.h>
#include <lauxlib.h>

#include "base/fault.h"
#include "vm/bind/bind_socket.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/grant.h"
#include "vm/isolate/script.h"

enum { TIMEOUT_MS = 10000 };

static int connect_call(lua_State *L) {
  static const char *const known[] = {"timeout", NULL};
  const char *path = luaL_checkstring(L, 1);
  options_check(L, 2, known);
  uint64_t timeout = option_ms(L, 2, "timeout", TIMEOUT_MS);
  wait_check(L);
  size_t root;
  if (!granted_unix(L, GRANT_CONNECT, path, &root))
    return push_ungranted(L);
  if (scripted(L)) {
    lua_pushfstring(L, "%s: connection timed out", path);
    lua_pushfstring(L, "unix:%s", path);
    return script_ask(L, "connect", 1, timeout, lua_tostring(L, -2));
  }
  struct connecting *c = connecting_new(timeout, "%s", path);
  if (!c)
    return push_error(L, -ENOMEM, "out of memory");
  int rc = socket_connect_unix(io_of(L), path, root, timeout, on_connected, c, &c->connect);
  if (rc != -EXDEV)
    return connecting_wait(L, c, rc);
  connecting_free(c);
  return push_outside(L, path);
}

static int listen_call(lua_State *L) {
  struct fault f;
  struct socket_server *server;
  const char *path = luaL_checkstring(L, 1);
  size_t root;
  if (!granted_unix(L, GRANT_LISTEN, path, &root))
    return push_ungranted(L);
  if (scripted(L))
    return luaL_error(L, "perigee.unix.listen: a test has nobody who would connect");
  int rc = socket_listen_unix(io_of(L), path, root, &server, &f);
  if (rc == -EXDEV)
    return push_outside(L, path);
  return rc < 0 ? push_error(L, rc, "%s", f.text) : push_server(L, server);
}

int open_unix(lua_State *L) {
  socket_types(L);
  lua_newtable(L);
  lua_pushcfunction(L, connect_call);
  lua_setfield(L, -2, "connect");
  lua_pushcfunction(L, listen_call);
  lua_setfield(L, -2, "listen");
  return 1;
}
