/* http_options: what a plugin asks of perigee.http, read into fetch's options.
 *
 *     query = { name = value or list }, headers = { Name = "value" }, bearer = "token", etag =
 * '"..."', json = value or body = "text", timeout, connect_timeout, limit, redirects = n or false,
 *     any_status, fresh, stream, outside, unix = "/path",
 *     tls = { ca, cert, key, server_name, verify = false } */
#pragma once

#include <lua.h>
#include <stdbool.h>

#include "io/fetch.h"

struct http_options {
  struct fetch_options
      fetch; /* points into Lua values on the stack: start the fetch before leaving */
  bool any_status;
  bool outside; /* a good response's body stays outside Lua */
};

/* Reads the table (or nil) at `index`, above which it leaves what keeps the texts. Raises for what
 * cannot be. `send`: the body comes later, so that none may be given. */
void http_options_read(lua_State *L, int index, const char *method, const char *url, bool send,
                       struct http_options *out);
