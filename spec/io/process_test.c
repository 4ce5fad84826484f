/* Processes: what they say, what they are told, and that none is left. */
#include "io/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "io/process.h"

struct outcome {
  bool done;
  int calls, code, signal;
  bool timed_out, truncated;
  size_t out_length;
  char out[1024], err[256];
};

static void note(void *arg, const struct process_result *r) {
  struct outcome *o = arg;
  o->done = true;
  o->calls++;
  o->code = r->code;
  o->signal = r->signal;
  o->timed_out = r->timed_out;
  o->truncated = r->truncated;
  o->out_length = r->out_length;
  snprintf(o->out, sizeof o->out, "%s", r->out);
  snprintf(o->err, sizeof o->err, "%s", r->err);
}

static struct process *begin(struct fixture *fx, struct outcome *o, const char *script,
                             struct process_options options) {
  const char *args[] = {"sh", "-c", script, NULL};
  struct process *p;
  *o = (struct outcome){0};
  if (!options.args)
    options.args = args;
  assert_int_equal(process_start(fx->io, &options, note, o, &p), 0);
  assert_false(o->done);
  return p;
}

static struct outcome run_with(struct fixture *fx, const char *script,
                               struct process_options options) {
  struct outcome o;
  begin(fx, &o, script, options);
  run_until(fx, &o.done);
  return o;
}

static struct outcome run(struct fixture *fx, const char *script) {
  return run_with(fx, script, (struct process_options){0});
}

/* No child is left, neither running nor as a zombie. */
static void assert_no_child(void) {
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
  assert_int_equal(errno, ECHILD);
}

static void tells_its_output_and_code(void **state) {
  struct outcome o = run(*state, "echo out; echo err >&2; exit 3");
  assert_int_equal(o.code, 3);
  assert_int_equal(o.signal, 0);
  assert_string_equal(o.out, "out\n");
  assert_string_equal(o.err, "err\n");
  assert_int_equal(run(*state, "kill -USR1 $$").signal, SIGUSR1);
  assert_no_child();
}

static void gets_input_environment_and_directory(void **state) {
  static const char *const env[] = {"PATH=/usr/bin:/bin", "COLOUR=blue", NULL};
  struct outcome o = run_with(
      *state, "cat; echo $COLOUR $HOME; pwd",
      (struct process_options){.input = "in\n", .input_length = 3, .env = env, .cwd = "/usr"});
  assert_string_equal(o.out, "in\nblue\n/usr\n");
  o = run_with(*state, "exec <&-; echo done", /* does not read a lot of input */
               (struct process_options){.input = "x", .input_length = 1});
  assert_string_equal(o.out, "done\n");
}

static void input_that_is_not_read(void **state) {
  size_t length = 1 << 20;
  char *input = calloc(1, length);
  struct outcome o = run_with(*state, "echo done",
                              (struct process_options){.input = input, .input_length = length});
  assert_string_equal(o.out, "done\n");
  free(input);
}

static void output_over_the_limit_is_dropped(void **state) {
  struct outcome o = run_with(*state, "yes | head -c 1000000; echo end >&2",
                              (struct process_options){.output_limit = 1000});
  assert_int_equal(o.code, 0);
  assert_int_equal(o.out_length, 1000);
  assert_true(o.truncated);
  assert_string_equal(o.err, "end\n");
  o = run_with(*state, "yes | head -c 1000", (struct process_options){.output_limit = 1000});
  assert_false(o.truncated);
}

static void what_cannot_be_run(void **state) {
  struct fixture *fx = *state;
  static const char *const none[] = {"/no/such/program", NULL}, *const sh[] = {"sh", NULL};
  struct process *p;
  assert_int_equal(process_start(fx->io, &(struct process_options){.args = none}, note, NULL, &p),
                   -ENOENT);
  assert_int_equal(process_start(fx->io, &(struct process_options){.args = sh, .cwd = "/nowhere"},
                                 note, NULL, &p),
                   -ENOENT);
  assert_no_child();
}

/* True once nobody has the FIFO open for writing: the whole group is gone. */
struct life {
  char path[64];
  int fd;
};

static struct life life_open(void) {
  struct life l;
  strcpy(l.path, "/tmp/perigee-life-XXXXXX");
  close(mkstemp(l.path));
  unlink(l.path);
  assert_int_equal(mkfifo(l.path, 0600), 0);
  l.fd = open(l.path, O_RDONLY | O_NONBLOCK);
  return l;
}

static void life_turn(struct fixture *fx, uint64_t begun) {
  uv_run(&fx->loop, UV_RUN_NOWAIT);
  if (uv_hrtime() - begun > (uint64_t)PATIENCE_MS * 1000000)
    fail_msg("the group lives on");
}

static void life_begun(struct fixture *fx, struct life *l) {
  uint64_t begun = uv_hrtime();
  char byte;
  while (read(l->fd, &byte, 1) != 1)
    life_turn(fx, begun);
}

static void life_over(struct fixture *fx, struct life *l) {
  uint64_t begun = uv_hrtime();
  char rest[16];
  while (read(l->fd, rest, sizeof rest) != 0) /* EAGAIN while a writer lives */
    life_turn(fx, begun);
  close(l->fd);
  unlink(l->path);
}

static void the_deadline_ends_the_whole_group(void **state) {
  struct fixture *fx = *state;
  struct life l = life_open();
  char script[256];
  snprintf(script, sizeof script, "exec 3>%s; sleep 1000 & echo x >&3; echo said; wait", l.path);
  struct outcome o = run_with(fx, script, (struct process_options){.timeout_ms = 300});
  assert_true(o.timed_out);
  assert_int_equal(o.signal, SIGTERM);
  life_over(fx, &l);
  assert_no_child();
}

static void a_cancel_ends_the_whole_group(void **state) {
  struct fixture *fx = *state;
  struct life l = life_open();
  struct outcome o;
  char script[256];
  snprintf(script, sizeof script, "exec 3>%s; sleep 1000 & sleep 1000 & echo x >&3; wait", l.path);
  struct process *p = begin(fx, &o, script, (struct process_options){0});
  life_begun(fx, &l);
  process_cancel(p);
  life_over(fx, &l);
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  assert_int_equal(o.calls, 0);
  assert_int_equal(io_open(fx->io), 0);
  assert_no_child();
}

static void who_ignores_sigterm_is_killed(void **state) {
  struct fixture *fx = *state;
  struct life l = life_open();
  struct outcome o;
  char script[256];
  snprintf(script, sizeof script, "trap '' TERM; exec 3>%s; echo x >&3; while :; do sleep 1; done",
           l.path);
  struct process *p = begin(fx, &o, script, (struct process_options){0});
  life_begun(fx, &l);
  process_cancel(p);
  life_over(fx, &l);
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  assert_no_child();
}

/* What the leader leaves in its group ends with it, and does not hold its output open. */
static void leftovers_are_killed(void **state) {
  struct fixture *fx = *state;
  struct life l = life_open();
  char script[256];
  snprintf(script, sizeof script, "exec 3>%s; sleep 1000 & echo started", l.path);
  struct outcome o = run(fx, script);
  assert_string_equal(o.out, "started\n");
  assert_int_equal(o.code, 0);
  life_over(fx, &l);
}

/* One who left the group holds the pipes: the result does not wait for it. */
static void an_escaped_child_does_not_hold_the_result(void **state) {
  struct fixture *fx = *state;
  char path[] = "/tmp/perigee-escaped-XXXXXX", script[256], text[32] = "";
  int fd = mkstemp(path);
  snprintf(script, sizeof script,
           "setsid sh -c 'echo $$ >%s; exec sleep 1000' & while [ ! -s %s ]; do sleep 0.01; done",
           path, path);
  struct outcome o = run(fx, script);
  assert_int_equal(o.code, 0);
  assert_true(read(fd, text, sizeof text - 1) > 0);
  assert_int_equal(kill(atoi(text), SIGKILL), 0); /* it lives, and the result was there */
  close(fd);
  unlink(path);
}

static void no_descriptor_leaks_to_a_child(void **state) {
  struct fixture *fx = *state;
  int leaky = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as libraries do */
  struct outcome o = run(fx, "ls /proc/self/fd | wc -l");
  assert_int_equal(atoi(o.out), 4); /* 0, 1, 2 and ls's own of the directory */
  close(leaky);
}

static int count_fds(void) {
  int count = 0;
  for (int fd = 0; fd < 1024; fd++)
    count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

static void no_descriptor_leaks_here(void **state) {
  struct fixture *fx = *state;
  struct process *p;
  static const char *const none[] = {"/no/such/program", NULL};
  run(fx, "true");
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  int before = count_fds();
  for (int i = 0; i < 20; i++) {
    run(fx, "true");
    process_start(fx->io, &(struct process_options){.args = none}, note, NULL, &p);
  }
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  assert_int_equal(count_fds(), before);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(tells_its_output_and_code),
      FIXTURE_TEST(gets_input_environment_and_directory),
      FIXTURE_TEST(input_that_is_not_read),
      FIXTURE_TEST(output_over_the_limit_is_dropped),
      FIXTURE_TEST(what_cannot_be_run),
      FIXTURE_TEST(the_deadline_ends_the_whole_group),
      FIXTURE_TEST(a_cancel_ends_the_whole_group),
      FIXTURE_TEST(who_ignores_sigterm_is_killed),
      FIXTURE_TEST(leftovers_are_killed),
      FIXTURE_TEST(an_escaped_child_does_not_hold_the_result),
      FIXTURE_TEST(no_descriptor_leaks_to_a_child),
      FIXTURE_TEST(no_descriptor_leaks_here),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
