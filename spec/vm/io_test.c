/* perigee.http, tcp, unix, dns, process and fs as plugins call them, against real peers on
 * loopback; and that a task which ends while it waits leaves nothing of what it waited for. */
#include "fixture.h"
#include "io/peer.h"

#include <arpa/inet.h>

#include "io/resolve.h"

static struct peer peer;

/* Returns once the collector has been through: it is not for plugins to call. */
static const char *const collect =
    "local function collect()\n"
    "  local weak = setmetatable({ {} }, { __mode = 'v' })\n"
    "  while weak[1] do for _ = 1, 1e4 do local _ = { {} } end perigee.sleep(0.001) end\n"
    "end\n";

/* Runs `body` with `collect` and the peers' places as locals. */
static const char *ask_peer(struct fixture *fx, const char *body) {
  char *text;
  assert_true(asprintf(&text,
                       "local http, https = 'http://127.0.0.1:%d', 'https://127.0.0.1:%d'\n"
                       "local dir, port = '%s', %d\n%s%s",
                       peer.http, peer.https, peer.directory, peer.http, collect, body) > 0);
  const char *answer = ask(fx, text);
  free(text);
  return answer;
}

/* ---- http ---- */

static void http_answers_with_a_response(void **state) {
  assert_string_equal(
      ask_peer(*state,
               "local r = perigee.http.get(http .. '/hello')\n"
               "return r.status, r.reason, r.body, r.headers['X-Peer'], r.headers['x-peer'], "
               "r.headers.nothing, r.url == http .. '/hello'"),
      "200|OK|hello|yes|yes|nil|true");
}

static void http_sends_what_its_options_say(void **state) {
  assert_string_equal(
      ask_peer(
          *state,
          "local r = perigee.http.post(http .. '/echo#part', {\n"
          "  query = { b = { 'x y', 2 }, a = '&' }, bearer = 'token', etag = '\"e\"',\n"
          "  headers = { ['X-Number'] = 7 }, json = { list = { 1, 2 } } })\n"
          "local e = perigee.json.decode(r.body)\n"
          "return e.method, e.url, e.body, e.headers.authorization, e.headers['if-none-match'],\n"
          "  e.headers['x-number'], e.headers['content-type']"),
      "POST|/echo?a=%26&b=x%20y&b=2|{\"list\":[1,2]}|Bearer token|\"e\"|7|application/json");
  assert_string_equal(
      ask_peer(
          *state,
          "local e = perigee.json.decode(perigee.http.put(http .. '/echo?x=1', { query = { y = 2 "
          "}, "
          "body = 'b' }).body)\n"
          "local d = perigee.json.decode(perigee.http.delete(http .. '/echo').body)\n"
          "local p = perigee.json.decode(perigee.http.request('PATCH', http .. '/echo').body)\n"
          "return e.method, e.url, e.body, d.method, p.method"),
      "PUT|/echo?x=1&y=2|b|DELETE|PATCH");
}

static void http_statuses_are_errors_unless_asked_for(void **state) {
  assert_string_equal(
      ask_peer(*state,
               "local a, text, code, r = perigee.http.get(http .. '/status/503')\n"
               "return a, text:gsub('%d+%.%d+%.%d+%.%d+:%d+', 'peer'), code, r.status, r.body"),
      "nil|GET http://peer/status/503: 503 Service Unavailable|HTTP_503|503|status 503");
  assert_string_equal(ask_peer(*state, "return perigee.http.get(http .. '/status/404', "
                                       "{ any_status = true }).status"),
                      "404");
  assert_string_equal(ask_peer(*state,
                               "local r = perigee.http.get(http .. '/etag', { etag = '\"one\"' }) "
                               "return r.status, r.body"),
                      "304|");
}

static void http_errors_have_codes(void **state) {
  assert_string_equal(
      ask_peer(*state,
               "local function code(...) return (select(3, perigee.http.get(...))) end\n"
               "return code('http://127.0.0.1:1/'), code(http .. '/never', { timeout = 0.03 }),\n"
               "  code(http .. '/torn'), code(http .. '/loop'), code(https .. '/hello'),\n"
               "  code(http .. '/big', { limit = 1000 }), code('nonsense'), code('ftp://x/')"),
      "ECONNREFUSED|ETIMEDOUT|ECONNRESET|ELOOP|EPROTO|EMSGSIZE|EINVAL|EINVAL");
}

static void http_options_are_checked(void **state) {
  const char *text = ask_peer(*state, "return perigee.http.get(http, { timeuot = 1 })");
  assert_non_null(strstr(text, "did you mean \"timeout\"?"));
  text = ask_peer(*state, "return perigee.http.get(http, { headers = { A = 'x\\r\\nB: y' } })");
  assert_non_null(strstr(text, "cannot be a header"));
  text = ask_peer(*state, "return perigee.http.get(http, { json = 1, body = 'x' })");
  assert_non_null(strstr(text, "one of them"));
  text = ask_peer(*state, "return perigee.http.get(http, { timeout = -1 })");
  assert_non_null(strstr(text, "seconds from 0"));
}

static void http_over_tls_and_unix_sockets(void **state) {
  assert_string_equal(
      ask_peer(
          *state,
          "local tls = { ca = dir .. '/ca.pem', server_name = 'server.test', "
          "cert = dir .. '/client.pem', key = dir .. '/client.key' }\n"
          "local e = perigee.json.decode(perigee.http.get(https .. '/echo', { tls = tls }).body)\n"
          "return e.servername, perigee.http.get(https .. '/hello', { tls = { verify = false } "
          "}).body,"
          "  perigee.http.get('http://any/hello', { unix = dir .. '/http.sock' }).body"),
      "server.test|hello|hello");
}

static void http_streams(void **state) {
  assert_string_equal(
      ask_peer(*state, "local r = perigee.http.get(http .. '/chunks?n=3', { stream = true })\n"
                       "local all = ''\n"
                       "for piece in function() return r:read(5) end do all = all .. piece end\n"
                       "local after = r:read()\n"
                       "r:close() local ok, text = pcall(r.read, r)\n"
                       "return r.status, r.body, all, after, text"),
      "200|nil|chunk 2\nchunk 1\nchunk 0\n|nil|exchange: closed");
  assert_string_equal(ask_peer(*state,
                               "local r = perigee.http.get(http .. '/torn', { stream = true })\n"
                               "local first = r:read() return first, select(3, r:read())"),
                      "ten bytes!|ECONNRESET");
  assert_string_equal(
      ask_peer(*state,
               "local r = perigee.http.get(http .. '/big', { stream = true })\n"
               "local length = 0\n"
               "for piece in function() return r:read() end do length = length + #piece end\n"
               "return length"),
      "100000000"); /* through an isolate of 16 MiB */
}

static void http_requests_are_written_piece_by_piece(void **state) {
  assert_string_equal(
      ask_peer(*state,
               "local q = perigee.http.open('POST', http .. '/echo', { headers = { A = 'b' } })\n"
               "for i = 1, 3 do assert(q:write('piece' .. i)) end\n"
               "local r = q:response()\n"
               "return perigee.json.decode(r.body).body, select(3, q:response())"),
      "piece1piece2piece3|EINVAL");
  assert_string_equal(
      ask_peer(*state, "local q = perigee.http.open('POST', http .. '/echo', { stream = true })\n"
                       "q:write('x') local r = q:response()\n"
                       "return r.status, #r:read() > 10, r:read()"),
      "200|true|nil");
  assert_string_equal(ask_peer(*state,
                               "local q = perigee.http.open('POST', 'http://127.0.0.1:1/')\n"
                               "while q:write('x') do end\n"
                               "return select(3, q:response())"),
                      "ECONNREFUSED");
}

/* ---- sockets ---- */

static const char *const echo_server =
    "local function serve(server)\n"
    "  return perigee.task.spawn(function()\n"
    "    local s = assert(server:accept())\n"
    "    local line = s:read('line')\n"
    "    s:write('you said ', line, '\\r\\n', s:read(3))\n"
    "    s:shutdown()\n"
    "    return s:read()\n"
    "  end)\n"
    "end\n"
    "local function talk(s)\n"
    "  s:write('hello\\n', 'abc')\n"
    "  local line, rest, last = s:read('line'), s:read('all'), s:read()\n"
    "  s:close()\n"
    "  return line, rest, last\n"
    "end\n";

static void sockets_talk(void **state) {
  char body[2000];
  snprintf(body, sizeof body,
           "%slocal server = assert(perigee.tcp.listen('127.0.0.1', 0))\n"
           "local t = serve(server)\n"
           "local s = assert(perigee.tcp.connect('localhost', server:port(), { timeout = 5 }))\n"
           "local here, there = s:name(), s:peer()\n"
           "local a, b, c = talk(s)\n"
           "return a, b, c, t:join() == nil, there == server:name(), here ~= there",
           echo_server);
  assert_string_equal(ask_peer(*state, body), "you said hello|abc|nil|true|true|true");
  snprintf(body, sizeof body,
           "%slocal server = assert(perigee.unix.listen(dir .. '/talk.sock'))\n"
           "local t = serve(server)\n"
           "local a, b, c = talk(assert(perigee.unix.connect(dir .. '/talk.sock')))\n"
           "return a, b, c, t:join(), server:name() == 'unix:' .. dir .. '/talk.sock'",
           echo_server);
  assert_string_equal(ask_peer(*state, body), "you said hello|abc|nil|nil|true");
}

static void sockets_fail_in_values(void **state) {
  assert_string_equal(
      ask_peer(*state, "local server = perigee.tcp.listen('127.0.0.1', 0)\n"
                       "local s = perigee.tcp.connect('127.0.0.1', server:port())\n"
                       "local _, _, late = s:read(1, 0.01)\n"
                       "s:timeout(0.01)\n"
                       "local _, _, also = s:read('line')\n"
                       "local _, _, no_client = perigee.tcp.listen('127.0.0.1', 0):accept(0.01)\n"
                       "local _, text, refused = perigee.tcp.connect('127.0.0.1', 1)\n"
                       "local _, _, used = perigee.tcp.listen('127.0.0.1', server:port())\n"
                       "return late, also, no_client, text, refused, used,"
                       "  (select(3, perigee.unix.connect('/nowhere')))"),
      "ETIMEDOUT|ETIMEDOUT|ETIMEDOUT|tcp 127.0.0.1 port 1: connection "
      "refused|ECONNREFUSED|EADDRINUSE|"
      "ENOENT");
}

static void closing_wakes_who_waits(void **state) {
  assert_string_equal(
      ask_peer(*state,
               "local server = perigee.tcp.listen('127.0.0.1', 0)\n"
               "local s = perigee.tcp.connect('127.0.0.1', server:port())\n"
               "local peer = server:accept()\n"
               "local reader = perigee.task.spawn(function() return s:read() end)\n"
               "local accepter = perigee.task.spawn(function() return server:accept() end)\n"
               "perigee.sleep(0.001) s:close() server:close()\n"
               "local ok, text = pcall(s.read, s)\n"
               "return select(3, reader:join()), select(3, accepter:join()), ok, text"),
      "ECANCELED|ECANCELED|false|socket: closed");
}

static void two_readers_are_told_apart(void **state) {
  assert_string_equal(ask_peer(*state, "local server = perigee.tcp.listen('127.0.0.1', 0)\n"
                                       "local s = perigee.tcp.connect('127.0.0.1', server:port())\n"
                                       "perigee.task.spawn(function() s:read() end)\n"
                                       "perigee.sleep(0.001)\n"
                                       "return select(2, s:read())"),
                      "another task reads from this socket|EBUSY");
}

/* The only reference to the socket is on the waiting task's stack, and garbage is collected. */
static void what_is_waited_on_is_not_collected(void **state) {
  assert_string_equal(
      ask_peer(*state,
               "local server = perigee.tcp.listen('127.0.0.1', 0)\n"
               "local t = perigee.task.spawn(function()\n"
               "  return perigee.tcp.connect('127.0.0.1', server:port()):read('line') end)\n"
               "local s = server:accept()\n"
               "collect() collect()\n"
               "s:write('still here\\n')\n"
               "return t:join()"),
      "still here");
}

/* ---- names, processes, files ---- */

static void dns_answers(void **state) {
  struct fixture *fx = *state;
  char server[32];
  snprintf(server, sizeof server, "127.0.0.1:%d", peer.dns);
  assert_int_equal(resolve_servers(fx->io, server), 0);
  assert_string_equal(
      ask_peer(
          fx,
          "local a = perigee.dns.resolve('a.test')\n"
          "local s = perigee.dns.resolve('srv.test', { type = 'SRV', timeout = '5s' })\n"
          "return a[1].address, a[1].ttl, #s, s[1].target, s[1].port, s[2].priority, s[2].ttl,\n"
          "  select(2, perigee.dns.resolve('none.test', { type = 'AAAA' }))"),
      "127.0.0.1|30|2|a.test|8080|20|7|none.test: no such name or record|ENOENT");
}

static void processes_run(void **state) {
  assert_string_equal(
      ask_peer(
          *state,
          "local r = perigee.process.run { 'sh', '-c', 'cat; echo $A >&2; exit 3', stdin = 'in', "
          "env = { A = 'b' }, cwd = '/' }\n"
          "return r.code, r.signal, r.stdout, r.stderr, r.timed_out, r.truncated"),
      "3|nil|in|b\n|false|false");
  assert_string_equal(
      ask_peer(*state,
               "local r = perigee.process.run { 'sleep', '1000', timeout = 0.05 }\n"
               "local c = perigee.process.run { 'yes', timeout = 0.05, output_limit = 10 }\n"
               "return r.timed_out, r.signal, #c.stdout, c.truncated,\n"
               "  select(2, perigee.process.run { '/no/such' })"),
      "true|15|10|true|/no/such: no such file or directory|ENOENT");
}

static void files_are_read_and_watched(void **state) {
  assert_string_equal(
      ask_peer(*state,
               "local fs = perigee.fs\n"
               "local names = {}\n"
               "for _, e in ipairs(fs.list(dir)) do names[e.name] = e.type end\n"
               "return #fs.read(dir .. '/ca.pem') > 100, fs.stat(dir).type, names['ca.pem'],\n"
               "  names['http.sock'], select(3, fs.read(dir .. '/ca.pem', { limit = 10 })),\n"
               "  select(3, fs.read(dir .. '/nothing'))"),
      "true|directory|file|socket|EFBIG|ENOENT");
  assert_string_equal(ask_peer(*state, "local w = perigee.fs.watch(dir)\n"
                                       "local _, _, none = w:next(0.01)\n"
                                       "perigee.process.run { 'touch', dir .. '/made' }\n"
                                       "local names = w:next(10)\n"
                                       "w:close() local ok, text = pcall(w.next, w)\n"
                                       "return none, #names, names[1], text"),
                      "ETIMEDOUT|1|made|watcher: closed");
}

/* ---- ends ---- */

/* What waits for ever, one a line. */
static const char *const waits[] = {
    "perigee.http.get(http .. '/never', { timeout = 1000 })",
    "perigee.http.get(http .. '/never', { timeout = 1000, fresh = true, stream = true })",
    "perigee.http.get('http://dead.test/', { timeout = 1000 })",
    "local r = perigee.http.get(http .. '/big', { stream = true }) r:read() perigee.sleep(1000)",
    "local q = perigee.http.open('POST', http .. '/never') q:write('x') q:response()",
    "local q = perigee.http.open('POST', http .. '/never') while true do q:write(('x'):rep(1e5)) "
    "end",
    "perigee.tcp.listen('127.0.0.1', 0):accept()",
    "local v = perigee.tcp.listen('127.0.0.1', 0) perigee.tcp.connect('127.0.0.1', "
    "v:port()):read()",
    "local v = perigee.tcp.listen('127.0.0.1', 0) local s = perigee.tcp.connect('127.0.0.1', "
    "v:port())"
    "  while true do s:write(('x'):rep(1e6)) end",
    "perigee.tcp.connect('dead.test', 80, { timeout = 1000 })",
    "perigee.unix.listen(dir .. '/end.sock'):accept()",
    "perigee.dns.resolve('dead.test', { timeout = 1000 })",
    "perigee.process.run { 'sleep', '1000', timeout = 1000 }",
    "perigee.fs.watch(dir):next()",
};

/* Begins `body` in an isolate of its own, lets the loop turn some, and ends the isolate. */
static void begin_and_end(struct fixture *fx, const char *body, int turns) {
  struct plugin *p;
  struct attachment *use;
  struct findings findings = {0};
  struct fault f;
  struct answer a = {0};
  char *source;
  assert_true(
      asprintf(&source,
               "return { kind = 'check', summary = 'a test', run = function()\n"
               "local http, dir = 'http://127.0.0.1:%d', '%s' %s perigee.sleep(1000)\nend }",
               peer.http, peer.directory, body) > 0);
  if (load(fx, "check", source, NULL, &p, &f) != 0)
    fail_msg("%s", f.text);
  free(source);
  assert_int_equal(plugin_attach(p, NULL, "test", &use, &findings), 0);
  assert_int_equal(attachment_call(use, "run", NULL, answer_take, &a, 0, NULL), 0);
  for (int i = 0; i < turns && !a.over; i++)
    uv_run(&fx->loop, UV_RUN_NOWAIT);
  if (a.over)
    fail_msg("it did not wait: %s: %s", body, a.text);
  attachment_free(use);
  plugin_free(p);
}

/* A body that the isolate has no room for is an error of the call, and nothing of it is left. */
static void what_does_not_fit_is_an_error(void **state) {
  struct fixture *fx = *state;
  struct isolate_limits limits = {.memory_soft = 1 << 20, .memory_hard = 2 << 20};
  char body[600];
  snprintf(
      body, sizeof body,
      "local http, dir = 'http://127.0.0.1:%d', '%s'\n"
      "local _, text, code = perigee.http.get(http .. '/big?bytes=6000000')\n"
      "local _, _, also = perigee.process.run { 'head', '-c', '6000000', '/dev/zero', "
      "output_limit = 7000000 }\n"
      "return text:match('^out of memory'), code, also, perigee.http.get(http .. '/hello').body",
      peer.http, peer.directory);
  assert_string_equal(ask_within(fx, body, &limits), "out of memory|ENOMEM|ENOMEM|hello");
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  assert_int_equal(io_open(fx->io), 0);
}

/* The name server is silent, so that dead.test is asked for until given up. */
static int silent_fd;

static int silent_open(struct fixture *fx) {
  struct sockaddr_in address;
  int size = sizeof address;
  uv_udp_t udp;
  uv_udp_init(&fx->loop, &udp);
  uv_ip4_addr("127.0.0.1", 0, &address);
  uv_udp_bind(&udp, (struct sockaddr *)&address, 0);
  uv_udp_getsockname(&udp, (struct sockaddr *)&address, &size);
  uv_os_fd_t fd;
  uv_fileno((uv_handle_t *)&udp, &fd);
  silent_fd = dup(fd);
  uv_close((uv_handle_t *)&udp, NULL);
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  char server[32];
  snprintf(server, sizeof server, "127.0.0.1:%d", ntohs(address.sin_port));
  return resolve_servers(fx->io, server);
}

/* Each wait, ended after any number of turns of the loop: no operation, no handle, no byte is left.
 */
static void an_ended_isolate_leaves_nothing_waiting(void **state) {
  struct fixture *fx = *state;
  assert_int_equal(silent_open(fx), 0);
  for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
    for (int turns = 0; turns < 40; turns += turns < 10 ? 1 : 6)
      begin_and_end(fx, waits[i], turns);
    uv_run(&fx->loop, UV_RUN_DEFAULT);
    struct vm_stats stats;
    vm_stats(fx->vm, &stats);
    if (io_open(fx->io) || stats.handles || stats.tasks || stats.memory)
      fail_msg("%s: %zu operations, %zu handles, %zu tasks, %zu bytes", waits[i], io_open(fx->io),
               stats.handles, stats.tasks, stats.memory);
  }
  close(silent_fd);
}

/* The same when only the task ends, by its deadline, and its isolate lives on. */
static void an_ended_task_leaves_nothing_waiting(void **state) {
  struct fixture *fx = *state;
  assert_int_equal(silent_open(fx), 0);
  for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
    char body[600];
    snprintf(
        body, sizeof body,
        "local _, _, code = perigee.task.deadline(0.02, function() %s perigee.sleep(1000) end)\n"
        "collect() collect() return code",
        waits[i]);
    assert_string_equal(ask_peer(fx, body), "ETIMEDOUT");
  }
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  assert_int_equal(io_open(fx->io), 0);
  close(silent_fd);
}

static void waiting_where_one_cannot_raises(void **state) {
  static const char *const calls[] = {"perigee.http.get(http .. '/hello')",
                                      "perigee.tcp.connect('127.0.0.1', 1)",
                                      "perigee.dns.resolve('a.test')",
                                      "perigee.process.run { 'true' }",
                                      "perigee.fs.read('/etc/hosts')",
                                      "perigee.http.open('POST', http .. '/echo'):response()"};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    char body[400];
    snprintf(body, sizeof body,
             "local t = setmetatable({}, { __tostring = function() %s end })\n"
             "local ok, text = pcall(string.format, '%%s', t) return ok, text",
             calls[i]);
    assert_non_null(strstr(ask_peer(*state, body), "false|"));
    assert_non_null(strstr(ask_peer(*state, body), "cannot wait"));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(http_answers_with_a_response),
      FIXTURE_TEST(http_sends_what_its_options_say),
      FIXTURE_TEST(http_statuses_are_errors_unless_asked_for),
      FIXTURE_TEST(http_errors_have_codes),
      FIXTURE_TEST(http_options_are_checked),
      FIXTURE_TEST(http_over_tls_and_unix_sockets),
      FIXTURE_TEST(http_streams),
      FIXTURE_TEST(http_requests_are_written_piece_by_piece),
      FIXTURE_TEST(sockets_talk),
      FIXTURE_TEST(sockets_fail_in_values),
      FIXTURE_TEST(closing_wakes_who_waits),
      FIXTURE_TEST(two_readers_are_told_apart),
      FIXTURE_TEST(what_is_waited_on_is_not_collected),
      FIXTURE_TEST(dns_answers),
      FIXTURE_TEST(processes_run),
      FIXTURE_TEST(files_are_read_and_watched),
      FIXTURE_TEST(an_ended_isolate_leaves_nothing_waiting),
      FIXTURE_TEST(an_ended_task_leaves_nothing_waiting),
      FIXTURE_TEST(what_does_not_fit_is_an_error),
      FIXTURE_TEST(waiting_where_one_cannot_raises),
  };
  if (peer_open(&peer) < 0)
    return 1;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  peer_close(&peer);
  return failed;
}
