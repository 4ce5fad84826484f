/* spec: timeout 300
 * A reader that is stopped in the middle of a pick, at each of its instructions in turn, while its
 * block is replaced and its memory is written again, as a minute's sleep would have it; then it
 * goes on. What it picks is right for the version that it names, or it says that it was overtaken.
 */
#define CATALOG_REST_NS 0 /* memory is used again at once */
#include "catalog/own_writer.h"

#include "catalog/fixture.h"
#include "client/perigee.h"

#include <sys/ptrace.h>

enum { FREE_GRANULES = 16, ENDPOINTS = 20, STEPS_MAX = 100000, COUNTED = 10 };
/* Under TSan a pick has a hundred times the instructions, under ASan ten times. */
#if CATALOG_TSAN
enum { STOPS = 10 };
#elif defined(__SANITIZE_ADDRESS__)
enum { STOPS = 150 };
#else
enum { STOPS = 300 };
#endif

/* Shared with the reader: picks of the version that was there before, of a later one, of none. */
struct seen {
  uint64_t before, later, overtaken;
};

/* Stops before and after each pick, and looks at what it got. */
static void read_on(struct seen *seen, const char *service) {
  struct perigee *p;
  struct perigee_service *s;
  struct perigee_endpoint e;
  char id[64];
  CHILD_MUST(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
  CHILD_MUST(perigee_open(&p, run_dir) == 0);
  CHILD_MUST(perigee_service_open(p, service, &s) == 0);
  for (;;) {
    CHILD_MUST(pick_record(s, &e) == 0); /* nobody publishes here: the view is the newest */
    uint64_t version = e.version;
    raise(SIGSTOP);
    int r = perigee_pick_id(s, NULL, &e, id, sizeof id);
    raise(SIGSTOP);
    const char *wrong = r == 0 ? record_check(&e, id) : NULL;
    if (wrong)
      fprintf(stderr, "%s: %s:%u %s\n", wrong, e.address, e.port, id);
    CHILD_MUST(!wrong && (r == 0 || r == -EAGAIN));
    *(r ? &seen->overtaken : e.version > version ? &seen->later : &seen->before) += 1;
  }
}

/* Until it stops; the signal, 0 when it has ended. */
static int await_stop(pid_t reader) {
  int status;
  assert_int_equal(waitpid(reader, &status, 0), reader);
  return WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
}

static void go_on(pid_t reader) {
  assert_int_equal(ptrace(PTRACE_CONT, reader, NULL, NULL), 0);
  assert_int_equal(await_stop(reader), SIGSTOP);
}

/* `count` instructions further; false: the pick was over before. */
static bool step(pid_t reader, unsigned count) {
  while (count--) {
    assert_int_equal(ptrace(PTRACE_SINGLESTEP, reader, NULL, NULL), 0);
    int signal = await_stop(reader);
    assert_true(signal == SIGTRAP || signal == SIGSTOP);
    if (signal == SIGSTOP)
      return false;
  }
  return true;
}

/* How many instructions a pick takes at most, with what is around it: those that draw again take
 * more. */
static unsigned count_steps(pid_t reader) {
  unsigned most = 0;
  for (int i = 0; i < COUNTED; i++) {
    unsigned steps = 0;
    while (steps < STEPS_MAX && step(reader, 1))
      steps++;
    go_on(reader);
    most = steps > most ? steps : most;
  }
  return most;
}

/* Publishes until other words lie where the service's block was. */
static void write_over(struct catalog_writer *w, const char *service, const char *balancer) {
  uint32_t granule = w->services[directory_find(&w->directory, &w->arena, service)].granule;
  const struct catalog_block *block = arena_at(&w->arena, granule);
  uint64_t before = block->version, version;
  do
    assert_int_equal(publish_records_by(w, service, balancer, ENDPOINTS, &version), 0);
  while (block->version == before);
}

/* How many of the stopped picks were of the version before: they had looked for the last time. */
static uint64_t stop_anywhere(struct catalog_writer *w, const char *service, const char *balancer) {
  struct seen *seen = shared_memory(sizeof *seen);
  pid_t reader = fork_child();
  if (reader == 0)
    read_on(seen, service);
  int first = await_stop(reader);
  if (first == 0) {
    print_message("# nobody may trace here\n");
    skip();
  }
  assert_int_equal(first, SIGSTOP);
  unsigned steps = count_steps(reader), stride = steps / STOPS + 1, stops = 0, over = 0;
  assert_in_range(steps, 100, STEPS_MAX - 1);
  for (unsigned at = 1; at < steps; at += stride, stops++) {
    if (step(reader, at)) {
      write_over(w, service, balancer);
      go_on(reader); /* to the end of the pick */
    } else {
      over++; /* it was shorter */
    }
    go_on(reader); /* to the beginning of the next */
  }
  uint64_t before = seen->before - over - COUNTED;
  print_message("# %s, stopped at %u of %u instructions: picks of the version before %llu, of a "
                "later one %llu, overtaken %llu\n",
                balancer, stops - over, steps, (unsigned long long)before,
                (unsigned long long)seen->later, (unsigned long long)seen->overtaken);
  assert_true(seen->before + seen->later + seen->overtaken == stops + COUNTED);
  assert_true(seen->later > 0);
  kill(reader, SIGKILL);
  waitpid(reader, NULL, 0);
  munmap(seen, sizeof *seen);
  return before;
}

static void stopped_anywhere(void **state) {
  static const char *const balancers[] = {"weighted", "p2c", "maglev"};
  struct catalog_writer *w = open_writer();
  uint64_t version, before = 0;
  uint32_t granule;
  for (size_t i = 0; i < sizeof balancers / sizeof balancers[0]; i++)
    assert_int_equal(publish_records_by(w, balancers[i], balancers[i], ENDPOINTS, &version), 0);
  while (w->arena.granules - w->arena.taken > FREE_GRANULES)
    assert_int_equal(arena_take(&w->arena, 1, &granule), 0);
  for (size_t i = 0; i < sizeof balancers / sizeof balancers[0]; i++)
    before += stop_anywhere(w, balancers[i], balancers[i]);
  assert_true(before > 0 || CATALOG_TSAN); /* of ten stops none may be late enough */
  catalog_writer_close(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(stopped_anywhere)};
  return cmocka_run_group_tests(tests, make_run_dir, remove_run_dir);
}
