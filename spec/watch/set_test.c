/* Sets against a catalog that writes down what it is given, fails when told to, and counts slots.
 */
#include "watch/fake.h"

static void test_one_snapshot_a_turn(void **state) {
  struct fixture *fx = *state;
  assert_int_equal(sets_flush(fx->all), 0); /* nothing is known of it yet */
  assert_int_equal(put(fx->web, "c", 1, STATUS_PASSING), 0);
  assert_int_equal(put(fx->web, "a", 1, STATUS_PASSING), 0);
  assert_int_equal(put(fx->web, "b", 1, STATUS_CRITICAL), 0);
  assert_int_equal(put(fx->web, "d", 1, STATUS_PASSING), 0);
  assert_int_equal(set_remove(fx->web, "d"), 0);
  assert_int_equal(set_remove(fx->web, "d"), -ENOENT);
  assert_int_equal(set_remove(fx->web, "nobody"), -ENOENT);
  assert_int_equal(set_status(fx->web, "d", STATUS_PASSING), -ENOENT);
  assert_int_equal(set_count(fx->web), 3);
  assert_int_equal(fake.publishes, 0);
  assert_true(sets_dirty(fx->all));
  assert_int_equal(sets_flush(fx->all), 1);
  assert_string_equal(fake.ids, "a b c ");
  assert_int_equal(fake.slots, 3);
  assert_int_equal(fx->told.count, 1);
  assert_int_equal(fx->told.rows, 3);
  assert_string_equal(fx->told.service, "web");
  assert_int_equal(fake.rows[1].status, STATUS_CRITICAL);
  assert_false(sets_dirty(fx->all));
  assert_int_equal(sets_flush(fx->all), 0);
}

static void test_equal_facts_publish_nothing(void **state) {
  struct fixture *fx = *state;
  put(fx->web, "a", 1, STATUS_PASSING);
  put(fx->web, "b", 1, STATUS_PASSING);
  sets_flush(fx->all);
  put(fx->web, "a", 1, STATUS_PASSING);
  set_status(fx->web, "b", STATUS_PASSING);
  assert_int_equal(replace(fx->web, "b a"), 0);
  assert_false(sets_dirty(fx->all));
  assert_int_equal(sets_flush(fx->all), 0);
  assert_int_equal(fake.publishes, 1);
  put(fx->web, "a", 2, STATUS_PASSING);
  assert_int_equal(sets_flush(fx->all), 1);
  assert_int_equal(fake.rows[0].port, 2);
}

/* An empty answer is news when nothing was known, and never again. */
static void test_known_emptiness(void **state) {
  struct fixture *fx = *state;
  replace(fx->web, "");
  assert_int_equal(sets_flush(fx->all), 1);
  assert_int_equal(fake.last.count, 0);
  replace(fx->web, "");
  assert_int_equal(sets_flush(fx->all), 0);
}

static uint32_t slot_of(struct fixture *fx, const char *id) {
  const struct set_row *rows = set_rows(fx->web);
  for (size_t i = 0; i < set_count(fx->web); i++)
    if (strcmp(rows[i].instance->id, id) == 0)
      return rows[i].slot;
  return UINT32_MAX;
}

static void test_slots_are_for_life(void **state) {
  struct fixture *fx = *state;
  strcpy(fake.adoptable, "old");
  replace(fx->web, "a b old z");
  sets_flush(fx->all);
  assert_int_equal(slot_of(fx, "old"), 4000); /* of the agent before */
  uint32_t a = slot_of(fx, "a"), z = slot_of(fx, "z"), b = slot_of(fx, "b");
  put(fx->web, "a", 99, STATUS_CRITICAL); /* other facts, the same instance */
  replace(fx->web, "z y a x");
  assert_int_equal(fake.slots, 4); /* those of b and old are still in the published snapshot */
  assert_true(fake.taken[b]);
  sets_flush(fx->all);
  assert_string_equal(fake.ids, "a x y z ");
  assert_int_equal(slot_of(fx, "a"), a);
  assert_int_equal(slot_of(fx, "z"), z);
  assert_false(fake.taken[4000]);
  assert_int_equal(fake.slots, 4);
  set_remove(fx->web, "a"); /* gone and back within a turn: nothing has happened to its slot */
  put(fx->web, "a", 1, STATUS_PASSING);
  sets_flush(fx->all);
  assert_int_equal(slot_of(fx, "a"), a);
  set_remove(fx->web, "a");
  sets_flush(fx->all);
  assert_int_equal(fake.slots, 3);
}

static void test_refusals_change_nothing(void **state) {
  struct fixture *fx = *state;
  replace(fx->web, "a b");
  sets_flush(fx->all);
  struct instance *bad[] = {
      instance_new(&(struct instance_draft){.id = "x", .service = "web", .weight = 1}),
      instance_new(&(struct instance_draft){.service = "web", .address = "h", .weight = 1}),
      instance_new(&(struct instance_draft){
          .id = "x", .service = "web", .address = "/run/s", .port = 80, .weight = 1}),
      instance_new(&(struct instance_draft){
          .id = "x", .service = "web", .address = "h", .weight = 1.0 / 0.0}),
      instance_new(&(struct instance_draft){.id = "x",
                                            .service = "web",
                                            .address = "h",
                                            .ports = &(struct catalog_port){"http", 0},
                                            .port_count = 1,
                                            .weight = 1}),
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct fault f = {0};
    assert_int_equal(set_put(fx->web, bad[i], STATUS_PASSING), -EINVAL);
    assert_int_equal(set_replace(fx->web, &bad[i], NULL, 1), -EINVAL);
    assert_int_equal(instance_check(bad[i], &f), -EINVAL);
    assert_true(strlen(f.text) > 10);
    instance_unref(bad[i]);
  }
  assert_int_equal(replace(fx->web, "b c b"), -EEXIST);
  assert_int_equal(set_count(fx->web), 2);
  assert_false(sets_dirty(fx->all));
  assert_null(sets_open(fx->all, ""));
  struct instance *unix_socket =
      instance_new(&(struct instance_draft){.id = "u", .service = "web", .address = "/run/s"});
  assert_int_equal(set_put(fx->web, unix_socket, STATUS_PASSING), 0);
  instance_unref(unix_socket);
}

/* The file cannot grow: the set waits for a second, then tries again; nothing is lost meanwhile. */
static void test_publishing_fails(void **state) {
  struct fixture *fx = *state;
  struct sets_stats st;
  replace(fx->web, "a b");
  sets_flush(fx->all);
  fake.fail = -ENOSPC;
  set_status(fx->web, "a", STATUS_CRITICAL);
  set_remove(fx->web, "b");
  assert_int_equal(sets_flush(fx->all), 0);
  assert_false(sets_dirty(fx->all)); /* nothing that another flush, now, could do */
  set_status(fx->web, "a", STATUS_WARNING);
  put(fx->web, "c", 1, STATUS_PASSING);
  int attempts = fake.attempts;
  now_ns += 900000000;
  sets_flush(fx->all);
  assert_int_equal(fake.attempts, attempts);
  sets_stats(fx->all, &st);
  assert_int_equal(st.waiting, 1);
  assert_int_equal(st.failed, 1);
  assert_true(sets_due_ns(fx->all) == now_ns + 100000000);
  assert_int_equal(fake.slots, 2); /* b's is still in the old snapshot */
  now_ns += 200000000;
  sets_flush(fx->all);
  sets_stats(fx->all, &st);
  assert_int_equal(st.failed, 2);
  fake.fail = 0;
  now_ns += 1100000000;
  assert_int_equal(sets_flush(fx->all), 1);
  assert_string_equal(fake.ids, "a c ");
  assert_int_equal(fake.rows[0].status, STATUS_WARNING);
  assert_int_equal(fake.slots, 2);
  sets_stats(fx->all, &st);
  assert_int_equal(st.waiting, 0);
  now_ns += 1100000000;
  assert_int_equal(sets_flush(fx->all), 0);
}

/* A large service that was just published waits; a small one does not, nor does a service's end. */
static void test_pace(void **state) {
  struct fixture *fx = *state;
  fake.publish_at = now_ns + 50000000;
  replace(fx->web, "a");
  assert_int_equal(sets_flush(fx->all), 1); /* nobody reads it yet */
  replace(fx->web, "a b");
  assert_int_equal(sets_flush(fx->all), 0);
  assert_true(sets_due_ns(fx->all) == fake.publish_at);
  assert_false(sets_dirty(fx->all));
  replace(fx->web, "a b c");
  now_ns += 49000000; /* less than a timer can wait for */
  sets_flush(fx->all);
  assert_int_equal(fake.publishes, 1); /* its time is what it was told */
  now_ns += 1000000;
  assert_int_equal(sets_flush(fx->all), 1);
  assert_string_equal(fake.ids, "a b c ");
  assert_true(sets_due_ns(fx->all) == 0);
  fake.publish_at = now_ns + 1000000;
  replace(fx->web, "a");
  assert_int_equal(sets_flush(fx->all), 1);
  fake.publish_at = now_ns + 50000000;
  set_close(fx->web);
  assert_int_equal(sets_flush(fx->all), 1);
  assert_int_equal(fake.withdrawals, 1);
}

static void test_fail_open_is_counted(void **state) {
  struct fixture *fx = *state;
  struct sets_stats st;
  replace(fx->web, "a b");
  set_status(fx->web, "a", STATUS_CRITICAL);
  sets_flush(fx->all);
  sets_stats(fx->all, &st);
  assert_int_equal(st.fail_open, 0);
  set_status(fx->web, "b", STATUS_CRITICAL);
  sets_flush(fx->all);
  sets_stats(fx->all, &st);
  assert_int_equal(st.fail_open, 1);
  assert_int_equal(st.fail_open_events, 1);
  assert_int_equal(st.critical, 2);
  set_status(fx->web, "b", STATUS_WARNING);
  sets_flush(fx->all);
  set_status(fx->web, "b", STATUS_CRITICAL);
  sets_flush(fx->all);
  replace(fx->web, "");
  sets_flush(fx->all); /* none at all is not failing open */
  sets_stats(fx->all, &st);
  assert_int_equal(st.fail_open, 0);
  assert_int_equal(st.fail_open_events, 2);
  assert_int_equal(st.endpoints, 0);
}

static void test_opened_twice_closed_twice(void **state) {
  struct fixture *fx = *state;
  put(fx->web, "a", 1, STATUS_PASSING);
  sets_flush(fx->all);
  assert_ptr_equal(sets_open(fx->all, "web"), fx->web);
  set_close(fx->web);
  sets_flush(fx->all);
  assert_int_equal(fake.withdrawals, 0);
  set_close(fx->web);
  assert_ptr_equal(sets_open(fx->all, "web"), fx->web); /* again, before the flush */
  sets_flush(fx->all);
  assert_int_equal(fake.withdrawals, 0);
  assert_int_equal(set_count(fx->web), 1);
  set_close(fx->web);
  assert_int_equal(sets_flush(fx->all), 1);
  assert_int_equal(fake.withdrawals, 1);
  assert_int_equal(fx->told.gone, 1);
  assert_int_equal(fake.slots, 0);
  assert_null(sets_find(fx->all, "web"));
  assert_int_equal(sets_count(fx->all), 0);
}

/* Neither moves the version: nobody has to wake for them. */
static void test_stale_and_balancer(void **state) {
  struct fixture *fx = *state;
  struct fault f = {0};
  struct value *weighted = value_text("weighted", 8), *stages = value_table(),
               *first = value_table(), *unknown = value_text("wieghted", 8);
  value_append(first, value_text("panic", 5));
  value_set(first, "below", value_number(0.3));
  value_append(stages, first);
  value_append(stages, value_text("random", 6));
  replace(fx->web, "a");
  sets_flush(fx->all);
  uint64_t version = fake.version;
  set_stale(fx->web, true);
  sets_flush(fx->all);
  assert_true(fake.last.stale_since_ns && fx->told.stale);
  assert_int_equal(set_balancer(fx->web, weighted, &f), 0);
  sets_flush(fx->all);
  assert_string_equal(fake.last.balancer, "weighted");
  assert_int_equal(set_balancer(fx->web, weighted, &f), 0);
  assert_int_equal(sets_flush(fx->all), 0);
  assert_int_equal(set_balancer(fx->web, stages, &f), 0);
  sets_flush(fx->all);
  assert_string_equal(fake.last.balancer, "random");
  assert_int_equal(set_balancer(fx->web, unknown, &f), -EINVAL);
  assert_non_null(strstr(f.text, "did you mean weighted?"));
  assert_int_equal(set_balancer(fx->web, NULL, &f), 0);
  sets_flush(fx->all);
  assert_null(fake.last.balancer);
  assert_int_equal(fake.version, version);
  value_unref(weighted);
  value_unref(stages);
  value_unref(unknown);
}

/* Against a plain list: random puts, removes, statuses, replaces, flushes. */
static void test_random_changes(void **state) {
  enum { IDS = 40 };
  struct fixture *fx = *state;
  struct {
    bool there;
    uint16_t port;
    enum status status;
  } model[IDS] = {0};
  srand(5);
  for (int step = 0; step < 30000; step++) {
    int i = rand() % IDS;
    char id[16];
    snprintf(id, sizeof id, "id-%02d", i);
    uint16_t port = (uint16_t)(1 + rand() % 2);
    enum status status = (enum status)(rand() % 3);
    switch (rand() % 8) {
    case 0:
    case 1:
      assert_int_equal(set_remove(fx->web, id), model[i].there ? 0 : -ENOENT);
      model[i].there = false;
      break;
    case 2:
      assert_int_equal(set_status(fx->web, id, status), model[i].there ? 0 : -ENOENT);
      model[i].status = status;
      break;
    case 3: {
      struct instance *list[IDS];
      enum status statuses[IDS];
      size_t count = 0;
      for (int k = 0; k < IDS; k++) {
        int j = (k * 7 + step) % IDS; /* in no order */
        model[j].there = rand() % 2;
        if (!model[j].there)
          continue;
        snprintf(id, sizeof id, "id-%02d", j);
        model[j].port = port;
        model[j].status = status;
        statuses[count] = status;
        list[count++] = make(id, port);
      }
      assert_int_equal(set_replace(fx->web, list, statuses, count), 0);
      for (size_t k = 0; k < count; k++)
        instance_unref(list[k]);
      break;
    }
    default:
      assert_int_equal(put(fx->web, id, port, status), 0);
      model[i].there = true;
      model[i].port = port;
      model[i].status = status;
    }
    if (rand() % 4 == 0)
      set_rows(fx->web); /* tidies in the middle of a turn */
    if (rand() % 3)
      continue;
    sets_flush(fx->all);
    size_t at = 0;
    const struct set_row *rows = set_rows(fx->web);
    for (int k = 0; k < IDS; k++) {
      if (!model[k].there)
        continue;
      snprintf(id, sizeof id, "id-%02d", k);
      assert_string_equal(rows[at].instance->id, id);
      assert_int_equal(rows[at].instance->port, model[k].port);
      assert_int_equal(rows[at].status, model[k].status);
      at++;
    }
    assert_int_equal(set_count(fx->web), at);
    assert_int_equal(fake.slots, at); /* none leaked, none given back too early */
    if (fake.publishes) {
      assert_int_equal(fake.last.count, at);
      for (size_t k = 0; k < at; k++) {
        assert_int_equal(fake.rows[k].slot, rows[k].slot);
        assert_int_equal(fake.rows[k].status, rows[k].status);
      }
    }
  }
}

static void test_instance(void **state) {
  const char *tags[] = {"v1", "primary"};
  const struct catalog_pair meta[] = {{"z", "1"}, {"a", "2"}};
  const struct catalog_port ports[] = {{"ssh", 22}, {"http", 80}};
  struct instance_draft d = {.id = "a",
                             .service = "web",
                             .address = "h",
                             .weight = -1,
                             .tags = tags,
                             .meta = meta,
                             .ports = ports,
                             .tag_count = 2,
                             .meta_count = 2,
                             .port_count = 2};
  struct instance *in = instance_new(&d), *same = instance_new(&d);
  assert_true(in->weight == 1);
  assert_string_equal(in->zone, "");
  assert_string_equal(in->meta[0].key, "a");
  assert_string_equal(in->ports[0].name, "http");
  assert_string_equal(in->tags[0], "v1"); /* as given */
  assert_true(instance_equal(in, same));
  instance_unref(same);
  tags[1] = "secondary";
  same = instance_new(&d);
  assert_false(instance_equal(in, same));
  instance_unref(same);
  instance_unref(in);
  enum status s;
  assert_int_equal(status_parse("warning", &s), 0);
  assert_int_equal(s, STATUS_WARNING);
  assert_int_equal(status_parse("Warning", &s), -EINVAL);
}

static void check(const struct instance_draft *d, const char *wrong) {
  struct fault f = {0};
  struct instance *in = instance_new(d);
  assert_int_equal(instance_check(in, &f), wrong ? -EINVAL : 0);
  assert_true(in->fit == !wrong);
  if (wrong)
    assert_non_null(strstr(f.text, wrong));
  instance_unref(in);
}

/* One that the catalog cannot hold would hide all the others of its service. */
static void test_what_the_catalog_cannot_hold_is_no_instance(void **state) {
  static char most[65536], more[65537], far[257];
  const char *tags[] = {most};
  struct catalog_pair meta[] = {{"a", most}};
  struct catalog_port ports[] = {{most, 1}};
  struct instance_draft d = {.id = "a",
                             .service = "web",
                             .address = "10.0.0.1",
                             .zone = most,
                             .tags = tags,
                             .meta = meta,
                             .ports = ports,
                             .tag_count = 1,
                             .meta_count = 1,
                             .port_count = 1};
  memset(most, 't', sizeof most - 1);
  memset(more, 't', sizeof more - 1);
  memset(far, 'h', sizeof far - 1);
  check(&d, NULL);
  tags[0] = more;
  check(&d, "a tag of 65536 bytes");
  tags[0] = most;
  meta[0].value = more;
  check(&d, "a meta value of 65536 bytes");
  meta[0] = (struct catalog_pair){more, "1"};
  check(&d, "a meta key of 65536 bytes");
  meta[0].key = "a";
  ports[0].name = more;
  check(&d, "a port's name of 65536 bytes");
  ports[0].name = most;
  d.zone = more;
  check(&d, "a zone of 65536 bytes");
  d.zone = NULL;
  d.address = far;
  check(&d, "its address must be");
  d.address = "10.0.0.1\nserver evil";
  check(&d, "its address must be");
  d.address = "has space";
  check(&d, "its address must be");
  d.address = "/run/a socket";
  check(&d, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      T(test_one_snapshot_a_turn),
      T(test_equal_facts_publish_nothing),
      T(test_known_emptiness),
      T(test_slots_are_for_life),
      T(test_refusals_change_nothing),
      T(test_publishing_fails),
      T(test_pace),
      T(test_fail_open_is_counted),
      T(test_opened_twice_closed_twice),
      T(test_stale_and_balancer),
      T(test_random_changes),
      T(test_instance),
      T(test_what_the_catalog_cannot_hold_is_no_instance),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
