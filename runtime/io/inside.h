/* inside: what the files of io/ share and nobody else sees. */
#pragma once

#include <stdint.h>

#include "io/io.h"
#include "io/ring.h"

struct resolver;
struct fetch_pool;

struct io {
  uv_loop_t *loop;
  size_t references; /* the owner's, and one for each thing that is open */
  uv_idle_t idle;    /* runs while `queue` has something */
  struct ring queue;
  struct resolver *resolver; /* both NULL until first needed */
  struct fetch_pool *pool;
};

void io_hold(struct io *io);
void io_drop(struct io *io);

/* later: a call from the loop's next turn, with nothing else on the stack. It is how an outcome
 * that is known at once still arrives from the loop, and how what libcurl and c-ares report reaches
 * callers that may call them again. */
struct later {
  struct ring link;
  void (*run)(struct later *l);
};
void later_init(struct later *l, void (*run)(struct later *l));
void later_start(struct io *io, struct later *l); /* once pending, again does nothing */
void later_stop(struct later *l);

/* `ms` from now, where 0 would be at once: callers test for "no deadline" themselves. */
void timer_start(uv_timer_t *timer, uv_timer_cb over, uint64_t ms);

void resolver_free(struct resolver *r);
void fetch_pool_free(struct fetch_pool *p);
