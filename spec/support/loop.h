/* loop: waiting on a libuv loop for a condition, with a deadline that no loaded machine reaches. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <uv.h>

enum { PATIENCE_MS = 30000 };

static inline void loop_late(uv_timer_t *timer) {
  *(bool *)timer->data = true;
}

static inline void loop_freed(uv_handle_t *handle) {
  free(handle);
}

/* Runs the loop until *condition, or fails the test. */
static inline void loop_run_until(uv_loop_t *loop, const bool *condition) {
  bool late = false;
  uv_timer_t *timer = malloc(sizeof *timer);
  uv_timer_init(loop, timer);
  timer->data = &late;
  uv_timer_start(timer, loop_late, PATIENCE_MS, 0);
  while (!*condition && !late)
    uv_run(loop, UV_RUN_ONCE);
  uv_close((uv_handle_t *)timer, loop_freed);
  if (!*condition)
    fail_msg("nothing came in %d ms", PATIENCE_MS);
}
