/* Registration bodies: what Consul's clients send, and what is wrong with the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/value.h"
#include "serve/json/decode_registration.h"
#include "serve/view/view.h"

static const struct view_node node = {.name = "n1", .address = "192.0.2.7", .zone = "z1"};

static struct registration *decode_asked(const char *json, const char *lease, const char *owner) {
  struct fault f = {0};
  struct registration *r;
  struct registration_asked asked = {
      .node = &node, .origin = ORIGIN_HTTP, .lease = lease, .owner = owner};
  int status = registration_from_json(json, strlen(json), &asked, &r, &f);
  if (status != 0)
    fail_msg("%d %s\n%s", status, f.text, json);
  return r;
}

static struct registration *decode(const char *json) {
  return decode_asked(json, NULL, NULL);
}

static void assert_refused(const char *json, int status, const char *text) {
  struct fault f = {0};
  struct registration *r = NULL;
  struct registration_asked asked = {.node = &node, .origin = ORIGIN_HTTP};
  int got = registration_from_json(json, strlen(json), &asked, &r, &f);
  if (got != status || !strstr(f.text, text))
    fail_msg("%.200s\n  answered: %d %s\n  expected: %d %s", json, got, f.text, status, text);
}

static void the_least_there_is(void **state) {
  (void)state;
  struct registration *r = decode("{\"Name\":\"web\"}");
  assert_string_equal(r->instance->service, "web");
  assert_string_equal(r->instance->id, "web");
  assert_string_equal(r->instance->address, "192.0.2.7");
  assert_string_equal(r->instance->zone, "z1");
  assert_int_equal(r->instance->port, 0);
  assert_true(r->instance->weight == 1);
  assert_int_equal(r->origin, ORIGIN_HTTP);
  assert_int_equal(r->lease_ms, 0);
  assert_int_equal(r->owner_pid, 0);
  registration_unref(r);
}

static void the_go_client(void **state) {
  (void)state;
  struct registration *r = decode(
      "{\"Kind\":\"\",\"ID\":\"w-1\",\"Name\":\"web\",\"Tags\":[\"a\",\"b\"],\"Port\":80,"
      "\"Address\":\"10.1.1.1\",\"SocketPath\":\"\",\"TaggedAddresses\":{\"lan\":{\"Address\":"
      "\"10.1.1.1\",\"Port\":80}},\"EnableTagOverride\":true,\"Meta\":{\"z\":\"1\",\"a_b\":\"2\"},"
      "\"Weights\":{\"Passing\":5,\"Warning\":2},\"Check\":null,\"Checks\":[{\"HTTP\":"
      "\"http://10.1.1.1/health\",\"Method\":\"HEAD\",\"Header\":{\"X-A\":[\"1\"]},\"Interval\":"
      "\"1m30s\",\"Timeout\":\"500ms\",\"DeregisterCriticalServiceAfter\":\"90m\","
      "\"SuccessBeforePassing\":3,\"FailuresBeforeCritical\":2},{\"TTL\":\"15s\",\"Name\":\"beat\","
      "\"Notes\":\"n\",\"Status\":\"passing\"}],\"Proxy\":null,\"Connect\":null,"
      "\"Namespace\":\"default\",\"Unknown\":{\"x\":[1]}}");
  assert_string_equal(r->instance->id, "w-1");
  assert_int_equal(r->instance->tag_count, 2);
  assert_string_equal(r->instance->meta[0].key, "a_b"); /* sorted, and not folded */
  assert_true(r->instance->weight == 5);
  assert_int_equal(r->weight_warning, 2);
  assert_true(r->tag_override);
  assert_int_equal(r->check_count, 2);
  const struct check_definition *c = &r->checks[0];
  assert_string_equal(c->id, "service:w-1:1");
  assert_string_equal(c->name, "Service 'web' check");
  assert_string_equal(c->plugin, "http");
  assert_string_equal(value_as_text(value_get(c->options, "url"), ""), "http://10.1.1.1/health");
  assert_string_equal(value_as_text(value_get(c->options, "method"), ""), "HEAD");
  assert_string_equal(value_as_text(value_get(value_get(c->options, "headers"), "X-A"), ""), "1");
  assert_int_equal(c->interval_ns, INT64_C(90000000000));
  assert_int_equal(c->timeout_ns, 500000000);
  assert_int_equal(c->deregister_after_ns, INT64_C(5400000000000));
  assert_int_equal(c->rise, 3);
  assert_int_equal(c->fall, 2);
  assert_int_equal(c->initial, STATUS_CRITICAL);
  c = &r->checks[1];
  assert_string_equal(c->id, "service:w-1:2");
  assert_string_equal(c->name, "beat");
  assert_string_equal(c->plugin, "ttl");
  assert_int_equal(c->ttl_ns, INT64_C(15000000000));
  assert_int_equal(c->interval_ns, 0);
  assert_int_equal(c->initial, STATUS_PASSING);
  assert_int_equal(c->rise, 1);
  registration_unref(r);
}

static void python_and_npm_write_keys_their_way(void **state) {
  (void)state;
  struct registration *r = decode(
      "{\"name\":\"db\",\"id\":\"db-1\",\"address\":\"db.internal\",\"port\":5432,"
      "\"enabletagoverride\":false,\"check\":{\"tcp\":\"127.0.0.1:5432\",\"interval\":10000000000,"
      "\"deregister_critical_service_after\":\"1s\"}}");
  assert_int_equal(r->check_count, 1);
  assert_string_equal(r->checks[0].id, "service:db-1");
  assert_string_equal(r->checks[0].plugin, "tcp");
  assert_string_equal(value_as_text(value_get(r->checks[0].options, "address"), ""),
                      "127.0.0.1:5432");
  assert_int_equal(r->checks[0].interval_ns, INT64_C(10000000000));
  assert_int_equal(r->checks[0].deregister_after_ns, INT64_C(10000000000)); /* the least */
  registration_unref(r);
}

static void ports_sockets_and_the_extension(void **state) {
  (void)state;
  struct registration *r =
      decode("{\"Name\":\"p\",\"Ports\":[{\"Name\":\"http\",\"Port\":8080},{\"Name\":\"grpc\","
             "\"Port\":9090,\"Default\":true}],\"Perigee\":{\"Lease\":\"30s\",\"Zone\":\"z9\"}}");
  assert_int_equal(r->instance->port, 9090);
  assert_int_equal(r->instance->port_count, 2);
  assert_string_equal(r->instance->ports[0].name, "grpc");
  assert_int_equal(r->lease_ms, 30000);
  assert_string_equal(r->instance->zone, "z9");
  registration_unref(r);
  r = decode("{\"Name\":\"s\",\"SocketPath\":\"/run/app.sock\"}");
  assert_string_equal(r->instance->address, "/run/app.sock");
  assert_int_equal(r->instance->port, 0);
  registration_unref(r);
  char pid[20];
  snprintf(pid, sizeof pid, "%d", (int)getpid());
  r = decode_asked("{\"Name\":\"o\",\"Perigee\":{\"Lease\":\"30s\",\"Owner\":1}}", "5s", pid);
  assert_int_equal(r->lease_ms, 5000);
  assert_int_equal(r->owner_pid, getpid());
  assert_true(r->owner_start > 0);
  registration_unref(r);
}

static void bodies_that_are_not_json(void **state) {
  (void)state;
  assert_refused("", 400, "Request decode failed: the body is empty");
  assert_refused("not json", 400, "Request decode failed: line 1 column");
  assert_refused("{\"Name\":\"a\",\n \"Port\": 1,}", 400, "line 2 column");
  assert_refused("{\"Name\":\"a\"} trailing", 400, "line 1 column");
  assert_refused("[]", 400, "the body should be a JSON object");
  assert_refused("\"Name\"", 400, "Request decode failed");
  assert_refused("{\"Name\":\"a\\u0000b\"}", 400, "Request decode failed: line 1");
  assert_refused("{\"Name\":\"\xff\xfe\"}", 400, "Request decode failed: line 1");
  char deep[200] = "{\"Name\":\"a\",\"X\":";
  memset(deep + strlen(deep), '[', 100);
  assert_refused(deep, 400, "nested more than 32 deep");
}

static void wrong_types_and_ranges(void **state) {
  (void)state;
  static const struct {
    const char *json, *text;
  } cases[] = {
      {"{\"Port\":1}", "Missing service name"},
      {"{\"Name\":\"\"}", "Missing service name"},
      {"{\"Name\":7}", "Name should be a string, and is a number"},
      {"{\"Name\":\"a\",\"ID\":[]}", "ID should be a string, and is a list"},
      {"{\"Name\":\"a\\nb\"}", "Invalid service name"},
      {"{\"Name\":\"a\",\"Port\":70000}", "Port is 70000, and should be 0 to 65535"},
      {"{\"Name\":\"a\",\"Port\":-1}", "Port is -1"},
      {"{\"Name\":\"a\",\"Port\":\"80\"}", "Port should be a whole number, and is a string"},
      {"{\"Name\":\"a\",\"Port\":80.5}", "Port should be a whole number, and is a fraction"},
      {"{\"Name\":\"a\",\"Tags\":\"x\"}", "Tags should be a list, and is a string"},
      {"{\"Name\":\"a\",\"Tags\":[1]}", "Tags should be a list of strings, and is a number"},
      {"{\"Name\":\"a\",\"Meta\":[]}", "Meta should be an object, and is a list"},
      {"{\"Name\":\"a\",\"Meta\":{\"k\":1}}", "Meta should be an object of strings"},
      {"{\"Name\":\"a\",\"Address\":\"0.0.0.0\"}", "Invalid service address"},
      {"{\"Name\":\"a\",\"Address\":\"::\"}", "Invalid service address"},
      {"{\"Name\":\"a\",\"Weights\":{\"Passing\":0}}", "Weights.Passing is 0"},
      {"{\"Name\":\"a\",\"Weights\":[]}", "Weights should be an object"},
      {"{\"Name\":\"a\",\"EnableTagOverride\":\"yes\"}", "EnableTagOverride should be a boolean"},
      {"{\"Name\":\"a\",\"Namespace\":\"team\"}", "Invalid Namespace"},
      {"{\"Name\":\"a\",\"Ports\":[{\"Port\":1}]}", "each of Ports needs a Name and a Port"},
      {"{\"Name\":\"a\",\"Ports\":[7]}", "Ports should be a list of objects"},
      {"{\"Name\":\"a\",\"SocketPath\":\"relative\"}", "Invalid SocketPath"},
      {"{\"Name\":\"a\",\"Perigee\":{\"Lease\":\"soon\"}}", "Perigee.Lease: \"soon\""},
      {"{\"Name\":\"a\",\"Perigee\":{\"Lease\":\"1ms\"}}", "Invalid lease"},
      {"{\"Name\":\"a\",\"Perigee\":{\"Owner\":2147483646}}", "there is no process"},
      {"{\"Name\":\"a\",\"Check\":[]}", "Check should be an object, and is a list"},
      {"{\"Name\":\"a\",\"Checks\":{}}", "Checks should be a list, and is an object"},
      {"{\"Name\":\"a\",\"Checks\":[7]}", "Checks[0] should be an object, and is a number"},
      {"{\"Name\":\"a\",\"Check\":{}}", "Invalid check: TTL must be > 0 for TTL checks"},
      {"{\"Name\":\"a\",\"Check\":{\"TTL\":\"1s\",\"Interval\":\"1s\"}}",
       "Invalid check: Interval and TTL cannot both be specified"},
      {"{\"Name\":\"a\",\"Check\":{\"HTTP\":\"http://a/\"}}",
       "Invalid check: Interval must be > 0"},
      {"{\"Name\":\"a\",\"Check\":{\"HTTP\":\"a\",\"Interval\":\"1s\"}}", "HTTP should be a URL"},
      {"{\"Name\":\"a\",\"Check\":{\"TCP\":\"a\",\"Interval\":\"1s\"}}",
       "TCP should be an address"},
      {"{\"Name\":\"a\",\"Check\":{\"TTL\":\"x\"}}", "Check.TTL: \"x\" is not a duration"},
      {"{\"Name\":\"a\",\"Check\":{\"TTL\":-1}}", "Check.TTL should be a duration"},
      {"{\"Name\":\"a\",\"Check\":{\"TTL\":\"1s\",\"Status\":\"ok\"}}",
       "Status for checks must 'passing', 'warning', 'critical'"},
      {"{\"Name\":\"a\",\"Check\":{\"TTL\":\"1s\",\"FailuresBeforeWarning\":3}}",
       "FailuresBeforeWarning can't be higher than FailuresBeforeCritical"},
      {"{\"Name\":\"a\",\"Checks\":[{\"ID\":\"x\",\"TTL\":\"1s\"},{\"ID\":\"x\",\"TTL\":\"1s\"}]}",
       "two checks have the same ID"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    assert_refused(cases[i].json, 400, cases[i].text);
}

static void kinds_there_is_no_plugin_for(void **state) {
  (void)state;
  assert_refused("{\"Name\":\"a\",\"Check\":{\"GRPC\":\"a:1\",\"Interval\":\"1s\"}}", 501,
                 "This agent has no GRPC check");
  assert_refused("{\"Name\":\"a\",\"Check\":{\"UDP\":\"a:1\",\"Interval\":\"1s\"}}", 501, "UDP");
  assert_refused("{\"Name\":\"a\",\"Check\":{\"HTTP\":\"http://a/\",\"Interval\":\"1s\","
                 "\"DisableRedirects\":true}}",
                 501, "no DisableRedirects");
  assert_refused("{\"Name\":\"a\",\"check\":{\"script_args\":[\"x\"],\"interval\":\"1s\"}}", 500,
                 "Scripts are disabled on this agent from remote calls");
  assert_refused("{\"Name\":\"a\",\"Check\":{\"DockerContainerID\":\"x\",\"Interval\":\"1s\"}}",
                 500, "Scripts are disabled");
}

/* Every prefix of a whole body: refused or accepted, never worse. */
static void bodies_cut_anywhere(void **state) {
  (void)state;
  static const char body[] = "{\"Name\":\"a\",\"Tags\":[\"x\"],\"Meta\":{\"k\":\"v\"},\"Checks\":[{"
                             "\"HTTP\":\"http://a/\",\"Interval\":\"1s\",\"Header\":{\"h\":[\"v\"]}"
                             "}]}";
  struct registration_asked asked = {.node = &node, .origin = ORIGIN_HTTP};
  for (size_t n = 0; n < sizeof body - 1; n++) {
    struct fault f = {0};
    struct registration *r;
    char *copy = malloc(n + 1); /* of its own, so that ASan sees a read past it */
    memcpy(copy, body, n);
    assert_int_equal(registration_from_json(copy, n, &asked, &r, &f), 400);
    free(copy);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_least_there_is),
      cmocka_unit_test(the_go_client),
      cmocka_unit_test(python_and_npm_write_keys_their_way),
      cmocka_unit_test(ports_sockets_and_the_extension),
      cmocka_unit_test(bodies_that_are_not_json),
      cmocka_unit_test(wrong_types_and_ranges),
      cmocka_unit_test(kinds_there_is_no_plugin_for),
      cmocka_unit_test(bodies_cut_anywhere),
  };
  return cmocka_run_group_tests_name("serve decode", tests, NULL, NULL);
}
