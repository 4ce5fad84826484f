/* A worker's handles on services: held, and never more than there is room for. */
#include "serve/rig.h"

#include "serve/exchange/picks.h"

static int open_rig(void **state) {
  struct rig *rig = rig_open(NULL, 1);
  for (int i = 0; i < 6; i++) {
    char body[100];
    snprintf(body, sizeof body, "{\"Name\":\"s%d\",\"Address\":\"10.0.0.%d\",\"Port\":80}", i,
             i + 1);
    assert_int_equal(rig_status_of(rig, "PUT", "/v1/agent/service/register", body), 200);
  }
  *state = rig;
  return 0;
}

static int close_rig(void **state) {
  rig_close(*state);
  return 0;
}

static void the_least_recently_used_goes(void **state) {
  struct rig *rig = *state;
  struct picks *p = picks_new(rig->dir, 3, NULL);
  struct perigee_service *first, *s;
  assert_int_equal(picks_service(p, "s0", &first), 0);
  for (int round = 0; round < 50; round++) {
    char name[8], address[16];
    struct perigee_endpoint e;
    snprintf(name, sizeof name, "s%d", round % 5 + 1);
    snprintf(address, sizeof address, "10.0.0.%d", round % 5 + 2);
    assert_int_equal(picks_service(p, name, &s), 0);
    assert_int_equal(perigee_pick(s, NULL, &e), 0);
    assert_string_equal(e.address, address);
    assert_true(picks_count(p) <= 3);
    assert_int_equal(picks_service(p, "s0", &s), 0); /* always just used: it stays */
    assert_ptr_equal(s, first);
  }
  assert_int_equal(picks_count(p), 3);
  picks_forget(p, "s0");
  picks_forget(p, "never opened");
  assert_int_equal(picks_count(p), 2);
  picks_free(p);
}

static void a_run_directory_without_a_catalog(void **state) {
  (void)state;
  struct picks *p = picks_new("/nonexistent", 3, NULL);
  struct perigee_service *s;
  assert_int_equal(picks_service(p, "web", &s), -ENOENT);
  assert_int_equal(picks_count(p), 0);
  picks_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_least_recently_used_goes),
      cmocka_unit_test(a_run_directory_without_a_catalog),
  };
  return cmocka_run_group_tests_name("serve picks", tests, open_rig, close_rig);
}
