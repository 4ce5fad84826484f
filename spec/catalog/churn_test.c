/* One writer process that publishes as fast as it can and reuses memory at once, and readers in
 * processes of their own: no torn record, none older than a version read before, and progress. */
#define CATALOG_REST_NS 0 /* what readers are given a second for, they get no time for here */
#include "catalog/own_writer.h"

#include "catalog/fixture.h"
#include "client/perigee.h"

enum { READERS = 3, SERVICES = 3, PUBLISHES = 20000, ENOUGH = 200, FREE_GRANULES = 24 };

/* Shared by all processes. */
struct race {
  _Atomic unsigned ready, done;
  struct {
    _Atomic uint64_t picks, lists, texts, versions, overtaken;
  } reader[READERS];
};

static const char *const names[SERVICES] = {"small", "middle", "coming-and-going"};

/* The writer ends when it has published enough and each reader has seen enough of it. */
static bool all_saw_enough(struct race *race) {
  for (int i = 0; i < READERS; i++)
    if (race->reader[i].versions < ENOUGH || race->reader[i].lists < ENOUGH)
      return false;
  return true;
}

static void churn(struct race *race) {
  struct catalog_writer *w;
  struct catalog_stats stats;
  uint64_t version;
  uint32_t granule;
  double deadline = seconds() + 3 * patience(); /* the cores are others' too */
  CHILD_MUST(catalog_writer_open(run_dir, &w, NULL) == 0);
  CHILD_MUST(publish_records(w, names[0], 3, &version) == 0);
  while (w->arena.granules - w->arena.taken > FREE_GRANULES) /* so that each one is soon reused */
    CHILD_MUST(arena_take(&w->arena, 1, &granule) == 0);
  race->ready = 1;
  for (unsigned i = 0; i < PUBLISHES || !all_saw_enough(race); i++) {
    CHILD_MUST(seconds() < deadline);
    CHILD_MUST(publish_records(w, names[0], 1 + i % 7, &version) == 0);
    CHILD_MUST(publish_records(w, names[1], 40 + i % 60, &version) == 0);
    if (i % 50 == 0)
      CHILD_MUST(publish_records(w, names[2], 200, &version) == 0);
    else if (i % 50 == 25)
      CHILD_MUST(catalog_withdraw(w, names[2]) == 0);
  }
  catalog_stats(w, &stats);
  CHILD_MUST(stats.file_bytes == CATALOG_STEP); /* it was reused, not grown */
  race->done = 1;
  catalog_writer_close(w);
  _exit(0);
}

static void check_list(struct race *race, int me, struct perigee_service *s) {
  static struct perigee_endpoint list[1000];
  int count = perigee_list(s, list, 1000);
  for (int i = 0; i < count; i++) {
    CHILD_MUST(list[i].version == list[0].version);
    CHILD_MUST(list[i].slot - 1 < (uint32_t)count);
    char id[64];
    struct record expected;
    record_make(&expected, list[i].slot - 1, list[i].version);
    CHILD_MUST(strcmp(expected.address, list[i].address) == 0);
    CHILD_MUST(expected.port == list[i].port);
    if (i > 3)
      continue;
    /* The text is that of the snapshot that is current by now. */
    int r = perigee_endpoint_text(s, &list[i], "id", id, sizeof id);
    unsigned k;
    unsigned long long version;
    CHILD_MUST(r > 0 || r == -EAGAIN || r == -ESTALE);
    if (r > 0) {
      CHILD_MUST(sscanf(id, "r-%u-%llu-", &k, &version) == 2);
      record_make(&expected, k, version);
      CHILD_MUST(strcmp(expected.id, id) == 0 && k == list[i].slot - 1);
      CHILD_MUST(version >= list[i].version);
      race->reader[me].texts++;
    }
  }
  CHILD_MUST(count >= 0 || count == -EAGAIN || count == -ENOENT);
  race->reader[me].lists += count > 0;
}

static void read_all(struct race *race, int me) {
  struct perigee *p;
  struct perigee_service *s[SERVICES];
  uint64_t seen[SERVICES] = {0};
  CHILD_MUST(perigee_open(&p, run_dir) == 0);
  for (int i = 0; i < SERVICES; i++)
    CHILD_MUST(perigee_service_open(p, names[i], &s[i]) == 0);
  while (!race->done)
    for (int i = 0; i < SERVICES; i++) {
      struct perigee_endpoint e;
      uint64_t before = perigee_version(s[i]);
      int r = pick_record(s[i], &e);
      CHILD_MUST(r == 0 || r == -EAGAIN || r == -ENOENT);
      CHILD_MUST(r != -ENOENT || i == 2 || !seen[i]);
      if (r == 0) {
        CHILD_MUST(e.version >= before && e.version >= seen[i]);
        race->reader[me].versions += e.version != seen[i];
        seen[i] = e.version;
        race->reader[me].picks++;
      }
      race->reader[me].overtaken += r == -EAGAIN;
      if (race->reader[me].picks % 16 == 0)
        check_list(race, me, s[i]);
    }
  for (int i = 0; i < SERVICES; i++)
    perigee_service_close(s[i]);
  perigee_close(p);
  _exit(0);
}

static void readers_under_churn(void **state) {
  struct race *race = shared_memory(sizeof *race);
  pid_t reader[READERS], writer = fork_child();
  if (writer == 0)
    churn(race);
  for (double end = seconds() + patience(); !race->ready && seconds() < end;)
    usleep(1000);
  assert_int_equal(race->ready, 1);
  for (int i = 0; i < READERS; i++)
    if ((reader[i] = fork_child()) == 0)
      read_all(race, i);
  await_child(writer);
  for (int i = 0; i < READERS; i++) {
    await_child(reader[i]);
    print_message(
        "# reader %d: %llu picks of %llu versions, %llu lists, %llu texts; overtaken %llu "
        "times\n",
        i, (unsigned long long)race->reader[i].picks, (unsigned long long)race->reader[i].versions,
        (unsigned long long)race->reader[i].lists, (unsigned long long)race->reader[i].texts,
        (unsigned long long)race->reader[i].overtaken);
    assert_true(race->reader[i].overtaken < race->reader[i].picks / 10);
  }
  munmap(race, sizeof *race);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(readers_under_churn)};
  return cmocka_run_group_tests(tests, make_run_dir, remove_run_dir);
}
