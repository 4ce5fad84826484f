/* perigee.tcp with TLS, from the start and in the middle of a connection, against node's and
 * OpenSSL's servers; and that whoever is not who was meant is refused, in words. */
#include "base/value.h"
#include "fixture.h"
#include "io/peer.h"

#include <signal.h>

static struct peer peer;
static int only_with_certificate; /* the port of a server that lets nobody else in */

/* Runs `body` with the peers' places as locals. */
static const char *ask_peer(void **state, const char *body) {
  char *text;
  assert_true(
      asprintf(&text,
               "local https, http, strict, dir = %d, %d, %d, '%s'\n"
               "local ours = { ca = dir .. '/ca.pem', server_name = 'server.test' }\n"
               "local function connect(port, tls)\n"
               "  return perigee.tcp.connect('127.0.0.1', port, { tls = tls })\n"
               "end\n"
               "local function get(s)\n"
               "  s:write('GET /hello HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n"
               "  local all = assert(s:read('all', '30s'))\n"
               "  s:close()\n"
               "  return all:match('^HTTP/1.1 (%%d+)'), all:match('hello')\n"
               "end\n%s",
               peer.https, peer.http, only_with_certificate, peer.directory, body) > 0);
  const char *answer = ask(*state, text);
  free(text);
  return answer;
}

static void who_is_meant_is_spoken_with(void **state) {
  assert_string_equal(ask_peer(state, "return get(assert(connect(https, ours)))"), "200|hello");
  assert_string_equal(ask_peer(state, "return get(assert(connect(https, { verify = false })))"),
                      "200|hello");
  assert_string_equal(
      ask_peer(state, "local s = assert(perigee.tcp.connect('localhost', https, { tls = { ca = dir "
                      ".. '/ca.pem' } })) return get(s)"),
      "200|hello");
}

static void a_connection_becomes_tls_in_its_middle(void **state) {
  assert_string_equal(ask_peer(state, "local s = assert(connect(https))\n"
                                      "assert(s:starttls(ours))\n"
                                      "local again = select(3, s:starttls(ours))\n"
                                      "local status, body = get(s)\n"
                                      "return again, status, body"),
                      "EALREADY|200|hello");
  /* Of a peer that has no name one has to be given. */
  assert_non_null(
      strstr(ask_peer(state, "local server = perigee.tcp.listen('127.0.0.1', 0)\n"
                             "local near = perigee.tcp.connect('127.0.0.1', server:port())\n"
                             "local s = server:accept() return s:starttls()"),
             "nil|server_name: whose certificate is expected of this peer?|EINVAL"));
}

static void a_megabyte_goes_both_ways(void **state) {
  assert_string_equal(
      ask_peer(
          state,
          "local s = assert(connect(https, ours))\n"
          "local body = ('0123456789abcdef'):rep(65536)\n"
          "perigee.task.spawn(function()\n"
          "  s:write('POST /echo HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\nContent-Length: "
          "' .. #body .. '\\r\\n\\r\\n')\n"
          "  s:write(body)\n"
          "end)\n"
          "local status = s:read('line', '30s')\n"
          "local rest = s:read('all', '60s')\n"
          "return status, rest:find(body, 1, true) ~= nil"),
      "HTTP/1.1 200 OK|true");
}

static void who_is_not_meant_is_refused_in_words(void **state) {
  static const struct {
    const char *tls, *text;
  } wrong[] = {
      {"true", ": its certificate is refused: "},
      {"{ ca = dir .. '/ca.pem' }", ": its certificate is not for 127.0.0.1"},
      {"{ ca = dir .. '/ca.pem', server_name = 'other.test' }",
       ": its certificate is not for other.test"},
      {"{ ca = dir .. '/client.pem', server_name = 'server.test' }",
       ": its certificate is refused: "},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char body[300], place[100];
    snprintf(body, sizeof body, "return connect(https, %s)", wrong[i].tls);
    snprintf(place, sizeof place, "nil|tcp 127.0.0.1 port %d%s", peer.https, wrong[i].text);
    const char *text = ask_peer(state, body);
    if (strncmp(text, place, strlen(place)) != 0 || !strstr(text, "|EPROTO"))
      fail_msg("%s: wanted %s, got %s", wrong[i].tls, place, text);
    snprintf(body, sizeof body, "return assert(connect(https)):starttls(%s)", wrong[i].tls);
    if (!strstr(ask_peer(state, body), wrong[i].text))
      fail_msg("starttls(%s): %s", wrong[i].tls, ask_peer(state, body));
  }
  assert_non_null(
      strstr(ask_peer(state, "return connect(http, ours)"), "it does not speak TLS|EPROTO"));
}

static void options_that_are_wrong_name_their_file(void **state) {
  assert_non_null(
      strstr(ask_peer(state, "return connect(https, { ca = '/none.pem' })"), "ca: /none.pem: "));
  assert_non_null(strstr(ask_peer(state, "return connect(https, { cert = dir .. '/client.pem' })"),
                         "needs both cert and key|EINVAL"));
  assert_non_null(
      strstr(ask_peer(state, "return connect(https, { cert = dir .. '/client.pem', key = "
                             "dir .. '/ca.key' })"),
             "/ca.key: "));
  assert_non_null(
      strstr(ask_peer(state, "return pcall(connect, https, { cea = 1 })"), "did you mean \"ca\"?"));
  struct value *none = value_table();
  const char *text =
      ask_within(*state, "return perigee.tcp.connect('127.0.0.1', 1, { tls = { ca = '/x' } })",
                 &(struct isolate_limits){.grant = none});
  assert_non_null(strstr(text, "connect = "));
  value_unref(none);
}

static void a_server_may_ask_for_a_certificate(void **state) {
  static const char talk[] = "local s = assert(connect(strict, %s))\n"
                             "s:write('x\\n')\n"
                             "return s:read('line', '30s')";
  char body[400];
  snprintf(body, sizeof body, talk,
           "{ ca = ours.ca, server_name = 'server.test', cert = dir .. '/client.pem', key = dir .. "
           "'/client.key' }");
  assert_string_equal(ask_peer(state, body), "x");
  snprintf(body, sizeof body, talk, "ours"); /* it says so after its side of the handshake */
  const char *text = ask_peer(state, body);
  if (!strstr(text, "certificate required|EPROTO"))
    fail_msg("%s", text);
}

/* Bytes that came in clear before the handshake could be anybody's. */
static void nothing_in_clear_is_taken_for_the_peers(void **state) {
  assert_string_equal(ask_peer(state, "local server = perigee.tcp.listen('127.0.0.1', 0)\n"
                                      "local s = perigee.tcp.connect('127.0.0.1', server:port())\n"
                                      "server:accept():write('S', 'injected')\n"
                                      "assert(s:read(1) == 'S')\n"
                                      "return s:starttls(ours)"),
                      "nil|the peer has sent more in clear than was read|EPROTO");
}

/* A peer that says nothing, or hangs up in the middle: nothing is left, whoever gives up. */
static void a_handshake_can_be_given_up(void **state) {
  struct fixture *fx = *state;
  static const char *const ways[] = {
      "local _, _, code = perigee.tcp.connect('127.0.0.1', port, { tls = true, timeout = 0.05 })",
      "local s = perigee.tcp.connect('127.0.0.1', port)\n"
      "local _, _, code = s:starttls(true, 0.05)\n"
      "assert(select(3, s:read('some')) == 'ETIMEDOUT' and select(3, s:write('x')) == 'ETIMEDOUT')",
      "local _, _, code = perigee.task.deadline(0.05, perigee.tcp.connect, '127.0.0.1', port, { "
      "tls "
      "= true })",
      "local s = perigee.tcp.connect('127.0.0.1', port)\n"
      "local _, _, code = perigee.task.deadline(0.05, s.starttls, s, true)\n"
      "assert(select(3, s:read('some')) == 'ECANCELED')",
      "perigee.tcp.connect('127.0.0.1', port, { tls = true, timeout = 0.01 })\n"
      "server:close() local _, _, code = nil, nil, 'ETIMEDOUT'",
  };
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    char body[700];
    snprintf(body, sizeof body,
             "local server = perigee.tcp.listen('127.0.0.1', 0)\nlocal port = server:port()\n%s\n"
             "return code",
             ways[i]);
    assert_string_equal(ask_peer(state, body), "ETIMEDOUT");
  }
  assert_string_equal(
      ask_peer(
          state,
          "local server = perigee.tcp.listen('127.0.0.1', 0)\n"
          "perigee.task.spawn(function() local s = server:accept() s:read(5) s:close() end)\n"
          "return (select(3, perigee.tcp.connect('127.0.0.1', server:port(), { tls = true })))"),
      "ECONNRESET");
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  assert_int_equal(io_open(fx->io), 0);
}

/* A directory of certificates that is granted, with a link in it and one out of it. */
static void no_link_leads_out_of_a_granted_directory(void **state) {
  char command[700], directory[300];
  snprintf(command, sizeof command,
           "cd %s && rm -rf granted && mkdir granted && cp ca.pem granted && "
           "ln -s ca.pem granted/near.pem && ln -s ../ca.pem granted/out.pem && "
           "ln -s ../client.key granted/out.key && cp client.pem granted",
           peer.directory);
  assert_int_equal(system(command), 0);
  snprintf(directory, sizeof directory, "%s/granted/", peer.directory);
  struct value *hosts = value_table(), *files = value_table(), *all = value_table();
  value_append(hosts, value_text("*", 1));
  value_append(files, value_text(directory, strlen(directory)));
  value_set(all, "connect", hosts);
  value_set(all, "read", files);
  struct isolate_limits limits = usual_limits();
  limits.grant = all;
  char *text;
  assert_true(
      asprintf(&text,
               "local https, dir, said = %d, '%s', {}\n"
               "local function ask(fn, ...)\n"
               "  local ok, _, code = fn(...)\n"
               "  said[#said + 1] = ok and 'ok' or code\n"
               "end\n"
               "for _, ca in ipairs { 'ca.pem', 'near.pem', 'out.pem', 'none.pem' } do\n"
               "  local tls = { ca = dir .. ca, server_name = 'server.test' }\n"
               "  ask(perigee.tcp.connect, '127.0.0.1', https, { tls = tls })\n"
               "  ask(perigee.http.get, 'https://127.0.0.1:' .. https .. '/hello', { tls = tls })\n"
               "  local s = assert(perigee.tcp.connect('127.0.0.1', https))\n"
               "  ask(s.starttls, s, tls)\n"
               "end\n"
               "local tls = { ca = dir .. 'ca.pem', cert = dir .. 'client.pem', key = dir .. "
               "'out.key', server_name = 'server.test' }\n"
               "ask(perigee.tcp.connect, '127.0.0.1', https, { tls = tls })\n"
               "ask(perigee.http.get, 'https://127.0.0.1:' .. https .. '/hello', { tls = tls })\n"
               "return table.concat(said, ' ')",
               peer.https, directory) > 0);
  assert_string_equal(ask_within(*state, text, &limits),
                      "ok ok ok ok ok ok EACCES EACCES EACCES ENOENT ENOENT ENOENT EACCES EACCES");
  free(text);
  value_unref(all);
}

/* openssl s_server, which answers each line with itself backwards; its port. */
static pid_t serve_strictly(int *port) {
  int out[2];
  char command[600];
  if (pipe(out) < 0)
    return -1;
  snprintf(command, sizeof command,
           "cd %s && exec openssl s_server -accept 127.0.0.1:0 -cert server.pem -key server.key "
           "-CAfile ca.pem -Verify 1 -verify_return_error -tls1_3 -rev 2>/dev/null",
           peer.directory);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(out[1], 1);
    close(out[0]);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
  }
  close(out[1]);
  FILE *lines = fdopen(out[0], "r");
  char line[200];
  *port = 0;
  while (!*port && fgets(line, sizeof line, lines))
    if (sscanf(line, "ACCEPT 127.0.0.1:%d", port) != 1)
      *port = 0;
  /* Its pipe stays open for as long as it writes there. */
  return *port ? pid : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(who_is_meant_is_spoken_with),
      FIXTURE_TEST(a_connection_becomes_tls_in_its_middle),
      FIXTURE_TEST(a_megabyte_goes_both_ways),
      FIXTURE_TEST(who_is_not_meant_is_refused_in_words),
      FIXTURE_TEST(options_that_are_wrong_name_their_file),
      FIXTURE_TEST(a_server_may_ask_for_a_certificate),
      FIXTURE_TEST(nothing_in_clear_is_taken_for_the_peers),
      FIXTURE_TEST(a_handshake_can_be_given_up),
      FIXTURE_TEST(no_link_leads_out_of_a_granted_directory),
  };
  pid_t strict = peer_open(&peer) < 0 ? -1 : serve_strictly(&only_with_certificate);
  if (strict < 0)
    return 1;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  kill(strict, SIGTERM);
  waitpid(strict, NULL, 0);
  peer_close(&peer);
  return failed;
}
