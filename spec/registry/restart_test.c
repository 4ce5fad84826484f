/* What a restart brings back, and what it does not: the same process closes and opens again. */
#include "registry/fixture.h"

#include "base/value.h"
#include "registry/owners.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct fixture {
  uv_loop_t loop;
  char dir[64];
  struct store *store;
  struct embedded *e;
  struct answers answers;
  int gone, started;
};

static void on_changed(void *arg, const struct registration_state *s, bool gone) {
  struct fixture *fx = arg;
  fx->gone += gone;
}

static void on_start(void *arg, uint64_t handle, const struct registration *r, uint32_t i) {
  struct fixture *fx = arg;
  fx->started++;
}

static const struct embedded_events events = {.changed = on_changed, .check_start = on_start};

static void start(struct fixture *fx) {
  struct fault f = {0};
  if (store_open(&fx->loop, fx->dir, &fx->store, &f) != 0)
    fail_msg("%s", f.text);
  fx->gone = fx->started = 0;
  assert_int_equal(embedded_new(&fx->loop, fx->store, &events, fx, &fx->e), 0);
  assert_int_equal(embedded_restore(fx->e), 0);
}

static void stop(struct fixture *fx) {
  embedded_free(fx->e);
  close_store(&fx->loop, fx->store);
}

static int setup(void **state) {
  struct fixture *fx = calloc(1, sizeof *fx);
  log_set_level(LOG_LEVEL_ERROR + 1);
  clock_use(&fixture_clock);
  uv_loop_init(&fx->loop);
  scratch_make(fx->dir);
  start(fx);
  *state = fx;
  return 0;
}

static int teardown(void **state) {
  struct fixture *fx = *state;
  stop(fx);
  close_loop(&fx->loop);
  scratch_remove(fx->dir);
  free(fx);
  return 0;
}

static int do_register(struct fixture *fx, struct registration *r) {
  int before = fx->answers.count;
  assert_int_equal(embedded_register(fx->e, r, on_answer, &fx->answers), 0);
  registration_unref(r);
  advance(second / 100);
  run_until(&fx->loop, &fx->answers.count, before + 1);
  return fx->answers.status;
}

static void do_deregister(struct fixture *fx, const char *id) {
  int before = fx->answers.count;
  embedded_deregister(fx->e, id, on_answer, &fx->answers);
  run_until(&fx->loop, &fx->answers.count, before + 1);
  assert_int_equal(fx->answers.status, 0);
}

static void test_registrations_return(void **state) {
  struct fixture *fx = *state;
  struct value *options = value_table();
  value_set(options, "http", value_text("/healthz", 8));
  struct check_definition c = {.id = "c",
                               .name = "n",
                               .plugin = "http",
                               .options = options,
                               .interval_ns = second,
                               .initial = STATUS_PASSING};
  struct registration *r = make("web", "web-1", 0, &c, 1), *keep = registration_ref(r);
  do_register(fx, r);
  do_register(fx, make("web", "web-2", 0, NULL, 0));
  do_register(fx, make("web", "web-3", 0, NULL, 0));
  do_deregister(fx, "web-3");
  assert_int_equal(embedded_find(fx->e, "web-1")->status, STATUS_PASSING);
  stop(fx);
  start(fx);
  assert_int_equal(embedded_count(fx->e), 2);
  assert_true(registration_equal(embedded_find(fx->e, "web-1")->registration, keep));
  /* It was passing, and said so at its registration: it must say so again. */
  assert_int_equal(embedded_find(fx->e, "web-1")->status, STATUS_CRITICAL);
  assert_int_equal(embedded_find(fx->e, "web-2")->status, STATUS_PASSING); /* it has no checks */
  assert_int_equal(fx->started, 1);
  registration_unref(keep);
  value_unref(options);
}

static void test_leases_return_with_their_deadline(void **state) {
  struct fixture *fx = *state;
  do_register(fx, make("web", "long", 10000, NULL, 0));
  do_register(fx, make("web", "renewed", 2000, NULL, 0));
  do_register(fx, make("web", "short", 2000, NULL, 0));
  advance(second);
  do_register(fx, make("web", "renewed", 2000, NULL, 0)); /* until 3 s and a bit */
  stop(fx);
  advance(second * 3 / 2); /* 2.5 s */
  start(fx);
  assert_null(embedded_find(fx->e, "short")); /* it ran out while nobody was there */
  assert_non_null(embedded_find(fx->e, "renewed"));
  advance(second * 4 / 10);
  embedded_tick(fx->e);
  assert_non_null(embedded_find(fx->e, "renewed"));
  advance(second * 2 / 10); /* 3.1 s */
  embedded_tick(fx->e);
  assert_null(embedded_find(fx->e, "renewed"));
  advance(second * 67 / 10); /* 9.8 s */
  embedded_tick(fx->e);
  assert_non_null(embedded_find(fx->e, "long"));
  advance(second * 3 / 10);
  embedded_tick(fx->e);
  assert_null(embedded_find(fx->e, "long"));
  stop(fx); /* and what expired stays away */
  start(fx);
  assert_int_equal(embedded_count(fx->e), 0);
}

/* The wall clock was set back by a day meanwhile: no lease becomes longer than it is. */
static void test_wall_clock_set_back(void **state) {
  struct fixture *fx = *state;
  do_register(fx, make("web", "web-1", 2000, NULL, 0));
  stop(fx);
  advance(-24 * 3600 * second);
  start(fx);
  assert_non_null(embedded_find(fx->e, "web-1"));
  advance(second * 21 / 10);
  embedded_tick(fx->e);
  assert_null(embedded_find(fx->e, "web-1"));
  advance(24 * 3600 * second);
}

/* Within one boot it does not matter where the wall clock is set: neither shorter nor longer. */
static void test_wall_clock_set_within_a_boot(void **state) {
  struct fixture *fx = *state;
  const int64_t day = 24 * 3600 * second;
  stop(fx);
  start(fx); /* the boot is known from now on */
  do_register(fx, make("web", "web-1", 2000, NULL, 0));
  for (int i = 0; i < 2; i++) {
    stop(fx);
    set_wall(i == 0 ? day : -2 * day);
    advance(second / 2);
    start(fx);
    assert_non_null(embedded_find(fx->e, "web-1"));
  }
  advance(second * 11 / 10);
  embedded_tick(fx->e);
  assert_null(embedded_find(fx->e, "web-1"));
  set_wall(day);
}

static void test_configuration_is_not_restored(void **state) {
  struct fixture *fx = *state;
  struct registration *r = make("web", "c-1", 0, NULL, 0), draft = *r;
  draft.origin = ORIGIN_CONFIGURATION;
  struct registration *list[] = {registration_new(&draft)};
  do_register(fx, r); /* registered first, then taken over by the configuration */
  embedded_configure(fx->e, list, 1);
  registration_unref(list[0]);
  assert_int_equal(embedded_count(fx->e), 1);
  stop(fx);
  start(fx);
  assert_int_equal(embedded_count(fx->e), 0);
}

/* A record of a newer perigee: not held, not deleted. */
static void test_unreadable_record_stays(void **state) {
  struct fixture *fx = *state;
  store_put(fx->store, "registration", "odd", "\x07what", 5, NULL, NULL);
  do_register(fx, make("web", "web-1", 0, NULL, 0));
  for (int i = 0; i < 2; i++) {
    stop(fx);
    start(fx);
    struct embedded_stats st;
    embedded_stats(fx->e, &st);
    assert_int_equal(st.unreadable, 1);
    assert_int_equal(st.restored, 1);
    assert_int_equal(embedded_count(fx->e), 1);
  }
}

/* ---- owners ---- */

static pid_t spawn_sleeper(void) {
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
      pause();
  }
  return pid;
}

static void end_process(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}

static struct registration *owned(const char *id, int pid, uint64_t start) {
  struct registration *r = make("web", id, 0, NULL, 0), draft = *r;
  draft.owner_pid = pid;
  draft.owner_start = start;
  struct registration *out = registration_new(&draft);
  registration_unref(r);
  return out;
}

static void test_dead_owner_ends_it_at_once(void **state) {
  struct fixture *fx = *state;
  pid_t pid = spawn_sleeper(), other = spawn_sleeper();
  assert_int_equal(do_register(fx, owned("a", pid, 0)), 0);
  assert_int_equal(do_register(fx, owned("b", pid, 0)), 0); /* one pidfd for both */
  assert_int_equal(do_register(fx, owned("c", other, 0)), 0);
  uint64_t start_time;
  assert_int_equal(owner_start_time(pid, &start_time), 0);
  assert_true(embedded_find(fx->e, "a")->registration->owner_start == start_time);
  kill(pid, SIGKILL); /* not waited for: a zombie is dead, too */
  run_until(&fx->loop, &fx->gone, 2);
  assert_null(embedded_find(fx->e, "a"));
  assert_null(embedded_find(fx->e, "b"));
  assert_non_null(embedded_find(fx->e, "c"));
  assert_int_equal(do_register(fx, owned("a", pid, 0)), -ESRCH);
  end_process(pid);
  assert_int_equal(do_register(fx, owned("a", pid, start_time)), -ESRCH);
  assert_int_equal(owner_start_time(other, &start_time), 0);
  assert_int_equal(do_register(fx, owned("a", other, start_time + 1)), -ESRCH);
  assert_string_equal(strstr(fx->answers.message, "does not run"), "does not run");
  struct embedded_stats st;
  embedded_stats(fx->e, &st);
  assert_int_equal(st.orphaned, 2);
  end_process(other);
}

static void test_owned_return_if_the_owner_lives(void **state) {
  struct fixture *fx = *state;
  pid_t dead = spawn_sleeper(), alive = spawn_sleeper();
  do_register(fx, owned("dead", dead, 0));
  do_register(fx, owned("alive", alive, 0));
  stop(fx);
  end_process(dead);
  start(fx);
  assert_null(embedded_find(fx->e, "dead"));
  assert_non_null(embedded_find(fx->e, "alive"));
  end_process(alive);
  run_until(&fx->loop, &fx->gone, 1); /* watched again */
  assert_int_equal(embedded_count(fx->e), 0);
}

/* After a reboot a pid and a start time may name another process. */
static void test_owned_do_not_return_after_a_reboot(void **state) {
  struct fixture *fx = *state;
  pid_t alive = spawn_sleeper();
  do_register(fx, owned("alive", alive, 0));
  store_put(fx->store, "meta", "boot", "00000000-0000-0000-0000-000000000000", 36, NULL, NULL);
  stop(fx);
  start(fx);
  assert_int_equal(embedded_count(fx->e), 0);
  do_register(fx, owned("alive", alive, 0));
  stop(fx); /* the new boot was noted */
  start(fx);
  assert_int_equal(embedded_count(fx->e), 1);
  end_process(alive);
}

/* Replaced by one with another owner, the first one's death no longer matters. */
static void test_owner_changes(void **state) {
  struct fixture *fx = *state;
  pid_t first = spawn_sleeper(), then = spawn_sleeper();
  do_register(fx, owned("a", first, 0));
  do_register(fx, owned("a", then, 0));
  do_register(fx, owned("b", first, 0));
  end_process(first);
  run_until(&fx->loop, &fx->gone, 1);
  assert_null(embedded_find(fx->e, "b"));
  assert_non_null(embedded_find(fx->e, "a"));
  end_process(then);
  run_until(&fx->loop, &fx->gone, 2);
  assert_int_equal(embedded_count(fx->e), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      T(test_registrations_return),
      T(test_leases_return_with_their_deadline),
      T(test_wall_clock_set_back),
      T(test_wall_clock_set_within_a_boot),
      T(test_configuration_is_not_restored),
      T(test_unreadable_record_stays),
      T(test_dead_owner_ends_it_at_once),
      T(test_owned_return_if_the_owner_lives),
      T(test_owned_do_not_return_after_a_reboot),
      T(test_owner_changes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
