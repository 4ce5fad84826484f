/* resolver: the one c-ares channel of a loop, its questions in flight, and the answers it keeps.
 * For resolve.c only, which adds literals and deadlines. */
#pragma once

#include "io/inside.h"
#include "io/resolve.h"

/* An answer, shared by the cache and all that waited for it; counted references. */
struct answer {
  unsigned references;
  struct resolve_answer public;
  struct resolve_record records[];
};
struct answer *answer_new(int status, size_t count); /* zeroed; NULL: out of memory */
struct answer *answer_ref(struct answer *a);
void answer_unref(struct answer *a);

struct waiter {
  struct ring link;
  struct answer *answer;              /* a reference, once there is one */
  void (*answered)(struct waiter *w); /* may come from within resolver_ask: only note it */
};
void waiter_init(struct waiter *w, void (*answered)(struct waiter *w));

int resolver_ask(struct io *io, const char *name, enum resolve_type type, struct waiter *w);
/* Waits no longer, and gives its answer back. The last to leave ends the questions in flight. */
void resolver_leave(struct io *io, struct waiter *w);

/* The SRV records of a whole DNS answer as it came over the wire, lowest TTL of the chain in each.
 * NULL: out of memory; an answer with status -EREMOTEIO: not well formed. */
struct answer *srv_parse(const unsigned char *message, int length);
