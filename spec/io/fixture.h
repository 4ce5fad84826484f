/* fixture: a loop with an io on it, waiting with a deadline, and the peers of peer.js. */
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
#include <sys/wait.h>
#include <unistd.h>

#include "io/io.h"

enum { PATIENCE_MS = 20000 };

struct fixture {
  uv_loop_t loop;
  struct io *io;
};

static inline void fixture_late(uv_timer_t *timer) {
  *(bool *)timer->data = true;
}

static inline void fixture_freed(uv_handle_t *handle) {
  free(handle);
}

/* Runs the loop until *condition, or fails the test. */
static inline void run_until(struct fixture *fx, const bool *condition) {
  bool late = false;
  uv_timer_t *timer = malloc(sizeof *timer);
  uv_timer_init(&fx->loop, timer);
  timer->data = &late;
  uv_timer_start(timer, fixture_late, PATIENCE_MS, 0);
  while (!*condition && !late)
    uv_run(&fx->loop, UV_RUN_ONCE);
  uv_close((uv_handle_t *)timer, fixture_freed);
  if (!*condition)
    fail_msg("nothing came in %d ms", PATIENCE_MS);
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

struct peer {
  char directory[64];
  pid_t pid;
  int input;
  int http, six, https, dns;
};

static inline int peer_open(struct peer *p) {
  strcpy(p->directory, "/tmp/perigee-io-XXXXXX");
  if (!mkdtemp(p->directory))
    return -1;
  char command[512];
  snprintf(command, sizeof command, "sh spec/io/certificates.sh %s", p->directory);
  int in[2], out[2];
  if (system(command) != 0 || pipe(in) < 0 || pipe(out) < 0)
    return -1;
  p->pid = fork();
  if (p->pid == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    close(in[1]);
    close(out[0]);
    execlp("node", "node", "spec/io/peer.js", p->directory, (char *)NULL);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  p->input = in[1];
  FILE *line = fdopen(out[0], "r");
  int n = fscanf(line, "{\"http\":%d,\"six\":%d,\"https\":%d,\"dns\":%d}", &p->http, &p->six,
                 &p->https, &p->dns);
  fclose(line);
  return n == 4 ? 0 : -1;
}

static inline void peer_close(struct peer *p) {
  close(p->input);
  waitpid(p->pid, NULL, 0);
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", p->directory);
  if (system(command) != 0)
    fprintf(stderr, "%s is left\n", p->directory);
}
