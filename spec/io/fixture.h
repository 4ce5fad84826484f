/* fixture: a loop with an io on it, and waiting with a deadline. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/io.h"
#include "support/loop.h"

struct fixture {
  uv_loop_t loop;
  struct io *io;
};

static inline void run_until(struct fixture *fx, const bool *condition) {
  loop_run_until(&fx->loop, condition);
}

static inline int fixture_open(void **state) {
  struct fixture *fx = calloc(1, sizeof *fx);
  uv_loop_init(&fx->loop);
  if (io_new(&fx->loop, &fx->io) < 0)
    return -1;
  *state = fx;
  return 0;
}

/* Every test ends so: nothing is open, the loop runs dry, and nothing is left in it. */
static inline int fixture_close(void **state) {
  struct fixture *fx = *state;
  io_free(fx->io);
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  int rc = uv_loop_close(&fx->loop);
  free(fx);
  return rc;
}

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
