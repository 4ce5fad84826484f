/* set:replace_json: a registry's whole answer by a map, as a plugin asks for it. */
#include "base/value.h"
#include "set_fixture.h"

static struct sets *sets;
static struct set *into;
static struct buf shown;

/* What the set has, one line an instance, after what the plugin was answered. */
static const char *decoded(struct fixture *fx, const char *json, const char *arguments) {
  struct buf body = {0};
  buf_format(&body, "return set:replace_json([==[%s]==], %s)", json, arguments);
  buf_clear(&shown);
  buf_text(&shown, watch(fx, into, body.data));
  buf_free(&body);
  for (size_t i = 0; i < set_count(into); i++) {
    const struct set_row *row = &set_rows(into)[i];
    const struct instance *in = row->instance;
    buf_format(&shown, "\n%s %s:%d %s %g", in->id, in->address, in->port, status_name(row->status),
               in->weight);
    if (*in->zone)
      buf_format(&shown, " zone=%s", in->zone);
    for (int k = 0; k < in->tag_count; k++)
      buf_format(&shown, " #%s", in->tags[k]);
    for (int k = 0; k < in->meta_count; k++)
      buf_format(&shown, " %s=%s", in->meta[k].key, in->meta[k].value);
    for (int k = 0; k < in->port_count; k++)
      buf_format(&shown, " %s:%d", in->ports[k].name, in->ports[k].port);
  }
  return shown.data;
}

static int begin(void **state) {
  sets = sets_new_apart(NULL, NULL);
  into = sets_open(sets, "web");
  return fixture_open(state);
}

static int end(void **state) {
  sets_free(sets);
  buf_free(&shown);
  return fixture_close(state);
}

#define CONSUL "require('perigee.consul.map')"

static void an_answer_of_consul_is_decoded(void **state) {
  const char *json =
      "[{'Node':{'Node':'n2','Address':'10.9.9.9','Meta':{'zone':'far','x':'1'}},"
      "'Service':{'ID':'b','Tags':['v1','blue'],'Address':'','Port':80,'Meta':{'k':'v'},"
      "'Ports':[{'Name':'http','Port':80},{'Port':9,'Name':'admin'}],"
      "'Weights':{'Passing':7,'Warning':2}},'Checks':[{'Status':'passing'},{'Status':'warning'}]},"
      "{'Checks':[{'Status':'critical'},{'Status':'passing'}],'Service':{'Weights':{'Warning':3},"
      "'ID':'a','Tags':null,'Address':'10.0.0.1','Port':81,'Meta':{'zone':'near'}},"
      "'Node':{'Node':'n1','Address':'10.9.9.8','Meta':null}}]";
  struct buf quoted = {0};
  for (const char *c = json; *c; c++)
    buf_char(&quoted, *c == '\'' ? '"' : *c);
  assert_string_equal(decoded(*state, quoted.data, CONSUL),
                      "true\n"
                      "a 10.0.0.1:81 critical 1 zone=near zone=near\n"
                      "b 10.9.9.9:80 warning 2 zone=far #v1 #blue k=v admin:9 http:80");
  buf_free(&quoted);
}

/* Two nodes may have instances of one id. */
static void an_id_that_is_there_twice_is_told_apart(void **state) {
  assert_string_equal(
      decoded(*state,
              "[{\"Node\":{\"Node\":\"z\"},\"Service\":{\"ID\":\"a\",\"Address\":\"10.0.0.1\"}},"
              "{\"Node\":{\"Node\":\"n\"},\"Service\":{\"ID\":\"a\",\"Address\":\"10.0.0.2\"}},"
              "{\"Node\":{\"Node\":\"n\"},\"Service\":{\"ID\":\"b\",\"Address\":\"10.0.0.3\"}}]",
              CONSUL),
      "true\nb 10.0.0.3:0 passing 1\nn/a 10.0.0.2:0 passing 1\n"
      "z/a 10.0.0.1:0 passing 1");
  assert_string_equal(decoded(*state, "[{\"i\":\"a\",\"a\":\"x\"},{\"i\":\"a\",\"a\":\"y\"}]",
                              "{ id = 'i', address = 'a' }, { lenient = true }"),
                      "true\na y:0 passing 1"); /* the last counts */
}

#define EUREKA                                                                                     \
  "{ each = 'applications.application.instance', id = 'instanceId', address = 'ipAddr',\n"         \
  "  port = 'port.$', status = { 'status', UP = 'passing', STARTING = 'warning',\n"                \
  "  DOWN = 'critical' }, ports = 'ports', meta = 'metadata' }"

/* Lists on the way are passed through, in any order and with anything beside it. */
static void a_path_leads_through_lists(void **state) {
  assert_string_equal(
      decoded(*state,
              "{\"x\":[[{}]],\"applications\":{\"application\":[{\"instance\":[]},{\"n\":1,"
              "\"instance\":[{\"instanceId\":7,\"ipAddr\":\"10.0.0.1\",\"port\":{\"$\":\"8080\"},"
              "\"status\":\"STARTING\",\"ports\":{\"grpc\":90},\"metadata\":{\"n\":1.50,\"b\":true,"
              "\"deep\":{\"x\":1},\"none\":null}}]}]}}",
              EUREKA),
      "true\n7 10.0.0.1:8080 warning 1 b=true n=1.50 grpc:90");
}

static void escapes_mean_what_they_stand_for(void **state) {
  assert_string_equal(decoded(*state,
                              "[{\"\\u0069d\":\"a\\u00e9\\/\\\"b\",\"ad\\u0064r\":\"10.0.0.1\","
                              "\"m\":{\"k\\u0031\":\"\\ud83d\\ude00\"}}]",
                              "{ id = 'id', address = 'addr', meta = 'm' }"),
                      "true\na\u00e9/\"b 10.0.0.1:0 passing 1 k1=\U0001F600");
}

static void without_an_id_the_address_is_one(void **state) {
  assert_string_equal(
      decoded(*state, "{\"l\":[{\"h\":\"10.0.0.1\",\"p\":80},{\"h\":\"10.0.0.1\",\"p\":81}]}",
              "{ each = 'l', address = 'h', port = 'p' }"),
      "true\n10.0.0.1:80 10.0.0.1:80 passing 1\n10.0.0.1:81 10.0.0.1:81 passing 1");
}

/* null is how Go writes a list without elements. */
static void nothing_is_told_from_no_answer(void **state) {
  const char *map = "{ each = 'a.b', id = 'i', address = 'i' }";
  assert_string_equal(decoded(*state, "{\"a\":{\"b\":[{\"i\":\"x\"}]}}", map),
                      "true\nx x:0 passing 1");
  assert_string_equal(decoded(*state, "{\"a\":{\"c\":[]}}", map),
                      "nil|there is no list at a.b|EINVAL\nx x:0 passing 1");
  assert_string_equal(decoded(*state, "{\"a\":{\"b\":{\"i\":\"y\"}}}", map),
                      "nil|there is no list at a.b|EINVAL\nx x:0 passing 1");
  assert_string_equal(decoded(*state, "{\"a\":{\"b\":null}}", map), "true");
}

#define PLAIN "{ id = 'i', address = 'a', port = 'p', weight = 'w', status = 's' }"

static void what_is_no_instance_is_left_out_or_refused(void **state) {
  static const struct {
    const char *entry, *why;
  } bad[] = {{"7", "instance 2: an object is expected"},
             {"{\"a\":\"x\"}", "instance 2: an instance's id must be 1 to 255 bytes of UTF-8 "
                               "without control characters"},
             {"{\"i\":\"a\"}", "instance 2: instance a: its address is empty"},
             {"{\"i\":\"a\",\"a\":\"x\",\"p\":70000}",
              "instance 2: port: a number from 0 to 65535 is expected"},
             {"{\"i\":\"a\",\"a\":\"x\",\"w\":-1}",
              "instance 2: weight: a finite number from 0 is expected"},
             {"{\"i\":\"a\",\"a\":\"x\",\"s\":\"odd\"}",
              "instance 2: status: a word that nobody explained"},
             {"{\"i\":\"a\\u0000b\",\"a\":\"x\"}", "instance 2: a text has a NUL in it"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char json[300], expected[300];
    snprintf(json, sizeof json, "[{\"i\":\"ok\",\"a\":\"x\"},%s]", bad[i].entry);
    snprintf(expected, sizeof expected, "nil|%s|EINVAL", bad[i].why);
    assert_string_equal(decoded(*state, "[]", PLAIN), "true");
    assert_string_equal(decoded(*state, json, PLAIN), expected);
    snprintf(expected, sizeof expected, "true|1|%s\nok x:0 passing 1", bad[i].why);
    assert_string_equal(decoded(*state, json, PLAIN ", { lenient = true }"), expected);
  }
}

static void what_is_no_json_changes_nothing(void **state) {
  static const char *const bad[] = {"",
                                    " ",
                                    "7",
                                    "nonsense",
                                    "[",
                                    "[{\"i\":\"b\",\"a\":\"x\"}",
                                    "[{\"i\":\"b\",\"a\":\"x}]",
                                    "[] []",
                                    "[{\"i\" \"b\"}]",
                                    "[{\"i\":\"b\",\"a\":\"x\",\"p\":tru}]"};
  decoded(*state, "[{\"i\":\"a\",\"a\":\"x\"}]", PLAIN);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *got = decoded(*state, bad[i], PLAIN ", { lenient = true }");
    if (strncmp(got, "nil|", 4) != 0 || !strstr(got, "\na x:0 passing 1"))
      fail_msg("%s: %s", bad[i], got);
  }
}

static void lists_in_lists_end_somewhere(void **state) {
  struct buf json = {0};
  for (int i = 0; i < 5000; i++)
    buf_char(&json, '[');
  for (int i = 0; i < 5000; i++)
    buf_char(&json, ']');
  assert_non_null(strstr(decoded(*state, json.data, PLAIN), "nil|"));
  buf_free(&json);
}

static void a_map_that_cannot_be_is_refused(void **state) {
  static const struct {
    const char *map, *why;
  } bad[] = {{"{ id = 'i' }", "address: where is it?"},
             {"{ address = 7 }", "address: a path, or a list of paths, is expected"},
             {"{ address = 'a..b' }", "address: \"a..b\" is no path like \"Service.Address\""},
             {"{ address = 'a', adress = 'b' }",
              "adress: an instance has no such field; did you mean address?"},
             {"{ address = 'a', status = { 's', UP = 'fine' } }",
              "status.UP: passing, warning or critical is expected"},
             {"{ address = 'a', weight = { up = 'w' } }",
              "weight.up: passing, warning or critical is expected"},
             {"{ 'a' }", "a table is expected: { each = \"path\", id = \"path\", ... }"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char expected[200];
    snprintf(expected, sizeof expected, "nil|%s|EINVAL", bad[i].why);
    assert_string_equal(decoded(*state, "[]", bad[i].map), expected);
  }
}

int main(void) {
#define JSON_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
  const struct CMUnitTest tests[] = {
      JSON_TEST(an_answer_of_consul_is_decoded),
      JSON_TEST(an_id_that_is_there_twice_is_told_apart),
      JSON_TEST(a_path_leads_through_lists),
      JSON_TEST(escapes_mean_what_they_stand_for),
      JSON_TEST(without_an_id_the_address_is_one),
      JSON_TEST(nothing_is_told_from_no_answer),
      JSON_TEST(what_is_no_instance_is_left_out_or_refused),
      JSON_TEST(what_is_no_json_changes_nothing),
      JSON_TEST(lists_in_lists_end_somewhere),
      JSON_TEST(a_map_that_cannot_be_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
