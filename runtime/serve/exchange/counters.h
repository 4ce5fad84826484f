/* counters: what a worker counts. Its own thread writes, any thread reads: relaxed atomics, and no
 * read-modify-write, as there is one writer. A worker's block shares no cache line with another. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf;
struct counters;

enum { COUNTERS_ROUTES = 64 }; /* room for the routing table, and one for what found no route */

enum counter {
  COUNTER_CONNECTIONS, /* accepted */
  COUNTER_CLOSED,      /* of those */
  COUNTER_OVER_TOTAL,  /* refused: too many connections in all */
  COUNTER_OVER_CLIENT, /* refused: too many of one client */
  COUNTER_TIMEOUTS,    /* closed by a deadline with a request half here or an answer half sent */
  COUNTER_BYTES_IN,
  COUNTER_BYTES_OUT,
  COUNTER_PICKS,    /* answered with an endpoint */
  COUNTER_PARKED,   /* requests that began to wait for news */
  COUNTER_UNPARKED, /* of those, no longer */
  COUNTERS
};

/* All of them; zero; NULL: out of memory. What no worker counts in takes none. */
struct counters *counters_new(unsigned workers);
void counters_free(struct counters *all, unsigned workers);
struct counters *counters_of(struct counters *all, unsigned worker);

void counter_add(struct counters *c, enum counter which, uint64_t n);
/* One answered request. `ns`: from its last byte to its answer. */
void counters_request(struct counters *c, unsigned route, int status, int64_t ns);

/* Prometheus text of all workers' sums. `route_name` is called with 0 to `routes` - 1. */
void counters_print(const struct counters *all, unsigned workers, unsigned routes,
                    const char *(*route_name)(unsigned route), struct buf *out);
