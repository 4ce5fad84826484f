/* spec: timeout 240
 * The process is killed (SIGKILL) at random moments and around its commits, with fixed seeds. It
 * tells of each answer it was given through a pipe; what it was told was a success must be there
 * afterwards, in order, with its lease's deadline. The real clock, the real disk, processes of
 * their own. */
#include "registry/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { IDS = 12, LEASE_MS = 600000, ASKED_MOST = 4096 };

/* A line of the child's log: before a change is asked for, and when it was answered with success.
 */
struct line {
  int answered;
  int id, sequence;
  int number; /* the registration's port, which tells its versions apart; 0: deregistered */
  int64_t deadline_us; /* not before this; 0: no lease */
};

/* What may be found of an id: the state after its last answered change, or after any asked later.
 */
struct expected {
  int numbers[ASKED_MOST], sequences[ASKED_MOST], count;
  int64_t deadline_us; /* of the last answered one */
};

struct child {
  uv_loop_t loop;
  struct store *store;
  struct embedded *e;
  int pipe;
};

struct change {
  struct child *child;
  struct line line;
};

static uint64_t draw(uint64_t *state, uint64_t below) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (*state >> 33) % below;
}

static void tell(const struct child *c, const struct line *line) {
  if (write(c->pipe, line, sizeof *line) != sizeof *line)
    _exit(3);
}

static void on_change_done(void *arg, int status, const char *message) {
  struct change *c = arg;
  if (status != 0)
    _exit(4);
  c->line.answered = 1;
  tell(c->child, &c->line);
  free(c);
}

static struct registration *version(int id, int number) {
  char name[16];
  snprintf(name, sizeof name, "web-%02d", id);
  struct instance *in = instance_new(&(struct instance_draft){
      .id = name, .service = "web", .address = "10.0.0.1", .port = (uint16_t)number, .weight = 1});
  struct registration *r = registration_new(&(struct registration){
      .origin = ORIGIN_HTTP, .instance = in, .lease_ms = id % 2 ? LEASE_MS : 0});
  instance_unref(in);
  return r;
}

static void child_open(struct child *c, const char *dir, int pipe_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  c->pipe = pipe_fd;
  uv_loop_init(&c->loop);
  if (store_open(&c->loop, dir, &c->store, NULL) != 0 ||
      embedded_new(&c->loop, c->store, &(struct embedded_events){0}, NULL, &c->e) != 0 ||
      embedded_restore(c->e) != 0)
    _exit(2);
}

static const char *name_of(int id) {
  static char name[16];
  snprintf(name, sizeof name, "web-%02d", id);
  return name;
}

enum kind { REGISTERS, DEREGISTERS, RENEWS };

static void ask(struct child *c, enum kind kind, int id, int number, int sequence) {
  struct change *ch = calloc(1, sizeof *ch);
  ch->child = c;
  ch->line = (struct line){.id = id, .sequence = sequence, .number = number};
  if (number && id % 2)
    ch->line.deadline_us = clock_wall_us() + LEASE_MS * 1000 - 1000;
  tell(c, &ch->line);
  if (kind == DEREGISTERS) {
    embedded_deregister(c->e, name_of(id), on_change_done, ch);
  } else if (kind == RENEWS) {
    embedded_renew(c->e, name_of(id), on_change_done, ch);
  } else {
    struct registration *r = version(id, number);
    embedded_register(c->e, r, on_change_done, ch);
    registration_unref(r);
  }
}

/* Changes without end, several at once, until it is killed. */
static _Noreturn void child_main(const char *dir, int pipe_fd, uint64_t seed) {
  static struct child c;
  static int numbers[IDS];
  uv_timer_t again; /* a turn whose timers left nothing to wait for must end, too */
  child_open(&c, dir, pipe_fd);
  uv_timer_init(&c.loop, &again);
  uv_timer_start(&again, fixture_wake, 2, 2);
  for (int id = 0; id < IDS; id++) {
    const struct registration_state *s = embedded_find(c.e, name_of(id));
    numbers[id] = s ? s->registration->instance->port : 0;
  }
  for (int sequence = 1, fresh = (int)draw(&seed, 30000) + 1;;) {
    for (uint64_t burst = 1 + draw(&seed, 8); burst > 0; burst--) {
      int id = (int)draw(&seed, IDS);
      uint64_t choice = draw(&seed, 4);
      enum kind kind = numbers[id] == 0 || choice > 1 ? REGISTERS
                       : choice == 0                  ? DEREGISTERS
                                                      : RENEWS;
      if (kind != RENEWS)
        numbers[id] = kind == REGISTERS ? fresh++ % 60000 + 1 : 0;
      ask(&c, kind, id, numbers[id], sequence++);
    }
    uv_run(&c.loop, draw(&seed, 3) ? UV_RUN_ONCE : UV_RUN_NOWAIT);
  }
}

/* ---- the parent ---- */

static void expect(struct expected all[IDS], const struct line *line) {
  struct expected *e = &all[line->id];
  if (!line->answered) {
    assert_true(e->count < ASKED_MOST);
    e->numbers[e->count] = line->number;
    e->sequences[e->count++] = line->sequence;
    return;
  }
  int first = 0;
  while (first < e->count && e->sequences[first] != line->sequence)
    first++;
  assert_true(first < e->count); /* answers come in order */
  e->count -= first;
  memmove(e->numbers, e->numbers + first, (size_t)e->count * sizeof *e->numbers);
  memmove(e->sequences, e->sequences + first, (size_t)e->count * sizeof *e->sequences);
  e->deadline_us = line->deadline_us;
}

static int on_deadline(void *arg, const char *key, const void *value, size_t length) {
  int64_t *wall_us = arg;
  memcpy(&wall_us[atoi(key + 4)], value, sizeof *wall_us);
  return 0;
}

/* Compares, and goes on from what was found. */
static void check_found(const char *dir, struct expected all[IDS]) {
  uv_loop_t loop;
  struct store *store;
  struct embedded *e;
  struct fault fault = {0};
  int64_t wall_us[IDS] = {0};
  uv_loop_init(&loop);
  if (store_open(&loop, dir, &store, &fault) != 0)
    fail_msg("%s", fault.text);
  assert_int_equal(fault.code, 0); /* nothing was damaged */
  assert_int_equal(embedded_new(&loop, store, &(struct embedded_events){0}, NULL, &e), 0);
  assert_int_equal(embedded_restore(e), 0);
  assert_int_equal(store_each(store, "deadline", on_deadline, wall_us), 0);
  for (int id = 0; id < IDS; id++) {
    const struct registration_state *s = embedded_find(e, name_of(id));
    int number = s ? s->registration->instance->port : 0, k = 0;
    while (k < all[id].count && all[id].numbers[k] != number)
      k++;
    if (k == all[id].count)
      fail_msg("%s: version %d was found, which is older than what was answered", name_of(id),
               number);
    if (number && id % 2) /* a lease has its deadline, and never an earlier one */
      assert_true(wall_us[id] > 0 && wall_us[id] >= all[id].deadline_us);
    else
      assert_int_equal(wall_us[id], 0); /* and nothing else has one */
    all[id] = (struct expected){.numbers = {number}, .count = 1, .deadline_us = wall_us[id]};
  }
  embedded_free(e);
  close_store(&loop, store);
  close_loop(&loop);
}

static struct expected *nothing_expected(void) {
  struct expected *all = calloc(IDS, sizeof *all);
  for (int id = 0; id < IDS; id++)
    all[id].count = 1; /* number 0: not there */
  return all;
}

static void test_random_kills(void **state) {
  char dir[64];
  scratch_make(dir);
  struct expected *all = nothing_expected();
  uint64_t seed = 2026;
  int answers = 0;
  for (int round = 0; round < 60; round++) {
    int ends[2], status;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    uint64_t own = draw(&seed, UINT32_MAX);
    pid_t pid = fork();
    if (pid == 0)
      child_main(dir, ends[1], own);
    close(ends[1]);
    struct line line;
    int wanted = (int)draw(&seed, 150), got = 0;
    while (got < wanted && read(ends[0], &line, sizeof line) == sizeof line) {
      expect(all, &line);
      got += line.answered;
    }
    struct timespec little = {.tv_nsec = (long)draw(&seed, 3000000)};
    nanosleep(&little, NULL); /* to hit another instruction, not to wait for anything */
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status))
      fail_msg("the child ended by itself: %d", WEXITSTATUS(status));
    while (read(ends[0], &line, sizeof line) == sizeof line) {
      expect(all, &line);
      got += line.answered;
    }
    answers += got;
    close(ends[0]);
    check_found(dir, all);
  }
  assert_true(answers > 1000);
  free(all);
  scratch_remove(dir);
}

/* One change, killed as soon as it is answered: exactly that is there. */
static void test_killed_at_each_answer(void **state) {
  char dir[64];
  scratch_make(dir);
  struct expected *all = nothing_expected();
  uint64_t seed = 7;
  for (int round = 1; round <= 60; round++) {
    int ends[2], id = (int)draw(&seed, IDS), before = all[id].numbers[0];
    uint64_t choice = before ? draw(&seed, 3) : 2;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
      static struct child c;
      child_open(&c, dir, ends[1]);
      ask(&c,
          choice == 0   ? DEREGISTERS
          : choice == 1 ? RENEWS
                        : REGISTERS,
          id,
          choice == 0   ? 0
          : choice == 1 ? before
                        : round,
          1);
      for (;;)
        uv_run(&c.loop, UV_RUN_ONCE);
    }
    close(ends[1]);
    struct line line;
    for (int i = 0; i < 2; i++) {
      assert_int_equal(read(ends[0], &line, sizeof line), sizeof line);
      expect(all, &line);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ends[0]);
    assert_int_equal(all[id].count, 1);
    check_found(dir, all);
  }
  free(all);
  scratch_remove(dir);
}

int main(void) {
  log_set_level(LOG_LEVEL_ERROR + 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_kills),
      cmocka_unit_test(test_killed_at_each_answer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
