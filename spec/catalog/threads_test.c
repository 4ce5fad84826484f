/* spec: threads
 * Readers and the writer as threads on one mapping, because TSan sees neither two processes nor two
 * mappings of a file. */
#define CATALOG_REST_NS 0
#include "catalog/own_writer.h"

#include "catalog/fixture.h"
#include "client/handle.h"
#include "client/perigee.h"

#include <pthread.h>

enum { READERS = 2, PUBLISHES = 3000, FREE_GRANULES = 16 };

struct race {
  struct perigee *p;
  _Atomic bool done;
  _Atomic uint64_t picks;
};

static void *read_all(void *arg) {
  struct race *race = arg;
  struct perigee_service *s;
  struct perigee_endpoint e, list[64];
  uint64_t seen = 0;
  if (perigee_service_open(race->p, "web", &s) < 0)
    abort();
  while (!race->done) {
    uint64_t version = perigee_version(s);
    int r = pick_record(s, &e);
    if (r != 0 && r != -EAGAIN)
      abort();
    if (r == 0 && (e.version < version || e.version < seen))
      abort();
    seen = r == 0 ? e.version : seen;
    race->picks += r == 0;
    int count = perigee_list(s, list, 64);
    for (int i = 1; i < count && i < 64; i++)
      if (list[i].version != list[0].version)
        abort();
  }
  perigee_service_close(s);
  return NULL;
}

static void one_mapping(void **state) {
  struct catalog_writer *w = open_writer();
  struct catalog_map map = {.base = w->arena.base, .mapped = w->arena.mapped};
  struct race race = {0};
  pthread_t threads[READERS];
  uint64_t version;
  uint32_t granule;
  assert_int_equal(publish_records(w, "web", 30, &version), 0);
  while (w->arena.granules - w->arena.taken > FREE_GRANULES)
    assert_int_equal(arena_take(&w->arena, 1, &granule), 0);
  assert_int_equal(client_open_map(&race.p, map, in_run_dir("catalog")), 0);
  for (int i = 0; i < READERS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, read_all, &race), 0);
  double end = seconds() + patience();
  for (int i = 0; i < PUBLISHES || (race.picks < PUBLISHES && seconds() < end); i++)
    assert_int_equal(publish_records(w, "web", 20 + (unsigned)i % 20, &version), 0);
  race.done = true;
  for (int i = 0; i < READERS; i++)
    pthread_join(threads[i], NULL);
  assert_true(race.picks >= PUBLISHES);
  race.p->mapping->map.base = NULL; /* it is the writer's, who unmaps it */
  perigee_close(race.p);
  catalog_writer_close(w);
}

static void *run_build(void *build) {
  catalog_build_run(build);
  return NULL;
}

/* Large tables are made on another thread, while the writer goes on with other services. */
static void a_build_beside_the_writer(void **state) {
  enum { MANY = 800 };
  static struct catalog_endpoint endpoints[MANY];
  static char ids[MANY][16];
  struct catalog_writer *w = open_writer();
  struct catalog_build *build;
  struct perigee *p;
  struct perigee_service *s;
  struct perigee_endpoint e;
  pthread_t thread;
  uint64_t version, built;
  for (uint32_t i = 0; i < MANY; i++) {
    snprintf(ids[i], sizeof ids[i], "%u", i);
    endpoints[i] = (struct catalog_endpoint){
        .id = ids[i], .address = "10.0.0.1", .slot = i + 1, .slot_generation = 1, .weight = 1};
  }
  struct catalog_snapshot many = {.service = "many",
                                  .balancer = "maglev",
                                  .endpoints = endpoints,
                                  .count = MANY,
                                  .moves_version = 1};
  assert_int_equal(catalog_build_begin(w, &many, &build), 0);
  assert_non_null(build);
  assert_int_equal(pthread_create(&thread, NULL, run_build, build), 0);
  for (unsigned i = 0; i < 100; i++)
    assert_int_equal(publish_records(w, "web", 20 + i % 20, &version), 0);
  pthread_join(thread, NULL);
  assert_int_equal(catalog_build_publish(w, build, &built), 0);
  catalog_build_end(build);
  assert_int_equal(built, version + 1);
  assert_int_equal(perigee_open(&p, run_dir), 0);
  assert_int_equal(perigee_service_open(p, "many", &s), 0);
  assert_int_equal(perigee_pick(s, NULL, &e), 0);
  assert_int_equal(e.version, built);
  assert_int_equal(perigee_list(s, &e, 1), MANY);
  assert_int_equal(catalog_build_begin(w, &many, &build), 0); /* its tables are there now */
  assert_null(build);
  perigee_service_close(s);
  perigee_close(p);
  catalog_writer_close(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(one_mapping),
                                     cmocka_unit_test(a_build_beside_the_writer)};
  return cmocka_run_group_tests(tests, make_run_dir, remove_run_dir);
}
