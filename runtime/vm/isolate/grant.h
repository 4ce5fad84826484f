/* grant: what an isolate may do outside of itself, by name, as the configuration says in
 *
 *     plugins = { NAME = { grant = { connect = { "self", "*.example.org", "10.0.0.1:443" },
 *                                    listen = { "127.0.0.1:9000" }, read = { "/etc/app/" },
 *                                    write = { "/run/app/list" }, run = { "systemctl" },
 *                                    env = { "HOME" }, register = { "jobs" },
 *                                    ffi = true } } }
 *
 * A host may be followed by a port; without one it is all ports. "*" in it stands for anything; a
 * path that ends with "/" for all below it, out of which no link leads. A unix socket is granted by
 * what begins with "unix:" alone, such a directory too. "self" is the address of the instance that
 * the running call is about, but for the agent's own port. Control thread only; an isolate without
 * a list (limits.grant NULL) may do all. */
#pragma once

#include <lua.h>
#include <stdbool.h>

struct value;

/* What a plugin of this kind is granted where its settings' `grant` is `given` (NULL: nothing), as
 * limits.grant: a check or a policy may always connect to what it is about. 0 or -ENOMEM; *out is
 * the caller's.
 */
int grant_value(const char *kind, const struct value *given, struct value **out);

enum grant {
  GRANT_CONNECT,
  GRANT_LISTEN,
  GRANT_READ,
  GRANT_WRITE,
  GRANT_RUN,
  GRANT_ENV,
  GRANT_REGISTER /* services */
};

/* Whether `what` is granted for `name`: a path, a program, a variable, a service. */
bool granted(lua_State *L, enum grant what, const char *name);
/* For a path. *root: so many bytes of it are the directory that was granted with all below it, out
 * of which no link may lead; 0: it was granted itself, or all is. */
bool granted_path(lua_State *L, enum grant what, const char *path, size_t *root);
/* For a unix socket's, whose grant begins with "unix:". */
bool granted_unix(lua_State *L, enum grant what, const char *path, size_t *root);
/* For a host, whose `port` 0 is none in particular (a name to resolve). */
bool granted_host(lua_State *L, enum grant what, const char *host, unsigned port);
bool granted_ffi(lua_State *L);
bool granted_everything(lua_State *L); /* there is no list */
/* Whether all hosts are granted, so that redirects need no look. */
bool granted_everywhere(lua_State *L);

/* nil, a message that names the grant to add, "EACCES": for what one of the above refused last. */
int push_ungranted(lua_State *L);
/* nil, a message, "EACCES": a link leads out of the path's root. */
int push_outside(lua_State *L, const char *path);
