/* The embedded registry on a clock of the test's own, in memory: leases, checks, conflicts, the
 * configuration. What must survive a restart is in restart_test.c and kill_test.c. */
#include "registry/fixture.h"

#include "base/value.h"

#include <errno.h>

struct fixture {
  uv_loop_t loop;
  struct store *store;
  struct embedded *e;
  struct answers answers;
  struct registration_state *last; /* of the last `changed` */
  int changed, gone, started, stopped;
  uint64_t handle; /* the last one that was started */
  uint32_t started_check;
  int in_order; /* of test_100000_leases */
  char previous[32];
};

static void on_changed(void *arg, const struct registration_state *s, bool gone) {
  struct fixture *fx = arg;
  registration_state_unref(fx->last);
  fx->last = registration_state_ref(s);
  fx->changed++;
  fx->gone += gone;
}

static void on_start(void *arg, uint64_t handle, const struct registration *r, uint32_t i) {
  struct fixture *fx = arg;
  fx->started++;
  fx->handle = handle;
  fx->started_check = i;
}

static void on_stop(void *arg, uint64_t handle) {
  struct fixture *fx = arg;
  fx->stopped++;
}

static const struct embedded_events events = {on_changed, on_start, on_stop};

static int setup(void **state) {
  struct fixture *fx = calloc(1, sizeof *fx);
  log_set_level(LOG_LEVEL_ERROR + 1);
  clock_use(&fixture_clock);
  uv_loop_init(&fx->loop);
  assert_int_equal(store_open(&fx->loop, NULL, &fx->store, NULL), 0);
  assert_int_equal(embedded_new(&fx->loop, fx->store, &events, fx, &fx->e), 0);
  assert_int_equal(embedded_restore(fx->e), 0);
  *state = fx;
  return 0;
}

static int teardown(void **state) {
  struct fixture *fx = *state;
  embedded_free(fx->e);
  close_store(&fx->loop, fx->store);
  close_loop(&fx->loop);
  registration_state_unref(fx->last);
  free(fx);
  return 0;
}

/* Registers, waits for the answer, and gives `r` back. */
static int do_register(struct fixture *fx, struct registration *r) {
  int before = fx->answers.count;
  assert_int_equal(embedded_register(fx->e, r, on_answer, &fx->answers), 0);
  assert_int_equal(fx->answers.count, before); /* later */
  registration_unref(r);
  advance(second / 100); /* the renewals' window */
  run_until(&fx->loop, &fx->answers.count, before + 1);
  return fx->answers.status;
}

static int do_deregister(struct fixture *fx, const char *id) {
  int before = fx->answers.count;
  assert_int_equal(embedded_deregister(fx->e, id, on_answer, &fx->answers), 0);
  run_until(&fx->loop, &fx->answers.count, before + 1);
  return fx->answers.status;
}

static int do_renew(struct fixture *fx, const char *id) {
  int before = fx->answers.count;
  assert_int_equal(embedded_renew(fx->e, id, on_answer, &fx->answers), 0);
  advance(second / 100);
  run_until(&fx->loop, &fx->answers.count, before + 1);
  return fx->answers.status;
}

static int do_update(struct fixture *fx, const char *check, enum status s, const char *output) {
  int before = fx->answers.count;
  assert_int_equal(embedded_check_update(fx->e, check, s, output, on_answer, &fx->answers), 0);
  run_until(&fx->loop, &fx->answers.count, before + 1);
  return fx->answers.status;
}

static enum status status_of(struct fixture *fx, const char *id) {
  const struct registration_state *s = embedded_find(fx->e, id);
  assert_non_null(s);
  return s->status;
}

static void test_register_and_deregister(void **state) {
  struct fixture *fx = *state;
  assert_null(embedded_find(fx->e, "web-1"));
  assert_int_equal(do_register(fx, make("web", "web-1", 0, NULL, 0)), 0);
  const struct registration_state *s = embedded_find(fx->e, "web-1");
  assert_non_null(s);
  assert_int_equal(s->status, STATUS_PASSING);
  assert_true(s->create_index > 0 && s->create_index == s->modify_index);
  assert_int_equal(embedded_count(fx->e), 1);
  assert_int_equal(fx->changed, 1);
  assert_int_equal(do_deregister(fx, "web-1"), 0);
  assert_int_equal(fx->gone, 1);
  assert_null(embedded_find(fx->e, "web-1"));
  assert_int_equal(do_deregister(fx, "web-1"), -ENOENT);
  assert_string_equal(fx->answers.message, "unknown instance id web-1");
  assert_int_equal(do_renew(fx, "web-1"), -ENOENT);
}

/* Before the first is durable, the second already counts: changes of an id are in order. */
static void test_pending_changes_are_seen(void **state) {
  struct fixture *fx = *state;
  struct registration *r = make("web", "web-1", 5000, NULL, 0);
  embedded_register(fx->e, r, on_answer, &fx->answers);
  assert_null(embedded_find(fx->e, "web-1"));
  embedded_renew(fx->e, "web-1", on_answer, &fx->answers);
  embedded_deregister(fx->e, "web-1", on_answer, &fx->answers);
  embedded_deregister(fx->e, "web-1", NULL, NULL); /* it will not be there */
  embedded_register(fx->e, r, on_answer, &fx->answers);
  run_until(&fx->loop, &fx->answers.count, 4);
  assert_int_equal(fx->answers.status, 0);
  assert_int_equal(fx->changed, 3);
  assert_int_equal(fx->gone, 1);
  assert_non_null(embedded_find(fx->e, "web-1"));
  registration_unref(r);
}

static void test_refusals(void **state) {
  struct fixture *fx = *state;
  assert_int_equal(do_register(fx, make("", "web-1", 0, NULL, 0)), -EINVAL);
  assert_int_not_equal(fx->answers.message[0], '\0');
  struct check_definition c = {.id = "c", .plugin = "http", .interval_ns = second};
  assert_int_equal(do_register(fx, make("web", "web-1", 0, &c, 1)), 0);
  assert_int_equal(do_register(fx, make("web", "web-2", 0, &c, 1)), -EEXIST);
  assert_string_equal(fx->answers.message, "the check id c belongs to the instance web-1");
  assert_int_equal(do_update(fx, "c", STATUS_PASSING, ""), -EINVAL);
  assert_int_equal(do_update(fx, "nobody", STATUS_PASSING, ""), -ENOENT);
  assert_int_equal(embedded_count(fx->e), 1);
}

/* Two that want the same check id, before either is durable: the second is refused when its turn
 * comes, and its record does not stay. */
static void test_conflict_while_pending(void **state) {
  struct fixture *fx = *state;
  struct check_definition c = {.id = "c", .plugin = "http", .interval_ns = second};
  struct registration *a = make("web", "web-1", 0, &c, 1), *b = make("web", "web-2", 0, &c, 1);
  embedded_register(fx->e, a, on_answer, &fx->answers);
  embedded_register(fx->e, b, on_answer, &fx->answers);
  run_until(&fx->loop, &fx->answers.count, 2);
  assert_int_equal(fx->answers.status, -EEXIST);
  assert_non_null(embedded_find(fx->e, "web-1"));
  assert_null(embedded_find(fx->e, "web-2"));
  registration_unref(a);
  registration_unref(b);
}

static void test_lease_runs_out_unless_renewed(void **state) {
  struct fixture *fx = *state;
  do_register(fx, make("web", "web-1", 1000, NULL, 0));
  do_register(fx, make("web", "web-2", 1000, NULL, 0));
  do_register(fx, make("web", "web-3", 0, NULL, 0));
  struct embedded_stats st;
  embedded_stats(fx->e, &st);
  assert_int_equal(st.leases, 2);
  advance(second / 2);
  assert_int_equal(do_renew(fx, "web-1"), 0);
  assert_int_equal(do_renew(fx, "web-3"), 0); /* no lease: nothing to renew, no error */
  advance(second * 6 / 10);
  embedded_tick(fx->e);
  assert_non_null(embedded_find(fx->e, "web-1"));
  assert_null(embedded_find(fx->e, "web-2"));
  /* An equal registration is a renewal, and nobody is told of a change. */
  int changed = fx->changed;
  assert_int_equal(do_register(fx, make("web", "web-1", 1000, NULL, 0)), 0);
  assert_int_equal(fx->changed, changed);
  advance(second * 6 / 10);
  embedded_tick(fx->e);
  assert_non_null(embedded_find(fx->e, "web-1"));
  advance(second);
  embedded_tick(fx->e);
  assert_null(embedded_find(fx->e, "web-1"));
  assert_non_null(embedded_find(fx->e, "web-3"));
  embedded_stats(fx->e, &st);
  assert_int_equal(st.leases, 0);
  assert_int_equal(st.expired, 2);
}

/* A renewal that came in time, but whose commit did not: the lease waits for it. */
static void test_pending_renewal_saves_the_lease(void **state) {
  struct fixture *fx = *state;
  do_register(fx, make("web", "web-1", 1000, NULL, 0));
  advance(second * 9 / 10);
  int before = fx->answers.count;
  embedded_renew(fx->e, "web-1", on_answer, &fx->answers);
  advance(second / 2);
  embedded_tick(fx->e); /* the lease is over, the renewal is on its way */
  assert_non_null(embedded_find(fx->e, "web-1"));
  run_until(&fx->loop, &fx->answers.count, before + 1);
  assert_int_equal(fx->answers.status, 0);
  advance(second * 4 / 10); /* 0.9 s after the renewal was asked for */
  embedded_tick(fx->e);
  assert_non_null(embedded_find(fx->e, "web-1"));
  advance(second * 2 / 10);
  embedded_tick(fx->e);
  assert_null(embedded_find(fx->e, "web-1"));
}

static void on_expired_in_order(void *arg, const struct registration_state *s, bool gone) {
  struct fixture *fx = arg;
  if (!gone)
    return;
  const char *id = s->registration->instance->id;
  fx->in_order += strcmp(fx->previous, id) < 0;
  snprintf(fx->previous, sizeof fx->previous, "%s", id);
}

/* No scan: what it costs is counted in places written in the heap. */
static void test_100000_leases(void **state) {
  enum { MANY = 100000 };
  struct fixture *fx = *state;
  struct embedded *e;
  struct embedded_events ordered = {.changed = on_expired_in_order};
  embedded_new(&fx->loop, fx->store, &ordered, fx, &e);
  char id[32];
  for (int i = 0; i < MANY; i++) {
    snprintf(id, sizeof id, "i-%06d", i);
    struct registration *r = make("web", id, 100000 + i, NULL, 0);
    embedded_register(e, r, on_answer, &fx->answers);
    registration_unref(r);
  }
  run_until(&fx->loop, &fx->answers.count, MANY);
  struct embedded_stats before, after;
  embedded_stats(e, &before);
  assert_int_equal(before.leases, MANY);
  advance(100 * second + MANY / 2 * (second / 1000)); /* half of them, and the one at that ms */
  uint32_t fired = 0, most = 0, now;
  while ((now = embedded_tick(e)) > 0) {
    fired += now;
    most = now > most ? now : most;
  }
  assert_int_equal(fired, MANY / 2 + 1);
  assert_int_equal(fx->in_order, MANY / 2 + 1);
  assert_true(most <= 256); /* a turn never does more */
  embedded_stats(e, &after);
  assert_int_equal(after.registrations, MANY / 2 - 1);
  assert_true(after.alarm_moves - before.alarm_moves < (uint64_t)fired * 20);
  assert_int_equal(embedded_tick(e), 0); /* nothing due: nothing done */
  struct embedded_stats idle;
  embedded_stats(e, &idle);
  assert_int_equal(idle.alarm_moves, after.alarm_moves);
  embedded_free(e);
}

/* ---- checks ---- */

static void test_rise_and_fall(void **state) {
  /* p passing, w warning, c critical; a result and what the status is after it. */
  static const struct {
    int rise, fall;
    const char *results, *statuses;
  } vectors[] = {
      {2, 3, "pppp", "pppp"},     {2, 3, "cpp", "ccp"},       {2, 3, "pccpccc", "ppppppc"},
      {2, 3, "pcccpp", "pppccp"}, {2, 3, "cpcpp", "ccccp"},   {1, 1, "pcpcp", "pcpcp"},
      {0, 0, "pcpc", "pcpc"},     {2, 3, "pwp", "pwp"},       {2, 3, "wccc", "wwwc"},
      {2, 3, "cwp", "ccp"},       {3, 2, "cppwcc", "cccwwc"}, {2, 2, "wcpcc", "wwppc"},
  };
  struct fixture *fx = *state;
  for (size_t v = 0; v < sizeof vectors / sizeof *vectors; v++) {
    struct check_definition c = {.id = "c",
                                 .plugin = "http",
                                 .interval_ns = second,
                                 .rise = vectors[v].rise,
                                 .fall = vectors[v].fall,
                                 .initial = STATUS_CRITICAL};
    assert_int_equal(do_register(fx, make("web", "web-1", 0, &c, 1)), 0);
    assert_int_equal(status_of(fx, "web-1"), STATUS_CRITICAL);
    for (size_t i = 0; vectors[v].results[i]; i++) {
      char result = vectors[v].results[i];
      embedded_check_result(fx->e, fx->handle,
                            result == 'p'   ? STATUS_PASSING
                            : result == 'w' ? STATUS_WARNING
                                            : STATUS_CRITICAL,
                            "out");
      char now = status_name(status_of(fx, "web-1"))[0];
      if (now != vectors[v].statuses[i])
        fail_msg("rise %d fall %d, %s: %c after result %zu", vectors[v].rise, vectors[v].fall,
                 vectors[v].results, now, i);
    }
    assert_int_equal(do_deregister(fx, "web-1"), 0);
  }
}

static uint64_t flapping(struct fixture *fx) {
  struct embedded_stats s;
  embedded_stats(fx->e, &s);
  return s.flapping;
}

/* What rise and fall hide is told. */
static void test_flapping(void **state) {
  struct fixture *fx = *state;
  struct check_definition c[2] = {{.id = "c",
                                   .plugin = "http",
                                   .interval_ns = second,
                                   .rise = 2,
                                   .fall = 3,
                                   .initial = STATUS_CRITICAL}};
  c[1] = c[0];
  c[1].id = "d";
  assert_int_equal(do_register(fx, make("web", "web-1", 0, c, 1)), 0);
  uint64_t handle = fx->handle;
  for (int i = 0; i <= 9; i++)
    embedded_check_result(fx->e, handle, i % 2 ? STATUS_CRITICAL : STATUS_PASSING, "out");
  assert_int_equal(flapping(fx), 0); /* nine changes */
  embedded_check_result(fx->e, handle, STATUS_PASSING, "out");
  assert_int_equal(flapping(fx), 1);
  assert_int_equal(status_of(fx, "web-1"), STATUS_PASSING);
  assert_int_equal(do_register(fx, make("web", "web-1", 0, c, 2)), 0);
  assert_int_equal(flapping(fx), 1); /* the check goes on */
  for (int i = 0; i < 14; i++)
    embedded_check_result(fx->e, handle, STATUS_WARNING, "out");
  assert_int_equal(flapping(fx), 1);
  embedded_check_result(fx->e, handle, STATUS_PASSING, "out");
  assert_int_equal(flapping(fx), 0); /* five changes of the last twenty */
  for (int i = 0; i < 12; i++)
    embedded_check_result(fx->e, handle, i % 2 ? STATUS_CRITICAL : STATUS_PASSING, "out");
  assert_int_equal(flapping(fx), 1);
  assert_int_equal(do_deregister(fx, "web-1"), 0);
  assert_int_equal(flapping(fx), 0);
}

static void test_results_of_a_stopped_check(void **state) {
  struct fixture *fx = *state;
  struct check_definition c = {
      .id = "c", .plugin = "http", .interval_ns = second, .initial = STATUS_CRITICAL};
  do_register(fx, make("web", "web-1", 0, &c, 1));
  uint64_t old = fx->handle;
  do_deregister(fx, "web-1");
  assert_int_equal(fx->stopped, 1);
  do_register(fx, make("web", "web-1", 0, &c, 1));
  assert_int_not_equal(fx->handle, old);
  embedded_check_result(fx->e, old, STATUS_PASSING, "late");
  assert_int_equal(status_of(fx, "web-1"), STATUS_CRITICAL);
  embedded_check_result(fx->e, fx->handle, STATUS_PASSING, NULL);
  assert_int_equal(status_of(fx, "web-1"), STATUS_PASSING);
  embedded_check_result(fx->e, 0, STATUS_CRITICAL, "nobody");
  assert_int_equal(status_of(fx, "web-1"), STATUS_PASSING);
}

static void test_worst_check_counts_and_output_is_cut(void **state) {
  struct fixture *fx = *state;
  struct check_definition c[] = {
      {.id = "a", .plugin = "ttl", .ttl_ns = second * 100, .initial = STATUS_PASSING},
      {.id = "b", .plugin = "ttl", .ttl_ns = second * 100, .initial = STATUS_CRITICAL}};
  do_register(fx, make("web", "web-1", 0, c, 2));
  assert_int_equal(status_of(fx, "web-1"), STATUS_CRITICAL);
  char *output = malloc(10001);
  for (int i = 0; i < 10000; i += 2)
    memcpy(output + i, "\xc3\xa9", 2);
  memmove(output + 1, output, 9999);
  output[0] = 'x'; /* the limit falls into the middle of a character */
  output[10000] = '\0';
  assert_int_equal(do_update(fx, "b", STATUS_WARNING, output), 0);
  free(output);
  const struct registration_state *s = embedded_find(fx->e, "web-1");
  assert_int_equal(s->status, STATUS_WARNING);
  assert_int_equal(strlen(s->checks[1].output), 4095);
  assert_int_equal(s->checks[0].changed_us, 0);
  assert_int_equal(s->checks[1].changed_us, clock_wall_us());
  assert_true(s->checks[1].modify_index > s->checks[0].modify_index);
  int changed = fx->changed;
  do_update(fx, "b", STATUS_WARNING, s->checks[1].output); /* the same facts */
  assert_int_equal(fx->changed, changed);
  do_update(fx, "b", STATUS_PASSING, "");
  assert_int_equal(status_of(fx, "web-1"), STATUS_PASSING);
  assert_int_equal(fx->started, 0); /* a ttl check is told, not run */
}

static void test_ttl(void **state) {
  struct fixture *fx = *state;
  struct check_definition c = {
      .id = "c", .plugin = "ttl", .ttl_ns = second, .initial = STATUS_PASSING};
  do_register(fx, make("web", "web-1", 0, &c, 1));
  advance(second * 8 / 10);
  assert_int_equal(do_update(fx, "c", STATUS_PASSING, "fine"), 0);
  advance(second * 8 / 10);
  embedded_tick(fx->e);
  assert_int_equal(status_of(fx, "web-1"), STATUS_PASSING);
  advance(second * 3 / 10);
  embedded_tick(fx->e);
  assert_int_equal(status_of(fx, "web-1"), STATUS_CRITICAL);
  assert_string_equal(embedded_find(fx->e, "web-1")->checks[0].output, "TTL expired");
  assert_int_equal(do_update(fx, "c", STATUS_WARNING, "so so"), 0);
  assert_int_equal(status_of(fx, "web-1"), STATUS_WARNING);
  advance(second * 11 / 10);
  embedded_tick(fx->e);
  assert_int_equal(status_of(fx, "web-1"), STATUS_CRITICAL);
}

static void test_deregister_after(void **state) {
  struct fixture *fx = *state;
  struct check_definition c = {.id = "c",
                               .plugin = "http",
                               .interval_ns = second,
                               .deregister_after_ns = 10 * second,
                               .initial = STATUS_CRITICAL};
  do_register(fx, make("web", "web-1", 0, &c, 1));
  advance(9 * second);
  embedded_check_result(fx->e, fx->handle, STATUS_PASSING, "");
  advance(9 * second);
  embedded_tick(fx->e);
  assert_non_null(embedded_find(fx->e, "web-1")); /* it was not critical all the time */
  embedded_check_result(fx->e, fx->handle, STATUS_CRITICAL, "down");
  advance(9 * second);
  embedded_check_result(fx->e, fx->handle, STATUS_CRITICAL, "still down");
  embedded_tick(fx->e);
  assert_non_null(embedded_find(fx->e, "web-1"));
  advance(second);
  embedded_tick(fx->e);
  assert_null(embedded_find(fx->e, "web-1"));
  struct embedded_stats st;
  embedded_stats(fx->e, &st);
  assert_int_equal(st.reaped, 1);
  assert_int_equal(st.checks, 0);
}

/* Equal: everything stays. Other facts of the instance: the check starts anew (its address may have
 * changed) but its status stays. Another definition under the same id: its status stays too.
 * Another kind of check: it begins. */
static void test_register_again_keeps_checks(void **state) {
  struct fixture *fx = *state;
  struct check_definition c = {
      .id = "c", .plugin = "http", .interval_ns = second, .fall = 3, .initial = STATUS_CRITICAL};
  do_register(fx, make("web", "web-1", 0, &c, 1));
  embedded_check_result(fx->e, fx->handle, STATUS_PASSING, "ok");
  uint64_t handle = fx->handle, created = embedded_find(fx->e, "web-1")->create_index;
  embedded_check_result(fx->e, handle, STATUS_CRITICAL, ""); /* one of three */
  embedded_check_result(fx->e, handle, STATUS_CRITICAL, "");
  do_register(fx, make("web", "web-1", 0, &c, 1));
  do_register(fx, make("web", "web-1", 5000, &c, 1)); /* only the lease differs */
  assert_int_equal(fx->started, 1);
  embedded_check_result(fx->e, handle, STATUS_CRITICAL, "down"); /* the third */
  assert_int_equal(status_of(fx, "web-1"), STATUS_CRITICAL);
  embedded_check_result(fx->e, handle, STATUS_PASSING, "ok");
  embedded_check_result(fx->e, handle, STATUS_PASSING, "ok");

  do_register(fx, make("web2", "web-1", 0, &c, 1));
  assert_int_equal(fx->gone, 1); /* from the service "web" */
  assert_int_equal(fx->started, 2);
  assert_int_equal(fx->stopped, 1);
  assert_int_equal(status_of(fx, "web-1"), STATUS_PASSING);
  assert_string_equal(embedded_find(fx->e, "web-1")->checks[0].output, "ok");
  assert_int_equal(embedded_find(fx->e, "web-1")->create_index, created);
  c.interval_ns = 2 * second;
  do_register(fx, make("web2", "web-1", 0, &c, 1));
  assert_int_equal(status_of(fx, "web-1"), STATUS_PASSING);
  c.plugin = "tcp";
  do_register(fx, make("web2", "web-1", 0, &c, 1));
  assert_int_equal(status_of(fx, "web-1"), STATUS_CRITICAL);
  assert_int_equal(fx->started - fx->stopped, 1);
}

/* ---- the configuration ---- */

static struct registration *configured(const char *id) {
  struct registration *r = make("web", id, 0, NULL, 0), draft = *r, *out;
  draft.origin = ORIGIN_CONFIGURATION;
  out = registration_new(&draft);
  registration_unref(r);
  return out;
}

static void test_configuration(void **state) {
  struct fixture *fx = *state;
  struct registration *list[] = {configured("c-1"), configured("c-2")};
  do_register(fx, make("web", "c-2", 5000, NULL, 0)); /* the configuration will take it over */
  do_register(fx, make("web", "h-1", 0, NULL, 0));
  assert_int_equal(embedded_configure(fx->e, list, 2), 0);
  assert_int_equal(embedded_count(fx->e), 3);
  struct embedded_stats st;
  embedded_stats(fx->e, &st);
  assert_int_equal(st.leases, 0);
  int changed = fx->changed;
  assert_int_equal(embedded_configure(fx->e, list, 2), 0); /* equal: untouched */
  assert_int_equal(fx->changed, changed);
  assert_int_equal(do_register(fx, make("web", "c-1", 0, NULL, 0)), -EPERM);
  assert_int_equal(do_deregister(fx, "c-1"), -EPERM);
  assert_non_null(strstr(fx->answers.message, "comes from the configuration"));
  assert_int_equal(embedded_configure(fx->e, list, 1), 0);
  assert_null(embedded_find(fx->e, "c-2"));
  assert_non_null(embedded_find(fx->e, "h-1"));
  struct registration *twice[] = {list[1], list[1]};
  assert_int_equal(embedded_configure(fx->e, twice, 2), -EINVAL);
  assert_non_null(embedded_find(fx->e, "c-1")); /* nothing has changed */
  assert_int_equal(embedded_configure(fx->e, NULL, 0), 0);
  assert_int_equal(embedded_count(fx->e), 1);
  registration_unref(list[0]);
  registration_unref(list[1]);
}

/* One that was on its way to the disk when the configuration took its id. */
static void test_configuration_wins_over_pending(void **state) {
  struct fixture *fx = *state;
  struct registration *list[] = {configured("c-1")}, *r = make("web", "c-1", 0, NULL, 0);
  embedded_register(fx->e, r, on_answer, &fx->answers);
  assert_int_equal(embedded_configure(fx->e, list, 1), 0);
  run_until(&fx->loop, &fx->answers.count, 1);
  assert_int_equal(fx->answers.status, -EPERM);
  assert_int_equal(embedded_find(fx->e, "c-1")->registration->origin, ORIGIN_CONFIGURATION);
  registration_unref(r);
  registration_unref(list[0]);
}

static void test_leave(void **state) {
  struct fixture *fx = *state;
  struct registration *list[] = {configured("c-1")}, *r = make("web", "late", 0, NULL, 0);
  do_register(fx, make("web", "h-1", 1000, NULL, 0));
  embedded_configure(fx->e, list, 1);
  int before = fx->answers.count;
  embedded_register(fx->e, r, on_answer, &fx->answers); /* not durable yet */
  embedded_leave(fx->e);
  assert_int_equal(embedded_count(fx->e), 0);
  assert_int_equal(fx->gone, 2);
  run_until(&fx->loop, &fx->answers.count, before + 1);
  assert_int_equal(fx->answers.status, -ESHUTDOWN);
  assert_int_equal(do_register(fx, make("web", "h-2", 0, NULL, 0)), -ESHUTDOWN);
  assert_int_equal(embedded_count(fx->e), 0);
  registration_unref(r);
  registration_unref(list[0]);
}

/* Pending changes are answered when the registry ends, once. */
static void test_free_answers_what_is_pending(void **state) {
  struct fixture *fx = *state;
  struct embedded *e;
  embedded_new(&fx->loop, fx->store, &events, fx, &e);
  struct registration *r = make("web", "web-1", 1000, NULL, 0);
  embedded_register(e, r, on_answer, &fx->answers);
  embedded_renew(e, "web-1", on_answer, &fx->answers);
  embedded_renew(e, "unknown", on_answer, &fx->answers);
  embedded_free(e);
  assert_int_equal(fx->answers.count, 3);
  registration_unref(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      T(test_register_and_deregister),
      T(test_pending_changes_are_seen),
      T(test_refusals),
      T(test_conflict_while_pending),
      T(test_lease_runs_out_unless_renewed),
      T(test_pending_renewal_saves_the_lease),
      T(test_100000_leases),
      T(test_rise_and_fall),
      T(test_flapping),
      T(test_results_of_a_stopped_check),
      T(test_worst_check_counts_and_output_is_cut),
      T(test_ttl),
      T(test_deregister_after),
      T(test_register_again_keeps_checks),
      T(test_configuration),
      T(test_configuration_wins_over_pending),
      T(test_leave),
      T(test_free_answers_what_is_pending),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
