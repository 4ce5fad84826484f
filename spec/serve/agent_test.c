/* Registering, checking and deregistering over HTTP, and what is answered of it. */
#include "serve/rig.h"

#include <jansson.h>

static int open_rig(void **state) {
  *state = rig_open(NULL, 2);
  return 0;
}

static int close_rig(void **state) {
  rig_close(*state);
  return 0;
}

static json_t *ask_json(const struct rig *rig, const char *target) {
  struct reply r = rig_ask(rig, "GET", target, NULL);
  assert_int_equal(r.status, 200);
  assert_string_equal(reply_header(&r, "Content-Type"), "application/json");
  json_error_t e;
  json_t *v = json_loadb(r.body, r.length, JSON_DECODE_ANY, &e);
  if (!v)
    fail_msg("GET %s: %s\n%s", target, e.text, r.body);
  reply_free(&r);
  return v;
}

static const char *text_at(json_t *v, const char *key) {
  const char *text = json_string_value(json_object_get(v, key));
  assert_non_null(text);
  return text;
}

static void registered_is_picked(void **state) {
  struct rig *rig = *state;
  assert_answer(rig, "PUT", "/v1/agent/service/register",
                "{\"Name\":\"web\",\"ID\":\"web-1\",\"Address\":\"10.0.0.5\",\"Port\":8081,"
                "\"Tags\":[\"v1\",\"blue\"],\"Meta\":{\"k\":\"v\",\"a\":\"b\"}}",
                200, "");
  json_t *pick = ask_json(rig, "/v1/pick/web");
  assert_string_equal(text_at(pick, "service"), "web");
  assert_string_equal(text_at(pick, "id"), "web-1");
  assert_string_equal(text_at(pick, "address"), "10.0.0.5");
  assert_int_equal(json_integer_value(json_object_get(pick, "port")), 8081);
  assert_true(json_integer_value(json_object_get(pick, "version")) > 0);
  assert_string_equal(text_at(pick, "zone"), "z1");
  assert_int_equal(json_integer_value(json_object_get(pick, "weight")), 1);
  assert_string_equal(text_at(pick, "status"), "passing");
  assert_int_equal(json_array_size(json_object_get(pick, "tags")), 2);
  assert_string_equal(json_string_value(json_array_get(json_object_get(pick, "tags"), 1)), "blue");
  assert_string_equal(text_at(json_object_get(pick, "meta"), "k"), "v");
  assert_int_equal(json_object_size(json_object_get(pick, "meta")), 2);
  json_decref(pick);
  assert_int_equal(rig_status_of(rig, "GET", "/v1/pick/web?key=user%20one", NULL), 200);

  assert_answer(rig, "PUT", "/v1/agent/service/deregister/web-1", NULL, 200, "");
  assert_int_equal(rig_status_of(rig, "GET", "/v1/pick/web", NULL), 503);
}

static void unknown_services_and_ids(void **state) {
  struct rig *rig = *state;
  struct reply r = rig_ask(rig, "GET", "/v1/pick/nobody", NULL);
  assert_int_equal(r.status, 404);
  assert_non_null(strstr(r.body, "No service \"nobody\" is known here"));
  reply_free(&r);
  assert_int_equal(rig_status_of(rig, "GET", "/v1/services/nobody", NULL), 404);
  assert_answer(rig, "PUT", "/v1/agent/service/deregister/x%2fy", NULL, 404,
                "Unknown service ID \"x/y\". Ensure that the service ID is passed, not the service "
                "name.");
  assert_answer(rig, "PUT", "/v1/agent/check/pass/none", NULL, 404,
                "Unknown check ID \"none\". Ensure that the check ID is passed, not the check "
                "name.");
  assert_answer(rig, "GET", "/v1/agent/service/none", NULL, 404, "unknown service ID: none");
  assert_answer(rig, "GET", "/nowhere", NULL, 404,
                "Invalid URL path: not a recognized HTTP API endpoint");
}

static void checks_move_a_service(void **state) {
  struct rig *rig = *state;
  assert_answer(rig, "PUT", "/v1/agent/service/register",
                "{\"name\":\"db\",\"port\":5432,\"check\":{\"ttl\":\"10s\"}}", 200, "");
  json_t *s = ask_json(rig, "/v1/services/db");
  assert_int_equal(json_integer_value(json_object_get(s, "critical")), 1);
  json_decref(s);
  assert_answer(rig, "GET", "/v1/health/service/db?passing", NULL, 200, "[]");
  assert_answer(rig, "PUT", "/v1/agent/check/pass/service:db?note=all%20is%20well", NULL, 200, "");
  json_t *checks = ask_json(rig, "/v1/agent/checks");
  json_t *check = json_object_get(checks, "service:db");
  assert_string_equal(text_at(check, "Status"), "passing");
  assert_string_equal(text_at(check, "Output"), "all is well");
  assert_string_equal(text_at(check, "Name"), "Service 'db' check");
  json_decref(checks);
  assert_int_equal(rig_status_of(rig, "PUT", "/v1/agent/check/warn/service:db", NULL), 200);
  s = ask_json(rig, "/v1/services/db");
  assert_int_equal(json_integer_value(json_object_get(s, "warning")), 1);
  json_decref(s);
  assert_int_equal(rig_status_of(rig, "PUT", "/v1/agent/check/update/service:db",
                                 "{\"Status\":\"critical\",\"Output\":\"gone\"}"),
                   200);
  assert_answer(rig, "PUT", "/v1/agent/check/update/service:db", "{\"Status\":\"fine\"}", 400,
                "Invalid check status: 'fine'");
  json_t *list = ask_json(rig, "/v1/health/checks/db");
  assert_string_equal(text_at(json_array_get(list, 0), "Status"), "critical");
  assert_string_equal(text_at(json_array_get(list, 0), "Output"), "gone");
  json_decref(list);

  assert_int_equal(rig_status_of(rig, "PUT", "/v1/agent/service/register",
                                 "{\"Name\":\"t\",\"Port\":1,\"Check\":{\"TCP\":\"127.0.0.1:1\","
                                 "\"Interval\":\"10s\"}}"),
                   200);
  assert_answer(rig, "PUT", "/v1/agent/check/pass/service:t", NULL, 500,
                "CheckID \"service:t\" does not have associated TTL");
}

static void refusals_of_the_registry(void **state) {
  struct rig *rig = *state;
  static const char body[] = "{\"Name\":\"full\",\"Port\":1}";
  rig->refuse_with = -ENOSPC;
  assert_answer(rig, "PUT", "/v1/agent/service/register", body, 500,
                "The disk under the data directory is full: nothing was changed.");
  rig->refuse_with = -EPERM;
  assert_int_equal(rig_status_of(rig, "PUT", "/v1/agent/service/register", body), 403);
  assert_int_equal(rig_status_of(rig, "GET", "/v1/agent/service/full", NULL), 404);
}

static void leases_and_owners(void **state) {
  struct rig *rig = *state;
  static const char body[] = "{\"Name\":\"leased\",\"Port\":1,\"Perigee\":{\"Lease\":\"30s\"}}";
  assert_int_equal(rig_status_of(rig, "PUT", "/v1/agent/service/register", body), 200);
  assert_int_equal(rig->last_lease_ms, 30000);
  assert_int_equal(rig_status_of(rig, "PUT", "/v1/agent/service/register?lease=2m", body), 200);
  assert_int_equal(rig->last_lease_ms, 120000);
  assert_int_equal(rig_status_of(rig, "PUT", "/v1/agent/service/renew/leased", NULL), 200);
  assert_int_equal(rig_status_of(rig, "PUT", "/v1/agent/service/register?owner=none", body), 400);
  char target[100];
  snprintf(target, sizeof target, "/v1/agent/service/register?owner=%d", (int)getpid());
  assert_int_equal(rig_status_of(rig, "PUT", target, body), 200);
}

static void lists_and_status(void **state) {
  struct rig *rig = *state;
  rig_status_of(rig, "PUT", "/v1/agent/service/register", "{\"Name\":\"b\",\"Port\":2}");
  rig_status_of(rig, "PUT", "/v1/agent/service/register", "{\"Name\":\"a\",\"Port\":1}");
  json_t *list = ask_json(rig, "/v1/services");
  size_t n = json_array_size(list), i;
  assert_true(n >= 2);
  for (i = 1; i < n; i++)
    assert_true(strcmp(text_at(json_array_get(list, i - 1), "name"),
                       text_at(json_array_get(list, i), "name")) < 0);
  assert_true(json_is_false(json_object_get(json_array_get(list, 0), "stale")));
  json_decref(list);
  assert_answer(rig, "GET", "/v1/status", NULL, 200, "{\"rig\":true}");
  assert_answer(rig, "GET", "/v1/status/leader", NULL, 200, "\"127.0.0.1:8300\"");
  assert_answer(rig, "GET", "/v1/status/peers", NULL, 200, "[\"127.0.0.1:8300\"]");
  assert_answer(rig, "GET", "/v1/catalog/datacenters", NULL, 200, "[\"dc1\"]");
  assert_answer(rig, "GET", "/healthz", NULL, 200, "ok\n");
  assert_answer(rig, "GET", "/readyz", NULL, 200, "ready\n");
  server_ready(rig->server, false);
  assert_int_equal(rig_status_of(rig, "GET", "/readyz", NULL), 503);
  server_ready(rig->server, true);
}

static void metrics_of_workers_and_control(void **state) {
  struct rig *rig = *state;
  assert_int_equal(rig_status_of(rig, "GET", "/v1/pick/nobody", NULL), 404);
  struct reply r = rig_ask(rig, "GET", "/metrics", NULL);
  assert_int_equal(r.status, 200);
  assert_non_null(
      strstr(r.body, "perigee_http_requests_total{route=\"/v1/pick/*\",status=\"404\"}"));
  assert_non_null(strstr(r.body, "perigee_http_request_seconds_bucket{route=\"/v1/pick/*\",le="));
  assert_non_null(strstr(r.body, "\nrig_control 1\n"));
  reply_free(&r);
}

static void what_perigee_does_not_do(void **state) {
  struct rig *rig = *state;
  assert_int_equal(rig_status_of(rig, "PUT", "/v1/kv/a/b", "x"), 501);
  assert_int_equal(rig_status_of(rig, "GET", "/v1/kv/a/b", NULL), 501); /* never "absent" */
  assert_int_equal(rig_status_of(rig, "PUT", "/v1/session/create", "{}"), 501);
  assert_int_equal(rig_status_of(rig, "PUT", "/v1/txn", "[]"), 501);
  assert_answer(rig, "GET", "/v1/acl/tokens", NULL, 401, "ACL support disabled");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(registered_is_picked),
      cmocka_unit_test(unknown_services_and_ids),
      cmocka_unit_test(checks_move_a_service),
      cmocka_unit_test(refusals_of_the_registry),
      cmocka_unit_test(leases_and_owners),
      cmocka_unit_test(lists_and_status),
      cmocka_unit_test(metrics_of_workers_and_control),
      cmocka_unit_test(what_perigee_does_not_do),
  };
  return cmocka_run_group_tests_name("serve agent", tests, open_rig, close_rig);
}
