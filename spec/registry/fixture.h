/* fixture: what the registry's tests share: a clock of their own, a scratch directory, a loop that
 * is run until something is true, and short ways to make registrations. */
#pragma once

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "registry/embedded.h"
#include "registry/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const int64_t second = INT64_C(1000000000);

/* ---- a clock that only the test moves; the wall goes with it, until somebody sets it ---- */

static _Atomic int64_t fixture_now_ns = 1000 * INT64_C(1000000000), fixture_set_ns;

static int64_t fixture_read_now(void *arg) {
  (void)arg;
  return fixture_now_ns;
}

static int64_t fixture_read_wall(void *arg) {
  (void)arg;
  return INT64_C(1700000000000000) + (fixture_now_ns + fixture_set_ns) / 1000;
}

static uint64_t fixture_read_random(void *arg) {
  static _Atomic uint64_t state = 42;
  (void)arg;
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static const struct clock_source fixture_clock = {fixture_read_now, fixture_read_wall,
                                                  fixture_read_random, NULL};

static inline void advance(int64_t ns) {
  fixture_now_ns += ns;
}

static inline void set_wall(int64_t by_ns) {
  fixture_set_ns += by_ns;
}

/* ---- the loop ---- */

static inline double fixture_patience(void) {
  const char *slower = getenv("SPEC_SLOWER");
  return 20.0 * (slower ? atof(slower) : 1);
}

static inline void fixture_wake(uv_timer_t *timer) {
  (void)timer;
}

/* Runs the loop until `*flag` reaches `value`; a test that waits too long fails. */
static inline void run_until(uv_loop_t *loop, const int *flag, int value) {
  struct timespec began, now;
  uv_timer_t wake; /* so that a lost event ends the wait instead of hanging it */
  clock_gettime(CLOCK_MONOTONIC, &began);
  uv_timer_init(loop, &wake);
  uv_timer_start(&wake, fixture_wake, 50, 50);
  while (*flag < value) {
    uv_run(loop, UV_RUN_ONCE);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if ((double)(now.tv_sec - began.tv_sec) > fixture_patience())
      fail_msg("waited too long: %d of %d", *flag, value);
  }
  uv_close((uv_handle_t *)&wake, NULL);
  uv_run(loop, UV_RUN_NOWAIT);
}

static inline void fixture_closed(void *arg) {
  ++*(int *)arg;
}

static inline void close_store(uv_loop_t *loop, struct store *s) {
  int closed = 0;
  store_close(s, fixture_closed, &closed);
  run_until(loop, &closed, 1);
}

static inline void close_loop(uv_loop_t *loop) {
  while (uv_run(loop, UV_RUN_NOWAIT) != 0)
    continue;
  assert_int_equal(uv_loop_close(loop), 0); /* no handle was left open */
}

/* ---- a directory that goes with the test ---- */

static inline void scratch_make(char path[64]) {
  snprintf(path, 64, "/tmp/perigee-spec-XXXXXX");
  assert_non_null(mkdtemp(path));
}

static inline void scratch_remove(const char *path) {
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", path);
  assert_int_equal(system(command), 0);
}

/* ---- registrations ---- */

/* `checks` may be NULL when `count` is 0. */
static inline struct registration *make(const char *service, const char *id, int64_t lease_ms,
                                        struct check_definition *checks, uint32_t count) {
  struct instance *in = instance_new(&(struct instance_draft){
      .id = id, .service = service, .address = "10.0.0.1", .port = 80, .weight = 1});
  struct registration *r = registration_new(&(struct registration){.origin = ORIGIN_HTTP,
                                                                   .instance = in,
                                                                   .checks = checks,
                                                                   .check_count = count,
                                                                   .lease_ms = lease_ms,
                                                                   .weight_warning = 1});
  instance_unref(in);
  assert_non_null(r);
  return r;
}

/* Answers, counted; the last one is kept. */
struct answers {
  int count, status;
  char message[500];
};

static inline void on_answer(void *arg, int status, const char *message) {
  struct answers *a = arg;
  a->count++;
  a->status = status;
  snprintf(a->message, sizeof a->message, "%s", message);
}
