/* Whole configurations: what comes of them, and what every mistake is told, with its place. */
#include "base/buf.h"
#include "base/value.h"
#include "config/config.h"
#include "config/sandbox.h"
#include "config/use.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/perigee-config-XXXXXX";

static void write_file(const char *name, const char *text) {
  char path[200];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  assert_true(fputs(text, f) >= 0);
  fclose(f);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
  return remove(path);
}

static int setup(void **state) {
  strcpy(directory + strlen(directory) - 6, "XXXXXX");
  unsetenv("PERIGEE_RUN_DIR");
  return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state) {
  return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int load(struct config **c, struct findings *findings) {
  char path[200];
  snprintf(path, sizeof path, "%s/perigee.lua", directory);
  return config_load(&(struct config_options){.file = path}, c, findings);
}

/* Loads `text`, and compares the findings with the directory's name left out. */
static void finds(const char *text, const char *expected) {
  struct config *c;
  struct findings findings = {0};
  struct buf printed = {0}, shown = {0};
  write_file("perigee.lua", text);
  assert_int_equal(load(&c, &findings), -EINVAL);
  config_free(c);
  findings_print(&findings, &printed);
  for (const char *p = printed.data; p && *p;) {
    size_t n = strlen(directory) + 1;
    if (strncmp(p, directory, n - 1) == 0)
      p += n;
    else
      buf_char(&shown, *p++);
  }
  assert_string_equal(shown.data ? shown.data : "", expected);
  buf_free(&printed);
  buf_free(&shown);
  findings_free(&findings);
}

static struct config *loads(const char *text) {
  struct config *c;
  struct findings findings = {0};
  struct buf printed = {0};
  write_file("perigee.lua", text);
  if (load(&c, &findings) < 0) {
    findings_print(&findings, &printed);
    fail_msg("%s", printed.data);
  }
  return c;
}

static void nothing_is_an_agent_with_defaults(void **state) {
  struct config *c = loads("return {}");
  char host[256];
  gethostname(host, sizeof host);
  assert_string_equal(c->node, host);
  assert_string_equal(c->datacenter, "dc1");
  assert_string_equal(c->zone, "");
  assert_string_equal(c->http, "127.0.0.1:8500");
  assert_null(c->dns);
  assert_int_equal(c->service_count, 0);
  assert_int_equal(c->plugin_directory_count, 3);
  assert_string_equal(c->plugin_directories[0], directory);
  assert_string_equal(c->plugin_directories[1], "/etc/perigee");
  assert_null(c->plugin_directories[3]);
  /* printf 'return {}' | sha256sum */
  assert_string_equal(c->hash, "7df8f0cd9e1cd0b204a760783671c0ccca4a3258dc7c51f59e9e2295c6c25315");
  config_free(c);
  struct findings none = {0};
  assert_int_equal(config_load(&(struct config_options){0}, &c, &none), 0);
  assert_null(c->file);
  assert_int_equal(c->plugin_directory_count, 2);
  config_free(c);
}

static void command_line_and_environment_win(void **state) {
  struct config *c;
  struct findings none = {0};
  char path[200];
  write_file("perigee.lua", "return { http = '127.0.0.1:1', run_dir = '/a', data_dir = '/b' }");
  snprintf(path, sizeof path, "%s/perigee.lua", directory);
  setenv("PERIGEE_RUN_DIR", "/env", 1);
  struct config_options o = {.file = path, .http = "[::1]:2", .data_dir = "/d", .leave = true};
  assert_int_equal(config_load(&o, &c, &none), 0);
  assert_string_equal(c->http, "[::1]:2");
  assert_string_equal(c->run_dir, "/env");
  assert_string_equal(c->data_dir, "/d");
  assert_true(c->leave_on_stop);
  config_free(c);
  o.run_dir = "/option";
  o.http = "off";
  assert_int_equal(config_load(&o, &c, &none), 0);
  assert_string_equal(c->run_dir, "/option");
  assert_null(c->http);
  config_free(c);
  unsetenv("PERIGEE_RUN_DIR");
  o.http = "nowhere";
  assert_int_equal(config_load(&o, &c, &none), -EINVAL);
  assert_string_equal(none.items[0].path, "--http");
  config_free(c);
  findings_free(&none);
}

static void a_service_with_everything(void **state) {
  struct config *c =
      loads("return { zone = 'z', services = { web = {\n"
            "  id = 'w1', address = '::1', ports = { http = 80, admin = 81 }, port = 80,\n"
            "  tags = { 'a', 'b' }, meta = { k = 'v' }, weight = 2.5,\n"
            "  checks = {\n"
            "    { http = '/h', interval = '500ms', timeout = '1s', rise = 1, fall = 2,\n"
            "      initial = 'passing', id = 'c1', name = 'n', deregister_after = '1m' },\n"
            "    { ttl = '30s' },\n"
            "    { tcp = { address = 'x:1' } },\n"
            "  } } } }");
  assert_int_equal(c->service_count, 1);
  const struct registration *r = c->services[0];
  const struct instance *in = r->instance;
  assert_int_equal(r->origin, ORIGIN_CONFIGURATION);
  assert_string_equal(in->id, "w1");
  assert_string_equal(in->service, "web");
  assert_string_equal(in->address, "::1");
  assert_string_equal(in->zone, "z");
  assert_int_equal(in->port, 80);
  assert_int_equal(in->port_count, 2);
  assert_string_equal(in->ports[0].name, "admin");
  assert_string_equal(in->tags[1], "b");
  assert_string_equal(in->meta[0].value, "v");
  assert_true(in->weight == 2.5);
  assert_int_equal(r->check_count, 3);
  const struct check_definition *k = r->checks;
  assert_string_equal(k[0].id, "c1");
  assert_string_equal(k[0].plugin, "http");
  assert_string_equal(value_as_text(k[0].options, ""), "/h");
  assert_int_equal(k[0].interval_ns, 500000000);
  assert_int_equal(k[0].timeout_ns, 1000000000);
  assert_int_equal(k[0].deregister_after_ns, 60000000000);
  assert_int_equal(k[0].rise, 1);
  assert_int_equal(k[0].fall, 2);
  assert_int_equal(k[0].initial, STATUS_PASSING);
  assert_string_equal(k[1].id, "service:w1:2");
  assert_int_equal(k[1].ttl_ns, 30000000000);
  assert_int_equal(k[1].interval_ns, 0);
  assert_int_equal(k[1].initial, STATUS_CRITICAL);
  assert_int_equal(k[2].rise, 2);
  assert_int_equal(k[2].fall, 3);
  assert_int_equal(k[2].interval_ns, 10000000000);
  config_free(c);
}

static void several_instances_and_defaults(void **state) {
  struct config *c =
      loads("local s = {}\n"
            "for i = 1, 3 do s[i] = { port = 8080 + i, check = { tcp = true } } end\n"
            "return { services = { web = s, db = { address = '/run/db.sock' } } }");
  assert_int_equal(c->service_count, 4);
  size_t web = 0;
  for (size_t i = 0; i < 4; i++) {
    const struct registration *r = c->services[i];
    char id[64];
    if (strcmp(r->instance->service, "db") == 0) {
      assert_string_equal(r->instance->id, "db-/run/db.sock");
      continue;
    }
    snprintf(id, sizeof id, "web-127.0.0.1-%zu", 8081 + web++);
    assert_string_equal(r->instance->id, id);
    snprintf(id, sizeof id, "service:%s", r->instance->id);
    assert_string_equal(r->checks[0].id, id);
  }
  assert_int_equal(web, 3);
  config_free(c);
}

static void watches_are_read(void **state) {
  struct config *c = loads("return { watches = { a = { target = 'static:///h:1,h:2',\n"
                           "  balancer = 'random' }, b = 'embedded:///web' } }");
  assert_int_equal(c->watch_count, 2);
  for (size_t i = 0; i < 2; i++)
    if (strcmp(c->watches[i].service, "a") == 0)
      assert_string_equal(value_as_text(c->watches[i].balancer, ""), "random");
    else
      assert_string_equal(c->watches[i].target, "embedded:///web");
  config_free(c);
}

static void ten_mistakes_with_their_lines(void **state) {
  finds(
      "return {\n"
      "  nod = 'host-1',\n"
      "  http = '127.0.0.1',\n"
      "  datacenter = 7,\n"
      "  services = {\n"
      "    web = {\n"
      "      port = 70000,\n"
      "      tags = { 'v1', 2 },\n"
      "      check = { http = '/', intervall = '2s' },\n"
      "    },\n"
      "    api = { port = 1, registry = 'etcd',\n"
      "      policy = 7,\n"
      "      check = { tcp = true, interval = 5 } },\n"
      "  },\n"
      "  watches = { x = { target = 'etcd//web' } },\n"
      "}\n",
      "perigee.lua:2: nod: unknown key; did you mean \"node\"?\n"
      "perigee.lua:3: http: \"127.0.0.1\" is not an address: the port is missing: write "
      "\"127.0.0.1:80\"\n"
      "perigee.lua:4: datacenter: expected a string from 1 to 63 bytes, found the number 7\n"
      "perigee.lua:7: services.web.port: expected a whole number from 1 to 65535, found the "
      "number 70000\n"
      "perigee.lua:8: services.web.tags[2]: expected a string of at least 1 byte, found the "
      "number 2\n"
      "perigee.lua:9: services.web.check: unknown key \"intervall\"; did you mean \"interval\"?\n"
      "perigee.lua:11: services.api.registry: there is no registry \"etcd\" in "
      "`registries`\n"
      "perigee.lua:12: services.api.policy: expected the name of a policy, or { NAME, OPTION = ... "
      "}, or a list of these\n"
      "perigee.lua:13: services.api.check.interval: a duration has a unit: write \"5s\" for "
      "seconds\n"
      "perigee.lua:15: watches.x.target: \"etcd//web\": character 5: expected \"://\" after the "
      "registry's name\n");
}

static void check_use(const char *text, size_t count, const char *name, const char *value) {
  struct value *root = sandbox_literal(text), *options = NULL;
  const struct value *written = value_get(root, "uses"), *use = uses_at(written, count - 1);
  assert_int_equal(uses_count(written), count);
  assert_string_equal(use_name(use) ? use_name(use) : "none", name);
  assert_int_equal(use_options(use, &options), 0);
  assert_string_equal(value_as_text(options, value_as_text(value_get(options, "x"), "")), value);
  value_unref(options);
  value_unref(root);
}

static void uses_of_plugins(void **state) {
  check_use("return { uses = 'a' }", 1, "a", "");
  check_use("return { uses = { 'a' } }", 1, "a", "");
  check_use("return { uses = { 'a', x = 'y' } }", 1, "a", "y");
  check_use("return { uses = { 'a', 'b' } }", 2, "b", "");
  check_use("return { uses = { 'a', { 'b', 'main' } } }", 2, "b", "main");
  check_use("return { uses = { { 'b', x = 'y' } } }", 1, "b", "y");
  check_use("return { uses = { { 'b', 'main', x = 'y' } } }", 1, "b", "y");
  check_use("return { uses = { 7 } }", 1, "none", "");
  check_use("return { uses = { { 'a', 'b', 'c' } } }", 1, "none", "");
}

static void mistakes_in_services(void **state) {
  finds("return { services = { a = {} } }",
        "perigee.lua:1: services.a: missing: expected port, or ports\n");
  finds("return { services = { a = { ports = { x = 1, y = 2 } } } }",
        "perigee.lua:1: services.a: several ports: `port` says which one a pick gives, as in port "
        "= 1\n");
  finds("return { services = { a = { address = '1.2.3.4:5', port = 1 } } }",
        "perigee.lua:1: services.a.address: expected an IP address, a name or a socket's path; the "
        "port goes to `port`, and IPv6 has no brackets here: \"1.2.3.4:5\"\n");
  finds("return { services = { a = { address = '0.0.0.0', port = 1 } } }",
        "perigee.lua:1: services.a.address: one listens on 0.0.0.0, and nobody reaches it: give "
        "the address that others call, or leave it out\n");
  finds("return { services = { a = { address = '/x', port = 1 } } }",
        "perigee.lua:1: services.a.address: a unix socket has no port\n");
  finds("return { services = { a = { port = -1, check = { disk = '/' } } } }", /* not `rise` */
        "perigee.lua:1: services.a.port: expected a whole number from 1 to 65535, found the number "
        "-1\n");
  finds("return { services = { a = { port = 1, check = {} } } }",
        "perigee.lua:1: services.a.check: no check in it: expected one check's name, as in { http "
        "= \"/healthz\" }; http, tcp, ttl and postgres ship with perigee\n");
  finds(
      "return { services = { a = { port = 1, check = { http = '/', tcp = true } } } }",
      "perigee.lua:1: services.a.check: two checks in one, \"http\" and \"tcp\": an option of a "
      "check goes into its own table, http = { ... }; several are checks = { { ... }, { ... } }\n");
  finds("return { services = { a = { port = 1, check = { ttl = '1' } } } }",
        "perigee.lua:1: services.a.check.ttl.ttl: \"1\" has no unit: write \"1s\" for seconds\n");
  finds("return { services = { a = { port = 1, check = { tcp = true, interval = '1ms' } } } }",
        "perigee.lua:1: services.a.check.interval: expected a duration like \"2s\" of at least 0.1 "
        "s, found the text \"1ms\"\n");
  finds("return { services = { a = { port = 1 },\n b = { port = 1, id = 'a-127.0.0.1-1' } } }",
        "perigee.lua:2: services.b: the id \"a-127.0.0.1-1\" is also in perigee.lua:1 "
        "(services.a); give one of them an id\n");
  finds("return { services = { a = { { port = 1 },\n { port = 'x' } } } }",
        "perigee.lua:2: services.a[2].port: expected a whole number from 1 to 65535, found the "
        "text \"x\"\n");
}

static void settings_of_plugins_are_checked(void **state) {
  finds("return {\n resolve = 'etcd',\n reload = 'auto',\n"
        " plugins = { gate = { turn = '1ms', grant = { conect = 'x' } } } }",
        "perigee.lua:4: plugins.gate.grant.conect: unknown key; did you mean \"connect\"?\n"
        "perigee.lua:4: plugins.gate.turn: expected a duration like \"2s\" from 0.01 to 10 s, "
        "found the text \"1ms\"\n");
}

static void what_grants_nothing_is_refused(void **state) {
  finds(
      "return { plugins = { gate = { grant = {\n"
      " connect = { 'http://a.test', '10.0.0.0/8', 'a.test:99999', '', 'a b', '[::1', 'unix:' },\n"
      " read = { '/etc/app/', '/etc/../x' },\n"
      " env = 'A=B' } } } }",
      "perigee.lua:2: plugins.gate.grant.connect[1]: \"http://a.test\" grants nothing: a host is "
      "granted, not a URL: as in \"db.example.org:5432\"\n"
      "perigee.lua:2: plugins.gate.grant.connect[2]: \"10.0.0.0/8\" grants nothing: a host has "
      "no /: networks are not matched, \"10.0.*\" is; a socket is \"unix:/PATH\"\n"
      "perigee.lua:2: plugins.gate.grant.connect[3]: \"a.test:99999\" grants nothing: after the "
      "colon comes a port, from 0 to 65535, or *\n"
      "perigee.lua:2: plugins.gate.grant.connect[4]: \"\" grants nothing: it is empty\n"
      "perigee.lua:2: plugins.gate.grant.connect[5]: \"a b\" grants nothing: a host has no "
      "blanks\n"
      "perigee.lua:2: plugins.gate.grant.connect[6]: \"[::1\" grants nothing: the [ of an IPv6 "
      "address has no ]\n"
      "perigee.lua:2: plugins.gate.grant.connect[7]: \"unix:\" grants nothing: a socket is "
      "\"unix:/PATH\"\n"
      "perigee.lua:3: plugins.gate.grant.read[2]: \"/etc/../x\" grants nothing: no path with .. "
      "in it is ever granted: write where it leads\n"
      "perigee.lua:4: plugins.gate.grant.env[1]: \"A=B\" grants nothing: a variable's name has "
      "no = and no blanks\n");
  struct config *c;
  struct findings findings = {0};
  write_file(
      "perigee.lua",
      "return { plugins = { gate = { grant = { connect = { 'self', '*', '*.a.test:*',\n"
      "'::1', '[::1]', '[::1]:80', 'fe80::*', 'a.test:80', 'unix:/run/', 'unix:/run/x' },\n"
      "listen = { '127.0.0.1', ':80', 'unix:/run/x' }, read = { '*', '/a/', 'b', '/c..d' },\n"
      "env = { 'APP_*' }, run = { 'sh' }, register = { '*' }, ffi = true } } } }");
  assert_int_equal(load(&c, &findings), 0);
  config_free(c);
}

static void registries_are_tables(void **state) {
  finds("return { registries = {\n a = 'http://x',\n b = { adapter = 1 },\n embedded = {} } }",
        "perigee.lua:2: registries.a: expected a table: the options of its adapter\n"
        "perigee.lua:3: registries.b: adapter: expected the name of a registry plugin\n"
        "perigee.lua:4: registries.embedded: \"embedded\" is this agent's own registry\n");
}

static void places_of_computed_tables(void **state) {
  finds("local common = {\n"
        "  weight = -1,\n"
        "}\n"
        "local services = { a = common }\n"
        "services.b = {\n"
        "  port = 0,\n"
        "}\n"
        "for i = 1, 1 do\n"
        "  services['c' .. i] = { port = 'x' }\n"
        "end\n"
        "return {\n"
        "  services = services, -- { not = 'this' }\n"
        "  [\"zone\"] = 5,\n"
        "}\n",
        "perigee.lua:2: services.a.weight: expected a number from 0 to 65535, found the number "
        "-1\n"
        "perigee.lua:6: services.b.port: expected a whole number from 1 to 65535, found the number "
        "0\n"
        "perigee.lua:12: services.c1.port: expected a whole number from 1 to 65535, found the text "
        "\"x\"\n"
        "perigee.lua:13: zone: expected a string of at most 63 bytes, found the number 5\n");
}

static void what_is_no_data(void **state) {
  finds("return { node = function() end }",
        "perigee.lua:1: node: a function: expected data; call it, or leave it out\n");
  finds("return {\n  services = { web = {\n    meta = { share = 0/0 } } } }",
        "perigee.lua:3: services.web.meta.share: not a number, as 0/0 is\n");
  finds("local t = {} t.services = t return t",
        "perigee.lua:1: services: the table is inside itself\n");
  finds("return { services = { a = { port = 1, tags = { 'x', nil, 'y' } } } }",
        "perigee.lua:1: services.a.tags: the index 3: a list counts from 1 and has no holes\n");
  finds("return { [true] = 1 }", "perigee.lua:1: a key that is neither a name nor a number\n");
  finds("return { [0] = 1 }",
        "perigee.lua:1: the index 0: a list counts from 1 and has no holes\n");
  finds("\n\nreturn 5", "perigee.lua:3: the file returns number: end it with return { ... }\n");
  finds("local x = 1", "perigee.lua:1: the file returns nothing: end it with return { ... }\n");
  finds("local t = {} for i = 1, 200 do t = { t } end return t",
        "perigee.lua:1: [1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1]"
        "[1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1]"
        "[1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1]"
        "[1][1][1][1][1][1][1][1][1][1][1][1][1][1][1]: more than 100 tables inside each other\n");
  finds(
      "local t = { 1 } for i = 1, 40 do t = { t, t } end return { services = t }",
      "perigee.lua:1: services[1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][2][1][2]"
      "[1][1][1][2][1][2][2][1][1][1][1][2][1][1][1]: more than two million values\n");
}

static void errors_in_lua(void **state) {
  finds("return {\n  x = = 1\n}", "perigee.lua:2: unexpected symbol near '='\n");
  finds("\nerror('no luck')", "perigee.lua:2: no luck\n");
  finds("error('two\\nlines')", "perigee.lua:1: two lines\n");
  finds("error({})", "perigee.lua: it raised an error that is no text\n");
  finds("local x = envv('A')",
        "perigee.lua:1: there is no global \"envv\" here; did you mean \"env\"?\n");
  finds("return { node = env('PERIGEE_NOT_SET') }",
        "perigee.lua:1: the environment variable PERIGEE_NOT_SET is not set; "
        "env(\"PERIGEE_NOT_SET\", DEFAULT) gives a default\n");
  finds("\033LJ\002", "perigee.lua: bytecode is not accepted: expected Lua source\n");
}

static void the_sandbox_holds(void **state) {
  static const char *const absent[] = {
      "io",          "os",      "require",  "load",    "loadstring", "dofile",        "loadfile",
      "debug",       "package", "ffi",      "jit",     "_G",         "coroutine",     "string.dump",
      "math.random", "print",   "newproxy", "getfenv", "setfenv",    "collectgarbage"};
  for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
    char text[200];
    snprintf(text, sizeof text,
             "local ok, v = pcall(function() return %s end)\n"
             "assert(not ok or v == nil, 'it is there') return {}",
             absent[i]);
    config_free(loads(text));
  }
}

static void runaways_are_stopped(void **state) {
  static const char stopped[] =
      "perigee.lua:1: it ran for more than 50 million instructions: an endless loop?\n";
  finds("while true do end", stopped);
  finds("while true do pcall(function() while true do end end) end", stopped);
  finds("local function f() return xpcall(f, f) end while true do f() end", stopped);
  finds("local s = ('x'):rep(1024 * 1024 * 1024) return {}",
        "perigee.lua: it needs more than 64 MiB\n");
  finds("local t = {} for i = 1, 1e9 do t[i] = { i } end return {}",
        "perigee.lua: it needs more than 64 MiB\n");
  finds("local function f() return f() + 1 end f()", "perigee.lua: stack overflow\n");
}

static void what_a_file_may_use(void **state) {
  write_file("token", "s3cret\n");
  setenv("PERIGEE_SPEC_ZONE", "eu-1", 1);
  struct config *c =
      loads("assert(host.cpus >= 1 and host.memory > 0 and host.os == 'linux')\n"
            "assert(type(host.name) == 'string' and type(host.addresses) == 'table')\n"
            "assert(bit.band(3, 2) == 2 and math.floor(1.5) == 1)\n"
            "return { zone = env('PERIGEE_SPEC_ZONE'), node = file('token'),\n"
            "  datacenter = env('PERIGEE_NOT_SET', 'x') }");
  assert_string_equal(c->zone, "eu-1");
  assert_string_equal(c->node, "s3cret");
  assert_string_equal(c->datacenter, "x");
  char hash[65];
  strcpy(hash, c->hash);
  config_free(c);
  write_file("token", "other\n");
  struct findings none = {0};
  assert_int_equal(load(&c, &none), 0);
  assert_string_not_equal(c->hash, hash);
  config_free(c);
}

static void included_files_are_merged(void **state) {
  char path[200];
  snprintf(path, sizeof path, "%s/conf.d", directory);
  assert_int_equal(mkdir(path, 0700), 0);
  write_file("conf.d/b.lua", "return { services = { b = { port = 2 } }, hooks = { 'b' } }");
  write_file("conf.d/a.lua",
             "return { services = { a = { port = 1 } }, watches = { w = 'embedded:///a' }, "
             "hooks = { 'a' }, routes = { r = {} } }");
  write_file("conf.d/ignored.txt", "no Lua");
  struct config *c = loads("return { include = 'conf.d/*.lua', services = { c = { port = 3 } } }");
  assert_int_equal(c->service_count, 3);
  assert_int_equal(c->watch_count, 1);
  assert_int_equal(value_length(value_get(c->root, "hooks")), 2);
  assert_int_equal(value_fields(value_get(c->root, "routes")), 1);
  config_free(c);
  write_file(
      "conf.d/b.lua",
      "return {\n  services = {\n    a = { port = 2 },\n    d = { prt = 1, port = 1 },\n  },\n"
      "  node = 'x',\n  servics = {},\n}");
  finds("return { include = 'conf.d/*.lua' }",
        "conf.d/b.lua:3: services.a: is also in conf.d/a.lua:1: a name is configured once\n"
        "conf.d/b.lua:4: services.d.prt: unknown key; did you mean \"port\"?\n"
        "conf.d/b.lua:6: node: an included file has services, watches, registries, hooks, routes "
        "and plugins; this belongs to perigee.lua\n"
        "conf.d/b.lua:7: servics: unknown key; did you mean \"services\"?\n");
  finds("return {\n  include = { 'conf.d/none*.lua', 'absent.lua' } }",
        "perigee.lua:2: include: there is no file absent.lua\n");
}

static void unreadable_files(void **state) {
  struct config *c;
  struct findings findings = {0};
  assert_int_equal(config_load(&(struct config_options){.file = "/nowhere/x.lua"}, &c, &findings),
                   -EINVAL);
  assert_string_equal(findings.items[0].text,
                      "cannot read /nowhere/x.lua: No such file or directory");
  findings_free(&findings);
  assert_int_equal(config_load(&(struct config_options){.file = "/tmp"}, &c, &findings), -EINVAL);
  assert_string_equal(findings.items[0].text, "cannot read /tmp: Is a directory");
  findings_free(&findings);
}

int main(void) {
#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
  const struct CMUnitTest tests[] = {
      WITH_DIRECTORY(nothing_is_an_agent_with_defaults),
      WITH_DIRECTORY(command_line_and_environment_win),
      WITH_DIRECTORY(a_service_with_everything),
      WITH_DIRECTORY(several_instances_and_defaults),
      WITH_DIRECTORY(watches_are_read),
      WITH_DIRECTORY(ten_mistakes_with_their_lines),
      cmocka_unit_test(uses_of_plugins),
      WITH_DIRECTORY(mistakes_in_services),
      WITH_DIRECTORY(settings_of_plugins_are_checked),
      WITH_DIRECTORY(what_grants_nothing_is_refused),
      WITH_DIRECTORY(registries_are_tables),
      WITH_DIRECTORY(places_of_computed_tables),
      WITH_DIRECTORY(what_is_no_data),
      WITH_DIRECTORY(errors_in_lua),
      WITH_DIRECTORY(the_sandbox_holds),
      WITH_DIRECTORY(runaways_are_stopped),
      WITH_DIRECTORY(what_a_file_may_use),
      WITH_DIRECTORY(included_files_are_merged),
      WITH_DIRECTORY(unreadable_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
