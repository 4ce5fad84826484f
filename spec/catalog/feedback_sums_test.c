/* spec: threads
 * The agent's side of feedback: what several pages say, added up by slot; pages that lie; pages
 * that are written while they are read. */
#include "catalog/fixture.h"

#include "catalog/feedback_sums.h"
#include "client/handle.h"

#include <pthread.h>

enum { SLOTS = 300, PAGES = 3 };
#define EPOCH_NS (1ll << FEEDBACK_EPOCH_SHIFT)
static const int64_t now_ns = 1000 * EPOCH_NS;

/* What the last collection said. */
static struct feedback_total totals[SLOTS + 1];
static uint32_t generations[SLOTS + 1];
static int told;

static uint32_t generation_of(void *arg, uint32_t slot) {
  return slot <= SLOTS ? generations[slot] : 0;
}

static void on_total(void *arg, uint32_t slot, const struct feedback_total *t) {
  assert_in_range(slot, 1, SLOTS);
  totals[slot] = *t;
  told++;
}

static bool collect(struct feedback_sums *sums, int64_t at_ns) {
  told = 0;
  return feedback_sums_collect(sums, SLOTS, at_ns, generation_of, on_total, NULL);
}

static struct feedback_page *page_of(struct feedback_sums *sums, struct feedback_source **source) {
  int fd;
  struct feedback_page *own = feedback_page_make(&fd), *page;
  assert_non_null(own);
  assert_int_equal(feedback_page_open(fd, &page), 0);
  close(fd);
  *source = feedback_sums_add(sums, page, false);
  assert_non_null(*source);
  return own;
}

static int begin(void **state) {
  memset(totals, 0, sizeof totals);
  for (int i = 0; i <= SLOTS; i++)
    generations[i] = i > 0;
  *state = feedback_sums_new();
  return *state ? 0 : -1;
}

static int end(void **state) {
  feedback_sums_free(*state);
  return 0;
}

/* A lane's cell says this, and its run and lane that something has changed. */
static void say(struct feedback_page *page, int lane, uint32_t slot, int32_t in_flight,
                uint32_t good, uint64_t latency_ns) {
  struct feedback_lane *l = &page->lanes[lane];
  struct feedback_cell *c = &l->cells[slot];
  c->generation = generations[slot];
  c->in_flight = (uint32_t)in_flight;
  c->epoch = feedback_epoch(now_ns);
  c->outcomes[FEEDBACK_SUCCESS] += good;
  c->latency_sum_ns += latency_ns;
  l->changes[slot / FEEDBACK_RUN]++;
  l->activity++;
}

static void sums_of_pages(void **state) {
  struct feedback_sums *sums = *state;
  struct feedback_page *pages[PAGES];
  struct feedback_source *sources[PAGES];
  for (int i = 0; i < PAGES; i++) {
    pages[i] = page_of(sums, &sources[i]);
    say(pages[i], 1, 7, 10 + i, 2, 1000);
    say(pages[i], 2, 7, 1, 0, 0);
    say(pages[i], 3, SLOTS, 5, 0, 0);
  }
  assert_true(collect(sums, now_ns));
  assert_int_equal(told, 2);
  assert_int_equal(totals[7].in_flight, 10 + 11 + 12 + PAGES);
  assert_int_equal(totals[7].outcomes[FEEDBACK_SUCCESS], 2 * PAGES);
  assert_int_equal(totals[7].latency_ns, 1000 * PAGES);
  assert_int_equal(totals[SLOTS].in_flight, 5 * PAGES);
  /* Nothing has moved. */
  assert_false(collect(sums, now_ns));
  assert_int_equal(told, 0);
  /* Only what is new is told. */
  say(pages[0], 1, 7, 3, 1, 500);
  assert_true(collect(sums, now_ns));
  assert_int_equal(told, 1);
  assert_int_equal(totals[7].in_flight, 3 + 11 + 12 + PAGES);
  assert_int_equal(totals[7].outcomes[FEEDBACK_SUCCESS], 1);
  assert_int_equal(totals[7].latency_ns, 500);
  /* A process that ends takes what it had in flight with it, at once. */
  feedback_sums_drop(sums, sources[1]);
  collect(sums, now_ns);
  assert_int_equal(totals[7].in_flight, 3 + 12 + PAGES - 1);
  assert_int_equal(totals[SLOTS].in_flight, 5 * (PAGES - 1));
  for (int i = 0; i < PAGES; i++)
    feedback_page_close(pages[i]);
}

/* What one lane picked another reported: the page's lanes count together, and never below nothing.
 */
static void lanes_of_a_page(void **state) {
  struct feedback_sums *sums = *state;
  struct feedback_source *source, *other;
  struct feedback_page *page = page_of(sums, &source), *honest = page_of(sums, &other);
  say(page, 1, 9, 5, 0, 0);
  say(page, 0, 9, -3, 0, 0);
  say(honest, 1, 9, 4, 0, 0);
  collect(sums, now_ns);
  assert_int_equal(totals[9].in_flight, 2 + 4);
  say(page, 0, 9, -1000000, 0, 0);
  collect(sums, now_ns);
  assert_int_equal(totals[9].in_flight, 4);
  say(page, 0, 9, 2000000000, 0, 0);
  collect(sums, now_ns);
  assert_int_equal(totals[9].in_flight, 4 + 65535);
  feedback_page_close(page);
  feedback_page_close(honest);
}

static void another_generation(void **state) {
  struct feedback_sums *sums = *state;
  struct feedback_source *source;
  struct feedback_page *page = page_of(sums, &source);
  say(page, 1, 5, 8, 3, 3000);
  collect(sums, now_ns);
  generations[5] = 2; /* the slot has another instance now */
  page->lanes[1].changes[0]++;
  page->lanes[1].activity++;
  collect(sums, now_ns);
  say(page, 1, 6, 1, 0, 0);
  page->lanes[1].cells[5].generation = 2;
  page->lanes[1].cells[5].in_flight = 1;
  page->lanes[1].cells[5].outcomes[FEEDBACK_SUCCESS] = 1;
  collect(sums, now_ns);
  assert_int_equal(totals[5].generation, 2);
  assert_int_equal(totals[5].in_flight, 1);
  assert_int_equal(totals[5].outcomes[FEEDBACK_SUCCESS], 1);
  feedback_page_close(page);
}

/* Two epochs later a pick that nobody reported is forgotten, though nothing has moved. */
static void picks_that_nobody_reports(void **state) {
  struct feedback_sums *sums = *state;
  struct feedback_source *source;
  struct feedback_page *page = page_of(sums, &source);
  say(page, 1, 5, 8, 0, 0);
  page->lanes[1].cells[5].older = 3;
  collect(sums, now_ns);
  assert_int_equal(totals[5].in_flight, 8);
  collect(sums, now_ns + EPOCH_NS);
  assert_int_equal(totals[5].in_flight, 5);
  collect(sums, now_ns + 2 * EPOCH_NS);
  assert_int_equal(totals[5].in_flight, 0);
  feedback_page_close(page);
}

/* A page that another agent has read: what is in flight counts, what was reported is no news. */
static void a_page_read_before(void **state) {
  struct feedback_sums *sums = *state;
  struct feedback_page *own, *page;
  int fd;
  own = feedback_page_make(&fd);
  say(own, 1, 5, 2, 1000, 1000000);
  assert_int_equal(feedback_page_open(fd, &page), 0);
  assert_non_null(feedback_sums_add(sums, page, true));
  collect(sums, now_ns);
  assert_int_equal(totals[5].in_flight, 2);
  assert_int_equal(totals[5].outcomes[FEEDBACK_SUCCESS], 0);
  say(own, 1, 5, 2, 1, 1000);
  collect(sums, now_ns);
  assert_int_equal(totals[5].outcomes[FEEDBACK_SUCCESS], 1);
  close(fd);
  feedback_page_close(own);
}

static void what_is_no_page(void **state) {
  struct feedback_page *page;
  int pipes[2];
  assert_int_equal(pipe(pipes), 0);
  assert_int_equal(feedback_page_open(pipes[0], &page), -EPROTO);
  int fd = memfd_create("spec", MFD_ALLOW_SEALING);
  assert_int_equal(ftruncate(fd, sizeof *page), 0);
  assert_int_equal(feedback_page_open(fd, &page), -EPROTO); /* not sealed: it may be shortened */
  assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
  assert_int_equal(feedback_page_open(fd, &page), -EPROTO); /* empty */
  close(fd);
  fd = memfd_create("spec", MFD_ALLOW_SEALING);
  assert_int_equal(ftruncate(fd, 4096), 0);
  assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
  assert_int_equal(feedback_page_open(fd, &page), -EPROTO); /* too short */
  close(fd);
  close(pipes[0]);
  close(pipes[1]);
}

/* Random bytes over and over: the sums stay within what one page may say, and what an honest page
 * says is still in them. */
static void hostile_pages(void **state) {
  struct feedback_sums *sums = *state;
  struct feedback_source *source, *honest_source;
  struct feedback_page *page = page_of(sums, &source), *honest = page_of(sums, &honest_source);
  struct select_state random = {.random = 20261121};
  for (uint32_t slot = 1; slot <= SLOTS; slot++)
    say(honest, 1, slot, 3, 0, 0);
  for (int round = 0; round < 60; round++) {
    for (int lane = 0; lane < FEEDBACK_LANES; lane += 5) {
      struct feedback_lane *l = &page->lanes[lane];
      uint64_t *words = (uint64_t *)l->cells;
      for (size_t i = 0; i < (SLOTS + 1) * sizeof *l->cells / 8; i++)
        catalog_store64(&words[i], select_random_next(&random));
      for (uint32_t slot = 0; slot <= SLOTS; slot++)
        if (select_random_next(&random) % 2)
          l->cells[slot].generation = 1;
      for (uint32_t slot = 0; slot <= SLOTS; slot++)
        l->cells[slot].epoch = feedback_epoch(now_ns) - (uint32_t)(select_random_next(&random) % 3);
      for (uint32_t run = 0; run <= SLOTS / FEEDBACK_RUN; run++)
        l->changes[run] = (uint32_t)select_random_next(&random);
      l->activity = select_random_next(&random);
    }
    collect(sums, now_ns);
    for (uint32_t slot = 1; slot <= SLOTS; slot++) {
      assert_in_range(totals[slot].in_flight, 3, 3 + 65535);
      assert_true(totals[slot].retries <= totals[slot].in_flight);
      for (int i = 0; i < FEEDBACK_OUTCOMES; i++)
        assert_in_range(totals[slot].outcomes[i], 0, 1000000 * FEEDBACK_LANES);
    }
  }
  feedback_sums_drop(sums, source);
  collect(sums, now_ns);
  for (uint32_t slot = 1; slot <= SLOTS; slot++)
    assert_int_equal(totals[slot].in_flight, 3);
  feedback_page_close(page);
  feedback_page_close(honest);
}

/* ---- while they write ---- */

enum { THREADS = 3, CALLS = 20000 };

struct race {
  struct perigee *p;
  _Atomic int done;
};

static void *call_all(void *arg) {
  struct race *race = arg;
  struct perigee_service *s;
  struct perigee_endpoint e;
  if (perigee_service_open(race->p, "web", &s) < 0)
    abort();
  for (int i = 0; i < CALLS; i++) {
    struct perigee_pick_options options = {.size = sizeof options, .flags = PERIGEE_TRACK};
    if (perigee_pick(s, &options, &e) != 0 || perigee_done(s, &e, i % FEEDBACK_OUTCOMES, 1000) != 0)
      abort();
  }
  race->done++;
  while (race->done < THREADS + 1) /* the handles live until all is counted */
    sched_yield();
  perigee_service_close(s);
  return NULL;
}

static uint64_t counted[FEEDBACK_OUTCOMES];
static uint32_t flying[SLOTS + 1];

static void add_total(void *arg, uint32_t slot, const struct feedback_total *t) {
  for (int i = 0; i < FEEDBACK_OUTCOMES; i++)
    counted[i] += t->outcomes[i];
  flying[slot] = t->in_flight;
}

/* Every report is counted once, whenever the pages are read. One mapping, so that TSan sees both
 * sides. */
static void read_while_written(void **state) {
  struct feedback_sums *sums = *state;
  struct race race = {0};
  pthread_t threads[THREADS];
  uint64_t version;
  struct catalog_writer *w = open_writer();
  assert_int_equal(publish_records(w, "web", 30, &version), 0);
  assert_int_equal(perigee_open(&race.p, run_dir), 0);
  struct perigee_service *first;
  struct perigee_endpoint e;
  struct perigee_pick_options options = {.size = sizeof options, .flags = PERIGEE_TRACK};
  assert_int_equal(perigee_service_open(race.p, "web", &first), 0);
  assert_int_equal(perigee_pick(first, &options, &e), 0); /* makes the page */
  assert_int_equal(perigee_done(first, &e, PERIGEE_SUCCESS, 1000), 0);
  assert_non_null(feedback_sums_add(sums, race.p->lanes.page, false));
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, call_all, &race), 0);
  int64_t at_ns = client_now_ns();
  while (race.done < THREADS)
    feedback_sums_collect(sums, SLOTS, at_ns, generation_of, add_total, NULL);
  feedback_sums_collect(sums, SLOTS, client_now_ns(), generation_of, add_total, NULL);
  race.done++;
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  for (int i = 0; i < FEEDBACK_OUTCOMES; i++)
    assert_int_equal(counted[i], THREADS * CALLS / FEEDBACK_OUTCOMES + (i == PERIGEE_SUCCESS));
  for (int slot = 0; slot <= SLOTS; slot++)
    assert_int_equal(flying[slot], 0);
  perigee_service_close(first);
  race.p->lanes.page = NULL; /* the sums' now */
  perigee_close(race.p);
  catalog_writer_close(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(sums_of_pages, begin, end),
      cmocka_unit_test_setup_teardown(lanes_of_a_page, begin, end),
      cmocka_unit_test_setup_teardown(another_generation, begin, end),
      cmocka_unit_test_setup_teardown(picks_that_nobody_reports, begin, end),
      cmocka_unit_test_setup_teardown(a_page_read_before, begin, end),
      cmocka_unit_test(what_is_no_page),
      cmocka_unit_test_setup_teardown(hostile_pages, begin, end),
      cmocka_unit_test_setup_teardown(read_while_written, begin, end),
  };
  return cmocka_run_group_tests(tests, make_run_dir, remove_run_dir);
}
