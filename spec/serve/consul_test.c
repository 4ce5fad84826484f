/* Consul's shapes: what is answered has the keys, the types and the headers of what Consul's own
 * server answered to the same (recorded/). Values differ, and lists' lengths; keys may be more. */
#include "serve/rig.h"

#include <jansson.h>

static int open_rig(void **state) {
  struct rig *rig = rig_open(NULL, 1);
  static const char *const bodies[] = {
      "{\"ID\":\"web3-0\",\"Name\":\"web3\",\"Tags\":[\"v1\",\"zone-0\"],\"Address\":\"10.1.0.1\","
      "\"Port\":10000,\"Meta\":{\"version\":\"1.2.3\",\"weight\":\"10\"},\"Check\":{\"CheckID\":"
      "\"chk-web3-0\",\"Name\":\"ttl\",\"TTL\":\"60s\",\"Status\":\"passing\"}}",
      "{\"ID\":\"web3-1\",\"Name\":\"web3\",\"Tags\":[\"v1\",\"zone-1\"],\"Address\":\"10.1.0.2\","
      "\"Port\":10001,\"Check\":{\"TTL\":\"60s\",\"Status\":\"critical\"}}",
      "{\"Name\":\"plain\",\"Check\":null,\"Checks\":null}",
  };
  for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
    assert_answer(rig, "PUT", "/v1/agent/service/register", bodies[i], 200, "");
  *state = rig;
  return 0;
}

static int close_rig(void **state) {
  rig_close(*state);
  return 0;
}

static struct reply recorded(const char *name) {
  char path[200], *text = calloc(1, 65536);
  snprintf(path, sizeof path, "spec/serve/recorded/%s.http", name);
  FILE *f = fopen(path, "r");
  if (!f)
    fail_msg("%s: %s (run from the repository's root)", path, strerror(errno));
  size_t n = fread(text, 1, 65535, f);
  fclose(f);
  char *blank = strstr(text, "\r\n\r\n");
  size_t gap = 4;
  if (!blank) {
    blank = strstr(text, "\n\n");
    gap = 2;
  }
  struct reply r = {.status = atoi(text + 9)};
  size_t head = blank ? (size_t)(blank - text) + gap : n;
  r.head = strndup(text, head);
  r.body = strdup(text + head);
  r.length = strlen(r.body);
  free(text);
  return r;
}

/* Numbers are one type here: JSON has one. null in a recording is a Go nil: ours is then empty. */
static void assert_same_shape(json_t *theirs, json_t *ours, const char *path) {
  const char *key;
  json_t *item;
  char below[400];
  if (json_is_null(theirs))
    return;
  if (json_is_number(theirs) ? !json_is_number(ours) : json_typeof(theirs) != json_typeof(ours))
    if (!(json_is_boolean(theirs) && json_is_boolean(ours)))
      fail_msg("%s has another type than Consul's", path);
  if (json_is_object(theirs)) {
    json_object_foreach(theirs, key, item) {
      snprintf(below, sizeof below, "%s.%s", path, key);
      if (!json_object_get(ours, key))
        fail_msg("%s is missing", below);
      assert_same_shape(item, json_object_get(ours, key), below);
    }
  } else if (json_is_array(theirs) && json_array_size(theirs) > 0) {
    snprintf(below, sizeof below, "%s[0]", path);
    if (json_array_size(ours) == 0)
      fail_msg("%s is empty", path);
    assert_same_shape(json_array_get(theirs, 0), json_array_get(ours, 0), below);
  }
}

/* `loose` skips the body's shape: maps whose keys are data. */
static void assert_like(const struct rig *rig, const char *method, const char *target,
                        const char *name, bool shape) {
  struct reply ours = rig_ask(rig, method, target, NULL), theirs = recorded(name);
  if (ours.status != theirs.status)
    fail_msg("%s: %d, and Consul's is %d\n%s", target, ours.status, theirs.status, ours.body);
  for (const char *line = strchr(theirs.head, '\n');
       line && line[1] && line[1] != '\r' && line[1] != '\n'; line = strchr(line + 1, '\n')) {
    char header[100];
    snprintf(header, sizeof header, "%.*s", (int)strcspn(line + 1, ":"), line + 1);
    if (strcasecmp(header, "Transfer-Encoding") != 0 && !reply_header(&ours, header))
      fail_msg("%s: no header %s", target, header);
  }
  if (shape) {
    json_t *a = json_loads(theirs.body, JSON_DECODE_ANY, NULL);
    json_t *b = json_loadb(ours.body, ours.length, JSON_DECODE_ANY, NULL);
    assert_non_null(a);
    if (!b)
      fail_msg("%s: not JSON: %s", target, ours.body);
    assert_same_shape(a, b, target);
    json_decref(a);
    json_decref(b);
  } else if (theirs.length < 100) {
    assert_string_equal(ours.body, theirs.body);
  }
  reply_free(&ours);
  reply_free(&theirs);
}

static void shapes_as_recorded(void **state) {
  struct rig *rig = *state;
  assert_like(rig, "GET", "/v1/health/service/web3?passing", "health_service_passing", true);
  assert_like(rig, "GET", "/v1/health/service/nobody", "health_service_missing", true);
  assert_like(rig, "GET", "/v1/catalog/service/web3", "catalog_service", true);
  assert_like(rig, "GET", "/v1/catalog/nodes", "catalog_nodes", true);
  assert_like(rig, "GET", "/v1/agent/service/web3-0", "agent_service", true);
  assert_like(rig, "GET", "/v1/health/service/web3?index=x", "bad_index", false);
  assert_like(rig, "POST", "/v1/agent/service/register", "post_register", false);
  assert_answer(rig, "GET", "/v1/catalog/services", NULL, 200,
                "{\"plain\":[],\"web3\":[\"v1\",\"zone-0\",\"zone-1\"]}");
}

/* Stats are a Consul server's own; what clients read is the rest. */
static void self_as_recorded(void **state) {
  struct reply ours = rig_ask(*state, "GET", "/v1/agent/self", NULL),
               theirs = recorded("agent_self");
  json_t *a = json_loads(theirs.body, 0, NULL), *b = json_loadb(ours.body, ours.length, 0, NULL);
  assert_non_null(b);
  json_object_clear(json_object_get(a, "Stats"));
  json_object_clear(json_object_get(json_object_get(a, "Member"), "Tags"));
  assert_same_shape(a, b, "self");
  json_decref(a);
  json_decref(b);
  reply_free(&ours);
  reply_free(&theirs);
}

static void method_not_allowed(void **state) {
  struct reply r = rig_ask(*state, "POST", "/v1/agent/service/register", NULL);
  assert_string_equal(reply_header(&r, "Allow"), "OPTIONS,PUT");
  reply_free(&r);
  r = rig_ask(*state, "OPTIONS", "/v1/health/service/web3", NULL);
  assert_int_equal(r.status, 200);
  assert_string_equal(reply_header(&r, "Allow"), "OPTIONS,GET");
  reply_free(&r);
}

static json_t *list(const struct rig *rig, const char *target) {
  struct reply r = rig_ask(rig, "GET", target, NULL);
  assert_int_equal(r.status, 200);
  json_t *v = json_loadb(r.body, r.length, 0, NULL);
  assert_true(json_is_array(v));
  reply_free(&r);
  return v;
}

static size_t count(const struct rig *rig, const char *target) {
  json_t *v = list(rig, target);
  size_t n = json_array_size(v);
  json_decref(v);
  return n;
}

static void filters(void **state) {
  struct rig *rig = *state;
  assert_int_equal(count(rig, "/v1/health/service/web3"), 2);
  assert_int_equal(count(rig, "/v1/health/service/web3?passing"), 1);
  assert_int_equal(count(rig, "/v1/health/service/web3?passing=true"), 1);
  assert_int_equal(count(rig, "/v1/health/service/web3?passing=0"), 2);
  assert_int_equal(count(rig, "/v1/health/service/web3?tag=v1"), 2);
  assert_int_equal(count(rig, "/v1/health/service/web3?tag=v1&tag=zone-1"), 1);
  assert_int_equal(count(rig, "/v1/health/service/web3?tag=zone-0&tag=zone-1"), 0);
  assert_int_equal(count(rig, "/v1/catalog/service/web3?tag=zone-1"), 1);
  assert_int_equal(count(rig, "/v1/health/service/web3?node-meta=rack:7"), 0);
  assert_int_equal(count(rig, "/v1/health/service/web3?peer=other"), 0);
  assert_int_equal(count(rig, "/v1/health/service/web3?dc=dc1&ns=default&near=_agent"), 2);
  assert_int_equal(count(rig, "/v1/health/state/any"), 3); /* serfHealth, and one of each web3 */
  assert_int_equal(count(rig, "/v1/health/state/critical"), 1);
  assert_int_equal(count(rig, "/v1/health/state/passing"), 2);
  assert_int_equal(count(rig, "/v1/health/node/n1"), 3);
  assert_int_equal(count(rig, "/v1/health/node/other"), 0);
  assert_int_equal(count(rig, "/v1/health/connect/web3"), 0);
}

static void refused_parameters(void **state) {
  struct rig *rig = *state;
  assert_answer(rig, "GET", "/v1/health/service/web3?passing=maybe", NULL, 400,
                "Invalid value for ?passing");
  assert_answer(rig, "GET", "/v1/health/service/web3?wait=soon", NULL, 400, "Invalid wait time");
  assert_answer(rig, "GET", "/v1/health/service/web3?wait=1", NULL, 400, "Invalid wait time");
  assert_answer(rig, "GET", "/v1/health/service/web3?index=-1", NULL, 400, "Invalid index");
  assert_answer(rig, "GET", "/v1/health/service/web3?stale&consistent", NULL, 400,
                "Cannot specify ?stale with ?consistent, conflicting semantics.");
  assert_answer(rig, "GET", "/v1/health/service/web3?dc=dc2", NULL, 500, "No path to datacenter");
  assert_int_equal(rig_status_of(rig, "GET", "/v1/health/service/web3?ns=team", NULL), 400);
  assert_answer(rig, "GET", "/v1/health/service/", NULL, 400, "Missing service name");
  assert_answer(rig, "GET", "/v1/health/node/", NULL, 400, "Missing node name");
  assert_answer(rig, "GET", "/v1/health/state/", NULL, 400, "Missing check state");
  assert_int_equal(rig_status_of(rig, "GET", "/v1/agent/services?filter=x", NULL), 501);
}

static void headers_of_reads(void **state) {
  struct rig *rig = *state;
  struct reply r = rig_ask(rig, "GET", "/v1/health/service/web3?stale&index=1&wait=10ms", NULL);
  assert_true(atoll(reply_header(&r, "X-Consul-Index")) > 1);
  assert_string_equal(reply_header(&r, "X-Consul-Knownleader"), "true");
  assert_string_equal(reply_header(&r, "X-Consul-Lastcontact"), "0");
  assert_string_equal(reply_header(&r, "X-Consul-Effective-Consistency"), "stale");
  reply_free(&r);
  r = rig_ask(rig, "GET", "/v1/health/service/never-there", NULL);
  assert_true(atoll(reply_header(&r, "X-Consul-Index")) >= 1);
  reply_free(&r);
}

/* One service's index does not move because another one changed. */
static void index_is_the_services_own(void **state) {
  struct rig *rig = *state;
  struct reply r = rig_ask(rig, "GET", "/v1/health/service/web3", NULL);
  long long before = atoll(reply_header(&r, "X-Consul-Index"));
  reply_free(&r);
  rig_status_of(rig, "PUT", "/v1/agent/service/register", "{\"Name\":\"other\",\"Port\":3}");
  r = rig_ask(rig, "GET", "/v1/health/service/web3", NULL);
  assert_int_equal(atoll(reply_header(&r, "X-Consul-Index")), before);
  reply_free(&r);
}

static void pretty_is_the_same_indented(void **state) {
  struct rig *rig = *state;
  struct reply plain = rig_ask(rig, "GET", "/v1/health/service/web3", NULL),
               pretty = rig_ask(rig, "GET", "/v1/health/service/web3?pretty", NULL);
  assert_non_null(strstr(pretty.body, "\n    {\n        \"Node\": {\n"));
  json_t *a = json_loads(plain.body, 0, NULL), *b = json_loads(pretty.body, 0, NULL);
  assert_true(json_equal(a, b));
  json_decref(a);
  json_decref(b);
  reply_free(&plain);
  reply_free(&pretty);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(shapes_as_recorded),          cmocka_unit_test(self_as_recorded),
      cmocka_unit_test(method_not_allowed),          cmocka_unit_test(filters),
      cmocka_unit_test(refused_parameters),          cmocka_unit_test(headers_of_reads),
      cmocka_unit_test(pretty_is_the_same_indented), cmocka_unit_test(index_is_the_services_own),
  };
  return cmocka_run_group_tests_name("serve consul", tests, open_rig, close_rig);
}
