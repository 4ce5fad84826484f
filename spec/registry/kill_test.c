/* spec: timeout 240
 * The process is killed (SIGKILL) at random moments and around its commits, with fixed seeds. It tells
 * of each answer it was given through a pipe; what it was told was a success must be there afterwards,
 * in order, with its lease's deadline. The real clock, the real disk, processes of their own. */
#include "registry/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { IDS = 12, LEASE_MS = 600000 };

/* One answered change: what the child was promised. */
struct promise {
  int id;
  int number;          /* the registration's port: which version of it */
  int lives;           /* or was deregistered */
  int64_t deadline_us; /* not before this; 0: no lease */
};

struct child {
  uv_loop_t loop;
  struct store *store;
  struct embedded *e;
  int pipe;
};

struct change {
  struct child *child;
  struct promise promise;
};

static uint64_t draw(uint64_t *state, uint64_t below) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (*state >> 33) % below;
}

static void on_changed_answered(void *arg, int status, const char *message) {
  struct change *c = arg;
  if (status == 0 && write(c->child->pipe, &c->promise, sizeof c->promise) != sizeof c->promise)
    _exit(3);
  free(c);
}

static struct registration *version(int id, int number) {
  char name[16];
  snprintf(name, sizeof name, "web-%02d", id);
  struct instance *in = instance_new(&(struct instance_draft){.id = name,
                                                              .service = "web",
                                                              .address = "10.0.0.1",
                                                              .port = (uint16_t)number,
                                                              .weight = 1});
  struct registration *r = registration_new(&(struct registration){
      .origin = ORIGIN_HTTP, .instance = in, .lease_ms = id % 2 ? LEASE_MS : 0});
  instance_unref(in);
  return r;
}

/* Changes without end, several at once, until it is killed. */
static _Noreturn void child_main(const char *dir, int pipe_fd, uint64_t seed) {
  static struct child c;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  c.pipe = pipe_fd;
  uv_loop_init(&c.loop);
  if (store_open(&c.loop, dir, &c.store, NULL) != 0 ||
      embedded_new(&c.loop, c.store, &(struct embedded_events){0}, NULL, &c.e) != 0 ||
      embedded_restore(c.e) != 0)
    _exit(2);
  static int numbers[IDS];
  for (;;) {
    for (uint64_t burst = draw(&seed, 8); burst > 0; burst--) {
      struct change *ch = calloc(1, sizeof *ch);
      int id = (int)draw(&seed, IDS);
      ch->child = &c;
      ch->promise = (struct promise){.id = id, .number = numbers[id], .lives = 1};
      char name[16];
      snprintf(name, sizeof name, "web-%02d", id);
      if (id % 2)
        ch->promise.deadline_us = clock_wall_us() + LEASE_MS * 1000 - 1000;
      switch (draw(&seed, 4)) {
      case 0:
        ch->promise.lives = 0;
        embedded_deregister(c.e, name, on_changed_answered, ch);
        break;
      case 1:
        if (numbers[id]) {
          embedded_renew(c.e, name, on_changed_answered, ch);
          break;
        } /* fall through */
      default: {
        ch->promise.number = numbers[id] = numbers[id] % 60000 + 1;
        struct registration *r = version(id, numbers[id]);
        embedded_register(c.e, r, on_changed_answered, ch);
        registration_unref(r);
      }
      }
    }
    uv_run(&c.loop, draw(&seed, 3) ? UV_RUN_ONCE : UV_RUN_NOWAIT);
  }
}

/* What the child was promised last for each id, and how often anything. */
static int read_promises(int fd, struct promise last[IDS]) {
  struct promise p;
  int count = 0;
  while (read(fd, &p, sizeof p) == sizeof p) {
    last[p.id] = p;
    count++;
  }
  return count;
}

struct found {
  struct embedded *e;
  int64_t wall_us[IDS];
};

static int on_deadline(void *arg, const char *key, const void *value, size_t length) {
  struct found *f = arg;
  memcpy(&f->wall_us[atoi(key + 4)], value, sizeof(int64_t));
  return 0;
}

/* Changes that were asked for but not answered may have become durable: a registration may be newer
 * than promised, or gone, only if something was asked after the last answer. So the promise holds
 * exactly for what the child did last; for the others, a version is never older. */
static void check_promises(const char *dir, const struct promise last[IDS],
                           struct promise carried[IDS]) {
  uv_loop_t loop;
  struct store *store;
  struct found f = {0};
  uv_loop_init(&loop);
  struct fault fault = {0};
  if (store_open(&loop, dir, &store, &fault) != 0)
    fail_msg("%s", fault.text);
  assert_int_equal(fault.code, 0); /* nothing was damaged */
  assert_int_equal(embedded_new(&loop, store, &(struct embedded_events){0}, NULL, &f.e), 0);
  assert_int_equal(embedded_restore(f.e), 0);
  assert_int_equal(store_each(store, "deadline", on_deadline, &f), 0);
  for (int id = 0; id < IDS; id++) {
    char name[16];
    snprintf(name, sizeof name, "web-%02d", id);
    const struct registration_state *s = embedded_find(f.e, name);
    const struct promise *p = &last[id];
    int number = s ? s->registration->instance->port : 0;
    if (p->lives == 2) /* sealed below: nothing was asked after it */
      assert_int_equal(number, p->number);
    if (s && id % 2) /* a lease is never without its deadline, nor earlier than promised */
      assert_true(f.wall_us[id] > 0 && f.wall_us[id] >= p->deadline_us);
    if (!s)
      assert_int_equal(f.wall_us[id], 0); /* nor a deadline without its lease */
    carried[id] = *p;
  }
  embedded_free(f.e);
  close_store(&loop, store);
  close_loop(&loop);
}

static void test_random_kills(void **state) {
  char dir[64];
  scratch_make(dir);
  uint64_t seed = 2026;
  int promises = 0;
  for (int round = 0; round < 60; round++) {
    struct promise last[IDS] = {0}, carried[IDS];
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    uint64_t own = draw(&seed, UINT32_MAX);
    pid_t pid = fork();
    if (pid == 0)
      child_main(dir, ends[1], own);
    close(ends[1]);
    /* Killed after it was promised so many things, and then some. */
    struct promise p;
    int wanted = (int)draw(&seed, 120), got = 0;
    while (got < wanted && read(ends[0], &p, sizeof p) == sizeof p) {
      last[p.id] = p;
      got++;
    }
    struct timespec little = {.tv_nsec = (long)draw(&seed, 3000000)};
    nanosleep(&little, NULL); /* to hit another instruction, not to wait for anything */
    kill(pid, SIGKILL);
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    promises += got + read_promises(ends[0], last);
    close(ends[0]);
    check_promises(dir, last, carried);
  }
  assert_true(promises > 1000);
  scratch_remove(dir);
}

/* Each change alone, killed as soon as it is answered: after the restart exactly that is there. */
static _Noreturn void one_change(const char *dir, int pipe_fd, const struct promise *p) {
  static struct child c;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  c.pipe = pipe_fd;
  uv_loop_init(&c.loop);
  if (store_open(&c.loop, dir, &c.store, NULL) != 0 ||
      embedded_new(&c.loop, c.store, &(struct embedded_events){0}, NULL, &c.e) != 0 ||
      embedded_restore(c.e) != 0)
    _exit(2);
  struct change *ch = calloc(1, sizeof *ch);
  *ch = (struct change){&c, *p};
  char name[16];
  snprintf(name, sizeof name, "web-%02d", p->id);
  if (p->id % 2)
    ch->promise.deadline_us = clock_wall_us() + LEASE_MS * 1000 - 1000;
  if (p->lives) {
    struct registration *r = version(p->id, p->number);
    embedded_register(c.e, r, on_changed_answered, ch);
  } else {
    embedded_deregister(c.e, name, on_changed_answered, ch);
  }
  for (;;)
    uv_run(&c.loop, UV_RUN_ONCE);
}

static void test_killed_at_each_answer(void **state) {
  char dir[64];
  scratch_make(dir);
  uint64_t seed = 7;
  struct promise last[IDS] = {0}, carried[IDS];
  for (int id = 0; id < IDS; id++)
    last[id] = (struct promise){.id = id, .lives = 2};
  for (int round = 1; round <= 60; round++) {
    int ends[2], id = (int)draw(&seed, IDS);
    struct promise asked = {.id = id, .number = round, .lives = 1};
    if (last[id].number && draw(&seed, 3) == 0)
      asked.number = asked.lives = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0)
      one_change(dir, ends[1], &asked);
    close(ends[1]);
    struct promise p;
    assert_int_equal(read(ends[0], &p, sizeof p), sizeof p);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ends[0]);
    p.lives = 2;
    last[id] = p;
    check_promises(dir, last, carried);
  }
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
