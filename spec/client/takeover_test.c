/* One agent after another takes the catalog over while other processes wait and pick. */
#include "catalog/fixture.h"
#include "client/perigee.h"

enum { TAKEOVERS = 20, PICKERS = 2 };

struct race {
  _Atomic unsigned started, done;
  _Atomic uint64_t woken, appeared, picked[PICKERS];
};

/* The children are there before the first agent: forked later they would hold its lock too. */
static struct perigee_service *open_service(const char *name) {
  struct perigee *p;
  struct perigee_service *s;
  double end = seconds() + patience();
  while (perigee_open(&p, run_dir) < 0 && seconds() < end)
    usleep(500);
  CHILD_MUST(p != NULL);
  CHILD_MUST(perigee_service_open(p, name, &s) == 0);
  return s;
}

/* Waits for each version and picks it. */
static void wait_for_web(struct race *race) {
  struct perigee_service *s = open_service("web");
  struct perigee_endpoint e;
  uint64_t version = 0;
  race->started++;
  while (!race->done) {
    int r = perigee_wait(s, version, 500);
    CHILD_MUST(r == 0 || r == -ETIMEDOUT);
    uint64_t now = perigee_version(s);
    CHILD_MUST(now >= version && (r == -ETIMEDOUT || now > version));
    CHILD_MUST(now == 0 || pick_record(s, &e) == 0);
    CHILD_MUST(now == 0 || e.version >= now);
    version = now;
    race->woken = version;
  }
  _exit(0);
}

static void pick_web(struct race *race, int me) {
  struct perigee_service *s = open_service("web");
  struct perigee_endpoint e;
  uint64_t version = 0;
  race->started++;
  while (!race->done) {
    int r = pick_record(s, &e);
    CHILD_MUST(r == 0 || (r == -ENOENT && !version));
    if (r < 0)
      continue;
    CHILD_MUST(e.version >= version);
    race->picked[me] = version = e.version;
  }
  _exit(0);
}

/* Waits for a service that only the last agent publishes. */
static void wait_for_late(struct race *race) {
  struct perigee_service *s = open_service("late");
  struct perigee_endpoint e;
  race->started++;
  CHILD_MUST(perigee_version(s) == 0 && pick_record(s, &e) == -ENOENT);
  int r;
  while ((r = perigee_wait(s, 0, (int)(patience() * 1000))) == -EINTR)
    ;
  CHILD_MUST(r == 0 && pick_record(s, &e) == 0);
  race->appeared = e.version;
  _exit(0);
}

static void await(_Atomic uint64_t *word, uint64_t least) {
  for (double end = seconds() + patience(); *word < least && seconds() < end;)
    usleep(500);
  assert_true(*word >= least);
}

static void clients_go_on(void **state) {
  struct race *race = shared_memory(sizeof *race);
  uint64_t version, late;
  pid_t children[PICKERS + 2];
  for (int i = 0; i < PICKERS + 2; i++)
    if ((children[i] = fork_child()) == 0) {
      if (i < PICKERS)
        pick_web(race, i);
      else if (i == PICKERS)
        wait_for_web(race);
      else
        wait_for_late(race);
    }
  struct catalog_writer *w = open_writer();
  for (double end = seconds() + patience(); race->started < PICKERS + 2 && seconds() < end;)
    usleep(500);
  for (int i = 0; i < TAKEOVERS; i++) {
    catalog_writer_close(w);
    w = open_writer();
    assert_int_equal(publish_records(w, "web", 1 + (unsigned)i % 9, &version), 0);
    await(&race->woken, version);
    for (int p = 0; p < PICKERS; p++)
      await(&race->picked[p], version);
  }
  assert_int_equal(publish_records(w, "late", 2, &late), 0);
  await(&race->appeared, late);
  race->done = 1;
  for (int i = 0; i < PICKERS + 2; i++)
    await_child(children[i]);
  catalog_writer_close(w);
  munmap(race, sizeof *race);
}

/* Who waits finds a new file even when nobody could tell him. */
static void the_directory_is_made_anew(void **state) {
  struct catalog_writer *w = open_writer();
  struct perigee *p;
  struct perigee_service *s;
  struct perigee_endpoint e;
  uint64_t first, second;
  assert_int_equal(publish_records(w, "web", 2, &first), 0);
  assert_int_equal(perigee_open(&p, run_dir), 0);
  assert_int_equal(perigee_service_open(p, "web", &s), 0);
  assert_int_equal(pick_record(s, &e), 0);
  catalog_writer_close(w);
  empty_run_dir();
  assert_int_equal(pick_record(s, &e), 0);
  w = open_writer();
  assert_int_equal(publish_records(w, "web", 2, &second), 0);
  assert_int_equal(perigee_wait(s, first, (int)(patience() * 1000)), 0);
  assert_int_equal(pick_record(s, &e), 0);
  assert_int_equal(e.version, second);
  perigee_service_close(s);
  perigee_close(p);
  catalog_writer_close(w);
}

static int forget_nothing(void *arg, const char *service) {
  strcat(strcat(arg, service), " ");
  return 0;
}

/* Versions, slots with their generations, services and strings survive; ended services do not. */
static void what_is_taken_over(void **state) {
  struct catalog_writer *w = open_writer();
  uint32_t slot[3], generation[3], adopted, adopted_generation;
  uint64_t version, before;
  char names[64] = "";
  static const char *const tags[] = {"a", "b"};
  for (int i = 0; i < 3; i++)
    assert_int_equal(catalog_slot_take(w, &slot[i], &generation[i]), 0);
  struct catalog_endpoint e[2] = {{.id = "one",
                                   .address = "10.0.0.1",
                                   .weight = 1,
                                   .slot = slot[0],
                                   .slot_generation = generation[0],
                                   .tags = tags,
                                   .tag_count = 2},
                                  {.id = "two",
                                   .address = "10.0.0.2",
                                   .weight = 1,
                                   .slot = slot[1],
                                   .slot_generation = generation[1]}};
  struct catalog_snapshot s = {.service = "web", .endpoints = e, .count = 2, .moves_version = 1};
  assert_int_equal(catalog_publish(w, &s, &version), 0);
  s.service = "ended";
  assert_int_equal(catalog_publish(w, &s, &before), 0);
  assert_int_equal(catalog_withdraw(w, "ended"), 0);
  assert_int_equal(catalog_withdraw(w, "ended"), -ENOENT);
  catalog_version_raise(w, before + 1000000);
  before = catalog_version(w);
  catalog_writer_close(w);

  w = open_writer();
  assert_true(catalog_version(w) >= before);
  catalog_inherited(w, forget_nothing, names);
  assert_string_equal(names, "web ");
  assert_int_equal(catalog_slot_adopt(w, "web", "two", &adopted, &adopted_generation), 0);
  assert_int_equal(adopted, slot[1]);
  assert_int_equal(adopted_generation, generation[1]);
  assert_int_equal(catalog_slot_adopt(w, "web", "two", &adopted, &adopted_generation), -ENOENT);
  assert_int_equal(catalog_slot_adopt(w, "web", "three", &adopted, &adopted_generation), -ENOENT);
  assert_int_equal(catalog_slot_adopt(w, "api", "one", &adopted, &adopted_generation), -ENOENT);
  assert_int_equal(catalog_slot_take(w, &adopted, &adopted_generation), 0);
  assert_true(adopted > slot[2]); /* none of those that rest, none of those in use */

  struct perigee *p;
  struct perigee_service *web;
  struct perigee_endpoint found[2];
  char text[16];
  assert_int_equal(perigee_open(&p, run_dir), 0);
  assert_int_equal(perigee_service_open(p, "web", &web), 0);
  assert_int_equal(perigee_version(web), version);
  assert_int_equal(perigee_list(web, found, 2), 2);
  assert_int_equal(perigee_endpoint_text(web, &found[0], "tag:1", text, sizeof text), 1);
  assert_string_equal(text, "b");
  perigee_service_close(web);
  perigee_close(p);
  catalog_writer_close(w);
}

/* The generation of the first instance in a file that nothing was taken over into. */
static uint32_t first_generation(void) {
  uint32_t slot, generation;
  char path[160];
  snprintf(path, sizeof path, "%s/" CATALOG_FILE, run_dir);
  assert_true(unlink(path) == 0 || errno == ENOENT);
  struct catalog_writer *w = open_writer();
  assert_int_equal(catalog_slot_take(w, &slot, &generation), 0);
  assert_int_equal(slot, 1);
  catalog_writer_close(w);
  return generation;
}

/* What a process still holds of the file before is nobody's in this one. */
static void a_file_that_begins_anew_has_later_generations(void **state) {
  uint32_t before = first_generation(), after;
  double end = seconds() + patience();
  do {
    usleep(10000); /* the clock they come from has a unit of 131 ms */
    after = first_generation();
  } while (after == before && seconds() < end);
  assert_true((int32_t)(after - before) > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(clients_go_on),
      cmocka_unit_test(the_directory_is_made_anew),
      cmocka_unit_test(what_is_taken_over),
      cmocka_unit_test(a_file_that_begins_anew_has_later_generations),
  };
  return cmocka_run_group_tests(tests, make_run_dir, remove_run_dir);
}
