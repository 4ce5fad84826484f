/* fixture: a loop with a vm on it, and `ask`: what a piece of Lua answers as a plugin's function.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/findings.h"
#include "io/io.h"
#include "support/loop.h"
#include "vm/isolate/isolate.h"
#include "vm/plugin/plugin.h"
#include "vm/isolate/task.h"

struct fixture {
  uv_loop_t loop;
  struct io *io;
  struct vm *vm;
  char path[40]; /* of the plugin under test */
};

static inline void run_until(struct fixture *fx, const bool *condition) {
  loop_run_until(&fx->loop, condition);
}

static inline int fixture_open(void **state) {
  struct fixture *fx = calloc(1, sizeof *fx);
  struct fault f = {0};
  uv_loop_init(&fx->loop);
  if (io_new(&fx->loop, &fx->io) != 0)
    return -1;
  struct vm_config config = {.loop = &fx->loop, .io = fx->io, .library = "."};
  if (vm_new(&config, &fx->vm, &f) != 0) {
    fprintf(stderr, "%s\n", f.text);
    return -1;
  }
  strcpy(fx->path, "/tmp/perigee-vm-XXXXXX");
  close(mkstemp(fx->path));
  *state = fx;
  return 0;
}

/* Every test ends so: no isolate, no byte of theirs, no handle, and the loop runs dry. */
static inline int fixture_close(void **state) {
  struct fixture *fx = *state;
  struct vm_stats stats;
  vm_stats(fx->vm, &stats);
  if (stats.isolates || stats.memory || stats.tasks || stats.handles) {
    fprintf(stderr, "left: %zu isolates, %zu bytes, %zu tasks, %zu handles\n", stats.isolates,
            stats.memory, stats.tasks, stats.handles);
    return -1;
  }
  vm_free(fx->vm);
  io_free(fx->io);
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  unlink(fx->path);
  int left = uv_loop_close(&fx->loop);
  free(fx);
  return left;
}

static inline void write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  assert_int_equal(fclose(file), 0);
}

/* Loads `source` as a plugin of `kind`, or returns what was wrong in `f`. */
static inline int load(struct fixture *fx, const char *kind, const char *source,
                       const struct isolate_limits *limits, struct plugin **p, struct fault *f) {
  write_file(fx->path, source);
  return plugin_load(fx->vm, kind, "under_test", fx->path, limits, p, f);
}

/* The answer of a call: its values joined by "|", or "!CODE text". */
struct answer {
  bool over;
  int status;
  char text[4000];
};

static inline void answer_take(void *arg, const struct call_result *r) {
  struct answer *a = arg;
  struct buf b = {0};
  a->over = true;
  a->status = r->status;
  if (r->status != 0)
    buf_format(&b, "!%s %s", errno_name(r->status), r->fault->text);
  for (int i = 1; i <= r->results; i++) {
    buf_text(&b, i > 1 ? "|" : "");
    if (lua_type(r->L, i) == LUA_TNUMBER)
      buf_format(&b, "%.14g", lua_tonumber(r->L, i));
    else if (lua_type(r->L, i) == LUA_TBOOLEAN)
      buf_text(&b, lua_toboolean(r->L, i) ? "true" : "false");
    else if (lua_type(r->L, i) == LUA_TSTRING)
      buf_text(&b, lua_tostring(r->L, i));
    else
      buf_text(&b, lua_typename(r->L, lua_type(r->L, i)));
  }
  snprintf(a->text, sizeof a->text, "%s", b.data ? b.data : "");
  buf_free(&b);
}

/* Runs `body` as the function `run` of a check in an isolate of its own. */
static inline const char *ask_within(struct fixture *fx, const char *body,
                                     const struct isolate_limits *limits) {
  static struct answer a;
  struct buf source = {0};
  struct plugin *p = NULL;
  struct attachment *use = NULL;
  struct findings findings = {0};
  struct fault f = {0};
  a = (struct answer){0};
  buf_format(&source,
             "return { kind = 'check', summary = 'a test', run = function(ctx_, ctx)\n%s\nend }",
             body);
  if (load(fx, "check", source.data, limits, &p, &f) != 0)
    fail_msg("%s", f.text);
  buf_free(&source);
  assert_int_equal(plugin_attach(p, NULL, "test", &use, &findings), 0);
  assert_int_equal(attachment_call(use, "run", NULL, answer_take, &a, 0, NULL), 0);
  assert_false(a.over); /* never from within the call */
  run_until(fx, &a.over);
  attachment_free(use);
  plugin_free(p);
  return a.text;
}

/* The limits that an isolate has by itself, with as much more time as a sanitizer takes. */
static inline struct isolate_limits usual_limits(void) {
  const char *slower = getenv("SPEC_SLOWER");
  return (struct isolate_limits){.turn_ns = 100000000LL * (slower ? 2 * atoi(slower) : 1)};
}

static inline const char *ask(struct fixture *fx, const char *body) {
  const struct isolate_limits limits = usual_limits();
  return ask_within(fx, body, &limits);
}

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
