/* blocking: reads with ?index=N&wait=T, which are answered when what they read has news, or the
 * time is over, and then in any case as things are. Consul's rules: an index that is absent or 0 is
 * answered at once; waits are 5 minutes where nothing is said, 10 at most, and a little more by
 * chance, so that those who began together do not all come back together. */
#pragma once

#include "serve/exchange/exchange.h"

struct blocking {
  uint64_t index; /* what the client knows already; 0: nothing */
  int64_t wait_ns;
};

/* False: it is bad, and has been answered. */
bool blocking_read(struct exchange *x, struct blocking *out);
/* To be called when the answer would be what the client knows already. True: it waits until `state`
 * (parking.h) is another one, or its time is over, and the handler, which is called again then,
 * returns. False: it is to be answered now. */
bool blocking_wait(struct exchange *x, const struct blocking *b, const char *service,
                   parking_state state);
