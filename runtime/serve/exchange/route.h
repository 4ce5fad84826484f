/* route: what a request is answered by: a row of the table in routes/router.c. */
#pragma once

struct exchange;

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
  ROUTE_LIST = 16,    /* of the reads, one of names, tags and nodes: no status is news to it */
};

struct route {
  unsigned methods;
  const char *pattern; /* a trailing '*' takes the rest of the path, which may be empty */
  void (*handle)(struct exchange *x);
  unsigned flags;
};
