/* router: the one table of what the server answers, and how a request finds its row. */
#pragma once

#include "serve/exchange.h"

enum {
  METHOD_GET = 1,
  METHOD_PUT = 2,
  METHOD_POST = 4,
  METHOD_DELETE = 8,
  METHOD_PATCH = 16
}; /* GET means HEAD too */

enum {
  ROUTE_CONSUL = 1, /* a path of Consul's: its common headers */
  ROUTE_READ = 2, /* of those, a read: ?dc, ?index and the like are checked, X-Consul-Index said */
  ROUTE_OPERATOR = 4, /* only over a listener that may operate the agent */
  ROUTE_SERVICE = 8,  /* of the reads, one about the service that the '*' is: its own index */
};

struct route {
  unsigned methods;
  const char *pattern; /* a trailing '*' takes the rest of the path, which may be empty */
  void (*handle)(struct exchange *x);
  unsigned flags;
};

/* The row for this path. `*allowed` is 0, or the methods that the path has rows for when the given
 * one is not among them. Sets `*rest` to where begins what the '*' takes. NULL: no row. */
const struct route *route_find(uint8_t method, const char *path, size_t length, unsigned *allowed,
                               size_t *rest);
unsigned routes_count(void);                      /* rows, and one for what found none */
unsigned route_number(const struct route *route); /* NULL: that one */
const char *route_name(unsigned number);
