/* spec: timeout 300
 * The writer is killed before every store that it makes, and before every system call that changes
 * something, over a script that takes over, publishes, grows, withdraws and ends. After each death
 * the readers must go on with the last whole snapshot, and a new writer must take over. */
#include <signal.h>
#include <unistd.h>

static unsigned long stores, deadly_store; /* 0: none */

static void count_store(void) {
  if (deadly_store && ++stores == deadly_store)
    kill(getpid(), SIGKILL);
}
#define CATALOG_STORE_HOOK() count_store()
#define CATALOG_WRITE_MOST 8

#include "catalog/own_writer.h"

#include "catalog/fixture.h"
#include "client/perigee.h"

/* What the writer had finished when it died. */
struct progress {
  uint64_t begun, done; /* versions of "web" */
  bool finished;
};

static void step(struct catalog_writer *w, struct progress *at) {
  uint64_t version;
  at->begun = catalog_version(w) + 1;
  CHILD_MUST(publish_records(w, "web", 3, &version) == 0);
  at->done = version;
}

static void run_script(struct progress *at) {
  struct catalog_writer *w;
  uint32_t slot, generation, granule;
  uint64_t version;
  deadly_store = deadly_store ? deadly_store : ULONG_MAX;
  CHILD_MUST(catalog_writer_open(run_dir, &w, NULL) == 0);
  CHILD_MUST(catalog_slot_take(w, &slot, &generation) == 0);
  step(w, at);
  CHILD_MUST(publish_records(w, "new", 1, &version) == 0);
  step(w, at);
  while (w->arena.taken < w->arena.granules) /* so that the next block makes the file grow */
    CHILD_MUST(arena_take(&w->arena, 1, &granule) == 0);
  step(w, at);
  CHILD_MUST(catalog_withdraw(w, "old") == 0);
  w->arena.rests[w->arena.rest_first].since_ns = 0; /* one has rested: the next one reuses it */
  catalog_tick(w);
  step(w, at);
  catalog_writer_close(w);
  at->finished = true;
  _exit(0);
}

/* A run directory with two services, and handles on them that live through everything. */
struct reader {
  struct perigee *p;
  struct perigee_service *web, *new;
  uint64_t version;
};

static void prepare(struct reader *r) {
  uint32_t slot, generation;
  uint64_t version;
  empty_run_dir();
  struct catalog_writer *w = open_writer();
  for (int i = 0; i < 3; i++)
    assert_int_equal(catalog_slot_take(w, &slot, &generation), 0);
  assert_int_equal(publish_records(w, "web", 2, &r->version), 0);
  assert_int_equal(publish_records(w, "old", 1, &version), 0);
  catalog_writer_close(w);
  assert_int_equal(perigee_open(&r->p, run_dir), 0);
  assert_int_equal(perigee_service_open(r->p, "web", &r->web), 0);
  assert_int_equal(perigee_service_open(r->p, "new", &r->new), 0);
}

static void end(struct reader *r) {
  perigee_service_close(r->web);
  perigee_service_close(r->new);
  perigee_close(r->p);
}

/* All picks of a whole turn are of one snapshot: what was finished, or what was begun then. */
static void check_picks(struct perigee_service *web, const struct reader *r,
                        const struct progress *at) {
  struct perigee_endpoint e;
  for (int i = 0; i < 4; i++) {
    assert_int_equal(pick_record(web, &e), 0);
    uint64_t last = at->done ? at->done : r->version;
    assert_true(e.version == last || e.version == at->begun);
  }
}

static void check_new_reader(const struct reader *r, const struct progress *at) {
  struct perigee *p;
  struct perigee_service *web;
  assert_int_equal(perigee_open(&p, run_dir), 0);
  assert_int_equal(perigee_service_open(p, "web", &web), 0);
  check_picks(web, r, at);
  perigee_service_close(web);
  perigee_close(p);
}

static void check_takeover(struct reader *r, const struct progress *at) {
  struct perigee_endpoint e;
  uint64_t web, new, before = perigee_version(r->web);
  struct catalog_writer *w = open_writer();
  assert_true(catalog_version(w) >= before);
  check_picks(r->web, r, at);
  assert_true(perigee_version(r->web) >= before);
  assert_int_equal(publish_records(w, "web", 2, &web), 0);
  assert_int_equal(publish_records(w, "new", 2, &new), 0);
  assert_true(web > before && new > web);
  assert_int_equal(pick_record(r->web, &e), 0);
  assert_int_equal(e.version, web);
  assert_int_equal(pick_record(r->new, &e), 0);
  assert_int_equal(e.version, new);
  assert_int_not_equal(access(in_run_dir("catalog.new"), F_OK), 0);
  assert_int_not_equal(access(in_run_dir("catalog.previous"), F_OK), 0);
  catalog_writer_close(w);
}

/* Whether the script came to its end before store number `k`. */
static bool survive(unsigned long k, struct progress *at) {
  struct reader r;
  int status;
  memset(at, 0, sizeof *at);
  prepare(&r);
  pid_t pid = fork_child();
  assert_true(pid >= 0);
  if (pid == 0) {
    deadly_store = k;
    run_script(at);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(at->finished ? status == 0 : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  check_picks(r.web, &r, at);
  check_new_reader(&r, at);
  check_takeover(&r, at);
  end(&r);
  return at->finished;
}

static void killed_at_every_store(void **state) {
  struct progress *at = shared_memory(sizeof *at);
  unsigned long k = 1;
  while (!survive(k, at))
    k++;
  print_message("# killed at %lu stores\n", k - 1);
  assert_true(k > 300); /* the hook is there */
  munmap(at, sizeof *at);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(killed_at_every_store)};
  return cmocka_run_group_tests(tests, make_run_dir, remove_run_dir);
}
