/* The view: what is published, committed, replaced and reclaimed; and, with threads, that no reader
 * ever holds what was freed (under TSan and ASan these say more than their asserts). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/clock.h"
#include "serve/view/view.h"
#include "serve/view/view_shard.h"

static const struct view_node node = {.name = "n1"};

static struct instance *make_instance(const char *service, const char *id, unsigned port) {
  struct instance *in = instance_new(&(struct instance_draft){
      .id = id, .service = service, .address = "10.0.0.1", .port = (uint16_t)port, .weight = -1});
  assert_non_null(in);
  return in;
}

/* One instance whose port is the version: a reader can tell whether the two belong together. */
static void publish(struct view *v, const char *service, uint64_t version) {
  struct set_row row = {.instance = make_instance(service, "i", (unsigned)(version & 0xffff))};
  assert_int_equal(view_publish_service(v, &(struct set_published){.service = service,
                                                                   .version = version,
                                                                   .rows = &row,
                                                                   .count = 1}),
                   0);
  instance_unref(row.instance);
}

static void publish_registration(struct view *v, const char *id, const char *const *checks,
                                 unsigned count, uint64_t index, bool gone) {
  struct check_definition definitions[8] = {0};
  struct check_state states[8] = {0};
  for (unsigned i = 0; i < count; i++) {
    definitions[i] = (struct check_definition){
        .id = checks[i], .name = "", .notes = "", .plugin = "ttl", .ttl_ns = 1000000000};
    states[i].output = "";
  }
  struct instance *in = make_instance("s", id, 1);
  struct registration *r = registration_new(
      &(struct registration){.instance = in, .checks = definitions, .check_count = count});
  assert_non_null(r);
  struct registration_state *s = registration_state_new(&(struct registration_state){
      .registration = r, .modify_index = index, .create_index = 1, .checks = states});
  assert_non_null(s);
  assert_int_equal(view_publish_registration(v, s, gone), 0);
  registration_state_unref(s);
  registration_unref(r);
  instance_unref(in);
}

static struct view *make_view(unsigned workers) {
  struct view *v;
  assert_int_equal(view_new(&node, workers, &v), 0);
  return v;
}

static void nothing_shows_before_a_commit(void **state) {
  (void)state;
  struct view *v = make_view(1);
  publish(v, "web", 5);
  const struct view_root *r = view_enter(v, 0);
  assert_null(view_service(r, "web"));
  assert_int_equal(view_index(r), 1);
  view_leave(v, 0);
  view_commit(v);
  r = view_enter(v, 0);
  assert_int_equal(view_service(r, "web")->version, 5);
  assert_int_equal(view_index(r), 5);
  assert_int_equal(view_service_count(r), 1);
  view_leave(v, 0);
  view_free(v);
}

static void a_reader_keeps_what_it_entered_with(void **state) {
  (void)state;
  struct view *v = make_view(2);
  publish(v, "web", 1);
  view_commit(v);
  const struct view_root *old = view_enter(v, 0);
  const struct view_service *s = view_service(old, "web");
  publish(v, "web", 2);
  view_commit(v);
  view_commit(v);
  assert_true(view_resting(v) > 0);
  assert_int_equal(s->version, 1); /* ASan would tell if it had been freed */
  assert_int_equal(s->rows[0].instance->port, 1);
  assert_ptr_equal(view_service(old, "web"), s);
  const struct view_root *now = view_enter(v, 1);
  assert_int_equal(view_service(now, "web")->version, 2);
  view_leave(v, 1);
  view_leave(v, 0);
  view_commit(v);
  assert_int_equal(view_resting(v), 0);
  view_free(v);
}

static void services_end(void **state) {
  (void)state;
  struct view *v = make_view(1);
  publish(v, "web", 1);
  view_commit(v);
  assert_int_equal(view_publish_service(
                       v, &(struct set_published){.service = "web", .version = 9, .gone = true}),
                   0);
  view_commit(v);
  const struct view_root *r = view_enter(v, 0);
  assert_null(view_service(r, "web"));
  assert_int_equal(view_service_count(r), 0);
  assert_int_equal(view_index(r), 9); /* the end of a service is a change, too */
  view_leave(v, 0);
  view_free(v);
}

static void what_uses_a_service_outlives_its_versions(void **state) {
  (void)state;
  const int64_t second = 1000000000;
  struct view *v = make_view(1);
  publish(v, "web", 1);
  assert_int_equal(view_used(v, "web"), 0);
  view_commit(v);
  const struct view_root *old = view_enter(v, 0);
  view_service_use(view_service(old, "web"), 50 * second);
  assert_int_equal(view_used(v, "web"), 50 * second);
  publish(v, "web", 2);
  view_commit(v);
  view_service_use(view_service(old, "web"), 600 * second); /* of a version that is replaced */
  view_leave(v, 0);
  view_service_use(view_service(view_enter(v, 0), "web"), 70 * second);
  view_leave(v, 0);
  assert_int_equal(view_used(v, "web"), 600 * second);
  assert_int_equal(view_used(v, "other"), 0);
  assert_int_equal(view_publish_service(
                       v, &(struct set_published){.service = "web", .version = 9, .gone = true}),
                   0);
  publish(v, "web", 10);
  view_commit(v);
  assert_int_equal(view_used(v, "web"), 0);
  view_free(v);
}

static void indexes_are_the_services_own_and_only_grow(void **state) {
  (void)state;
  struct view *v = make_view(1);
  static const char *const one[] = {"c1"};
  view_begin(v, 10);
  publish(v, "s", 11);
  publish(v, "web", 12);
  publish_registration(v, "i", one, 1, 15, false); /* of the service "s" */
  view_commit(v);
  const struct view_root *r = view_enter(v, 0);
  assert_int_equal(view_service_index(r, "s"), 15);
  assert_int_equal(view_service_index(r, "web"), 12);
  assert_int_equal(view_service_index(r, "nobody"), 10);
  assert_int_equal(view_ended(r), 0);
  uint64_t web = view_shard_shown(r, shard_of("web"));
  view_leave(v, 0);
  publish_registration(v, "i", one, 1, 15, true); /* what was said before stays in the index */
  publish(v, "s", 16);
  view_commit(v);
  r = view_enter(v, 0);
  assert_int_equal(view_service_index(r, "s"), 16);
  assert_int_equal(view_shard_shown(r, shard_of("s")), view_number(r));
  if (shard_of("s") != shard_of("web"))
    assert_int_equal(view_shard_shown(r, shard_of("web")), web);
  view_leave(v, 0);
  const struct set_published end = {.service = "web", .version = 17, .gone = true};
  assert_int_equal(view_publish_service(v, &end), 0);
  view_commit(v);
  r = view_enter(v, 0);
  assert_int_equal(view_service_index(r, "web"), 17);
  assert_int_equal(view_service_index(r, "nobody"), 17);
  assert_int_equal(view_ended(r), 17);
  view_leave(v, 0);
  view_free(v);
}

static void registrations_come_change_and_go(void **state) {
  (void)state;
  struct view *v = make_view(1);
  static const char *const two[] = {"c1", "c2"}, *const other[] = {"c2", "c3"};
  publish_registration(v, "a", two, 2, 3, false);
  view_commit(v);
  const struct view_root *r = view_enter(v, 0);
  assert_string_equal(view_registration(r, "a")->registration->checks[0].id, "c1");
  view_leave(v, 0);
  publish_registration(v, "a", other, 2, 4, false);
  view_commit(v);
  r = view_enter(v, 0);
  assert_string_equal(view_registration(r, "a")->registration->checks[0].id, "c2");
  assert_int_equal(view_registration_count(r), 1);
  view_leave(v, 0);
  publish_registration(v, "a", other, 2, 5, true);
  publish_registration(v, "never", two, 1, 5, true);
  view_commit(v);
  r = view_enter(v, 0);
  assert_null(view_registration(r, "a"));
  assert_int_equal(view_registration_count(r), 0);
  view_leave(v, 0);
  view_free(v);
}

struct counted {
  unsigned count;
  uint64_t sum;
};

static int count_service(void *arg, const struct view_service *s) {
  struct counted *c = arg;
  c->count++;
  c->sum += s->version;
  return 0;
}

/* Against a plain array, through many random changes and commits. */
static void many_changes(void **state) {
  (void)state;
  enum { NAMES = 700, ROUNDS = 20000 };
  struct view *v = make_view(1);
  uint64_t *model = calloc(NAMES, sizeof *model);
  uint32_t random = 7;
  for (uint64_t version = 1; version <= ROUNDS; version++) {
    random = random * 1103515245u + 12345u;
    unsigned n = (random >> 8) % NAMES;
    char name[20];
    snprintf(name, sizeof name, "service-%u", n);
    if ((random >> 20) % 3 == 0) {
      model[n] = 0;
      view_publish_service(
          v, &(struct set_published){.service = name, .version = version, .gone = true});
    } else {
      model[n] = version;
      publish(v, name, version);
    }
    if ((random >> 24) % 16 == 0)
      view_commit(v);
  }
  view_commit(v);
  const struct view_root *r = view_enter(v, 0);
  uint64_t sum = 0;
  unsigned count = 0;
  for (unsigned n = 0; n < NAMES; n++) {
    char name[20];
    snprintf(name, sizeof name, "service-%u", n);
    const struct view_service *s = view_service(r, name);
    assert_int_equal(s ? s->version : 0, model[n]);
    sum += model[n];
    count += model[n] != 0;
  }
  struct counted seen = {0};
  view_each_service(r, count_service, &seen);
  assert_int_equal(seen.count, count);
  assert_int_equal(view_service_count(r), count);
  assert_int_equal(seen.sum, sum);
  view_leave(v, 0);
  free(model);
  view_free(v);
}

/* --- with threads --- */

enum { READERS = 3, SERVICES = 40, COMMITS = 3000 };

struct churn {
  struct view *view;
  unsigned number;
  atomic_bool *over;
  uint64_t read, torn;
};

static void read_on(void *arg) {
  struct churn *c = arg;
  uint64_t last = 0;
  while (!atomic_load(c->over)) {
    const struct view_root *r = view_enter(c->view, c->number);
    uint64_t index = view_index(r);
    c->torn += index < last; /* never backwards */
    last = index;
    for (unsigned i = 0; i < SERVICES; i += 7) {
      char name[20];
      snprintf(name, sizeof name, "s%u", i);
      const struct view_service *s = view_service(r, name);
      if (!s)
        continue;
      c->torn += s->rows[0].instance->port != (s->version & 0xffff) || s->version > index;
      c->read++;
    }
    const struct registration_state *state = view_registration(r, "r");
    if (state)
      c->torn += strcmp(state->registration->checks[0].id, "check") != 0;
    view_leave(c->view, c->number);
  }
}

static void readers_under_churn(void **state) {
  (void)state;
  struct view *v = make_view(READERS);
  atomic_bool over = false;
  uv_thread_t threads[READERS];
  struct churn churn[READERS];
  for (unsigned i = 0; i < READERS; i++) {
    churn[i] = (struct churn){.view = v, .number = i, .over = &over};
    assert_int_equal(uv_thread_create(&threads[i], read_on, &churn[i]), 0);
  }
  static const char *const checks[] = {"check"};
  for (uint64_t version = 1; version <= COMMITS; version++) {
    char name[20];
    snprintf(name, sizeof name, "s%u", (unsigned)(version % SERVICES));
    publish(v, name, version);
    publish_registration(v, "r", checks, 1, version, version % 5 == 0);
    view_commit(v);
  }
  atomic_store(&over, true);
  for (unsigned i = 0; i < READERS; i++) {
    uv_thread_join(&threads[i]);
    assert_int_equal(churn[i].torn, 0);
  }
  view_commit(v);
  assert_int_equal(view_resting(v), 0);
  view_free(v);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_shows_before_a_commit),
      cmocka_unit_test(a_reader_keeps_what_it_entered_with),
      cmocka_unit_test(services_end),
      cmocka_unit_test(what_uses_a_service_outlives_its_versions),
      cmocka_unit_test(indexes_are_the_services_own_and_only_grow),
      cmocka_unit_test(registrations_come_change_and_go),
      cmocka_unit_test(many_changes),
      cmocka_unit_test(readers_under_churn),
  };
  return cmocka_run_group_tests_name("serve view", tests, NULL, NULL);
}
