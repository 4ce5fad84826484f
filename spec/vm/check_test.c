/* The checks that ship, run against a server on loopback that is itself a plugin. */
#include "base/value.h"
#include "probe_fixture.h"

/* Answers each request with the status line in its path: "/200%20OK"; "/hang" never; and a big body
 * for "/big". `run` answers with the port the first time, and serves the second time. */
static const char server[] =
    "return { kind = 'check', summary = 'a server', run = function(_, ctx)\n"
    "  if ctx.state.serve then return ctx.state.serve() end\n"
    "  local server = assert(perigee.tcp.listen('127.0.0.1', 0))\n"
    "  ctx.state.server = server\n"
    "  ctx.state.serve = function()\n"
    "    while true do\n"
    "      local socket = server:accept()\n"
    "      if not socket then return end\n"
    "      perigee.task.spawn(function()\n"
    "        local request = socket:read('line')\n"
    "        local method, path = request:match('^(%S+) /(%S*)')\n"
    "        repeat local line = socket:read('line') until not line or line == '' or line == "
    "'\\r'\n"
    "        if path == 'hang' then perigee.sleep(600) end\n"
    "        local body = method .. ' came'\n"
    "        if path == 'big' then path, body = '200 OK', ('x'):rep(100000) end\n"
    "        socket:write('HTTP/1.1 ' .. perigee.url.decode(path) .. '\\r\\nConnection: "
    "close\\r\\n',\n"
    "          'Content-Length: ' .. #body .. '\\r\\n\\r\\n', body)\n"
    "        socket:close()\n"
    "      end)\n"
    "    end\n"
    "  end\n"
    "  return server:port()\n"
    "end, }";

struct peer {
  struct plugin *plugin;
  struct attachment *use;
  uint16_t port;
};

static struct answer unused;

static void peer_open(struct fixture *fx, struct peer *peer) {
  struct findings findings = {0};
  struct fault f;
  struct answer a = {0};
  if (load(fx, "check", server, NULL, &peer->plugin, &f) != 0)
    fail_msg("%s", f.text);
  assert_int_equal(plugin_attach(peer->plugin, NULL, "peer", &peer->use, &findings), 0);
  assert_int_equal(attachment_call(peer->use, "run", NULL, answer_take, &a, 0, NULL), 0);
  run_until(fx, &a.over);
  peer->port = (uint16_t)atoi(a.text);
  assert_true(peer->port > 0);
  assert_int_equal(attachment_call(peer->use, "run", NULL, answer_take, &unused, 0, NULL), 0);
}

static void peer_close(struct peer *peer) {
  attachment_free(peer->use);
  plugin_free(peer->plugin);
}

/* What the shipped check `name` says of the server, with `option` as its main option. */
static const char *check(struct fixture *fx, const char *name, uint16_t port, const char *option,
                         int64_t deadline_ns) {
  static struct probe probe;
  const char *const here[] = {".", NULL};
  struct plugin *p;
  struct attachment *use;
  struct findings findings = {0};
  struct fault f;
  char *path;
  probe = (struct probe){.port = port};
  struct value *options = option ? value_text(option, strlen(option)) : NULL;
  assert_int_equal(plugin_find(here, "check", name, &path, &f), 0);
  if (plugin_load(fx->vm, "check", name, path, NULL, &p, &f) != 0)
    fail_msg("%s", f.text);
  if (plugin_attach(p, options, "check", &use, &findings) != 0)
    fail_msg("%s", findings.items[0].text);
  assert_int_equal(
      attachment_call(use, "run", push_subject, answer_take, &probe, deadline_ns, NULL), 0);
  run_until(fx, &probe.answer.over);
  attachment_free(use);
  plugin_free(p);
  value_unref(options);
  free(path);
  return probe.answer.text;
}

static void assert_begins(const char *text, const char *start) {
  if (strncmp(text, start, strlen(start)) != 0)
    fail_msg("wanted \"%s...\", got \"%.300s\"", start, text);
}

static void http_reads_the_status(void **state) {
  struct peer peer;
  char expected[200];
  peer_open(*state, &peer);
  snprintf(expected, sizeof expected,
           "passing|HTTP GET http://127.0.0.1:%u/200%%20OK: 200 OK Output: GET came", peer.port);
  assert_string_equal(check(*state, "http", peer.port, "/200%20OK", 0), expected);
  assert_begins(check(*state, "http", peer.port, "/204%20No%20Content", 0), "passing|");
  assert_begins(check(*state, "http", peer.port, "/429%20Too%20Many%20Requests", 0), "warning|");
  assert_begins(check(*state, "http", peer.port, "/404%20Not%20Found", 0), "critical|");
  assert_begins(check(*state, "http", peer.port, "/503%20Busy", 0), "critical|");
  const char *big = check(*state, "http", peer.port, "/big", 0);
  assert_begins(big, "passing|");
  assert_in_range(strlen(big), 3000, 3200);
  peer_close(&peer);
}

static void http_fails_with_words(void **state) {
  struct peer peer;
  peer_open(*state, &peer);
  assert_begins(check(*state, "http", peer.port, "/hang", 50 * 1000 * 1000), "!ETIMEDOUT");
  uint16_t port = peer.port;
  peer_close(&peer);
  uv_run(&((struct fixture *)*state)->loop, UV_RUN_NOWAIT); /* the listener closes */
  assert_begins(check(*state, "http", port, "/200%20OK", 0), "nil|GET http://127.0.0.1:");
}

static void tcp_connects(void **state) {
  struct peer peer;
  char expected[200], address[40];
  peer_open(*state, &peer);
  snprintf(expected, sizeof expected, "passing|TCP connect 127.0.0.1:%u: Success", peer.port);
  snprintf(address, sizeof address, "127.0.0.1:%u", peer.port);
  assert_string_equal(check(*state, "tcp", peer.port, NULL, 0), expected);
  assert_string_equal(check(*state, "tcp", 1, address, 0), expected);
  assert_begins(check(*state, "tcp", 0, NULL, 0), "critical|there is no port");
  uint16_t port = peer.port;
  peer_close(&peer);
  uv_run(&((struct fixture *)*state)->loop, UV_RUN_NOWAIT);
  assert_begins(check(*state, "tcp", port, NULL, 0), "nil|");
}

static void ttl_has_nothing_to_run(void **state) {
  struct fixture *fx = *state;
  struct plugin *p;
  struct attachment *use;
  struct findings findings = {0};
  struct fault f;
  struct value *ttl = value_text("15s", 3);
  assert_int_equal(plugin_load(fx->vm, "check", "ttl", "plugins/check/ttl.lua", NULL, &p, &f), 0);
  assert_false(plugin_provides(p, "run"));
  assert_int_equal(plugin_attach(p, ttl, "check", &use, &findings), 0);
  assert_true(value_as_number(value_get(attachment_options(use), "ttl"), 0) == 15);
  assert_int_equal(attachment_call(use, "run", NULL, answer_take, NULL, 0, NULL), -ENOSYS);
  attachment_free(use);
  plugin_free(p);
  value_unref(ttl);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(http_reads_the_status),
      FIXTURE_TEST(http_fails_with_words),
      FIXTURE_TEST(tcp_connects),
      FIXTURE_TEST(ttl_has_nothing_to_run),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
