/* clock: time and randomness, reached only through here, so that tests and replays can own them.
 *
 * The picks' own generators (select/) are the exception: they are seeded from clock_random. */
#pragma once

#include <stdint.h>

int64_t clock_now_ns(void); /* monotonic; for intervals and deadlines */
/* Unix time as it was when this was first asked for, and what has passed since: whoever sets the
 * wall clock does not move it. For what lasts a while and is also told to people. */
int64_t clock_steady_us(void);
int64_t clock_wall_us(void); /* Unix time in microseconds; for people, leases on disk, versions */
uint64_t clock_random(void); /* 64 uniform bits; any thread */

/* Monotonic like clock_now_ns, whoever owns that: how long a test itself takes. */
int64_t clock_real_ns(void);

/* CPU time that this thread has used; nobody's but the kernel's. For signal handlers too. */
int64_t clock_thread_ns(void);

/* Uniform in [0, 1). */
double clock_random_unit(void);

/* Replaces the source of all; NULL restores the real one. Before threads start, tests only. */
struct clock_source {
  int64_t (*now_ns)(void *arg);
  int64_t (*wall_us)(void *arg);
  uint64_t (*random)(void *arg);
  void *arg;
};
void clock_use(const struct clock_source *source);
