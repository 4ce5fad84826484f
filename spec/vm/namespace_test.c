/* The plain namespaces of `perigee`. */
#include "base/clock.h"
#include "base/log.h"
#include "fixture.h"

static void json_goes_there_and_back(void **state) {
  assert_string_equal(
      ask(*state, "return perigee.json.encode({1, 'a\"\\n', true, perigee.json.null, {b = 1.5}})"),
      "[1,\"a\\\"\\n\",true,null,{\"b\":1.5}]");
  assert_string_equal(
      ask(*state, "return perigee.json.encode(1763759385123456), perigee.json.encode({}),\n"
                  "perigee.json.encode({a = perigee.json.array()}), perigee.json.encode('\\255')"),
      "1763759385123456|{}|{\"a\":[]}|\"\xef\xbf\xbd\"");
  assert_string_equal(ask(*state, "local v = perigee.json.decode('{\"a\":[1,{\"b\":null}]}')\n"
                                  "return v.a[1], v.a[2].b == perigee.json.null"),
                      "1|true");
}

/* Longer than what a plugin may make itself. */
static void json_has_a_most(void **state) {
  char path[] = "/tmp/perigee-json-XXXXXX", body[200];
  int fd = mkstemp(path);
  assert_int_equal(ftruncate(fd, 5000000), 0);
  close(fd);
  snprintf(body, sizeof body, "return select(3, perigee.json.decode((perigee.fs.read('%s'))))",
           path);
  assert_string_equal(ask(*state, body), "E2BIG");
  unlink(path);
}

static void json_errors_are_values(void **state) {
  assert_string_equal(ask(*state, "return perigee.json.decode(nil)"),
                      "nil|not a text to decode but a nil|EINVAL");
  assert_non_null(strstr(ask(*state, "return perigee.json.decode('{\"a\":')"), "nil|not JSON: "));
  assert_non_null(
      strstr(ask(*state, "return perigee.json.decode(('['):rep(200))"), "nil|not JSON: "));
  assert_non_null(
      strstr(ask(*state, "local t = {} t.t = t return perigee.json.encode(t)"), "100 deep|EINVAL"));
  assert_non_null(
      strstr(ask(*state, "return perigee.json.encode({1, a = 2})"), "both named and numbered"));
  assert_non_null(
      strstr(ask(*state, "return perigee.json.encode({print = pairs})"), "function|EINVAL"));
  assert_non_null(strstr(ask(*state, "return perigee.json.encode(0/0)"), "not finite"));
  assert_string_equal(
      ask_within(*state, "return select(3, perigee.json.decode('[' .. ('[],'):rep(2e5) .. '[]]'))",
                 &(struct isolate_limits){.memory_hard = 4 << 20, .turn_ns = 20000000000}),
      "ENOMEM");
}

/* The two ways to decode, of what is small and of what is large. */
static void json_means_the_same_whatever_its_size(void **state) {
  assert_string_equal(
      ask(*state,
          "local pieces = { '{', '}', '[', ']', ':', ',', '1', '-0.5', '1e3', '01', '-', '+1', "
          "'true', 'false',\n"
          "  'null', 'nul', '\"a\"', '\"b\":', '\"\\\\n\\\\u00e9\"', "
          "'\"\\\\ud83d\\\\ude00\"', "
          "'\"\\\\ud83d\"', '\"\\\\x\"',\n"
          "  ' ', '\\t', '\"', '[]', '{}', '[1,2]', '{\"k\":[{}]}', '\"\\255\"', '0x10' }\n"
          "local whole = { '1', '\"x\"', '[]', 'null', '{\"k\":\"v\"}', '[1,[2]]' }\n"
          "local seed = 20261122\n"
          "local function chance(n) seed = (seed * 16807) % 2147483647 return seed % n + 1 end\n"
          "local function some(depth)\n"
          "  local kind = depth > 3 and 1 or chance(4)\n"
          "  if kind == 2 then return '[' .. some(depth + 1) .. ',' .. some(depth + 1) .. ']' end\n"
          "  if kind == 3 then return '{\"a\" : ' .. some(depth + 1) .. '}' end\n"
          "  return chance(4) == 1 and pieces[chance(#pieces)] or whole[chance(#whole)]\n"
          "end\n"
          "local read, write, well = perigee.json.decode, perigee.json.encode, 0\n"
          "for i = 1, 6000 do\n"
          "  local text = i % 3 == 0 and pieces[chance(#pieces)] .. pieces[chance(#pieces)] or "
          "some(0)\n"
          "  local small, a = read(text) local large, b = read(text .. (' '):rep(20000))\n"
          "  if (small == nil) ~= (large == nil) then return text, small, a, large, b end\n"
          "  if small ~= nil then\n"
          "    well = well + 1\n"
          "    if write(small) ~= write(large) then return text, write(small), write(large) end\n"
          "  end\n"
          "  if i % 100 == 0 then perigee.sleep(0) end\n"
          "end\n"
          "return well > 1000 and well < 5500"),
      "true");
}

static void base64_is_that_of_rfc_4648(void **state) {
  assert_string_equal(
      ask(*state,
          "local out = {} for i, s in ipairs{'', 'f', 'fo', 'foo', 'foob', 'fooba', 'foobar'} do\n"
          "out[i] = perigee.base64.encode(s) assert(perigee.base64.decode(out[i]) == s) end\n"
          "return table.concat(out, ' ')"),
      " Zg== Zm8= Zm9v Zm9vYg== Zm9vYmE= Zm9vYmFy");
  assert_string_equal(ask(*state, "return perigee.base64.encode('\\249\\255\\254a', 'url'), "
                                  "perigee.base64.decode('-f_-YQ') == '\\249\\255\\254a'"),
                      "-f_-YQ|true");
  assert_string_equal(
      ask(*state, "return perigee.base64.decode('Zg='), select(3, perigee.base64.decode('Z!=='))"),
      "nil|EINVAL");
}

static void urls_are_taken_apart_and_made(void **state) {
  assert_string_equal(
      ask(*state,
          "local u = perigee.url.parse('https://me:pw@[::1]:8443/a/b?q=1&r#end')\n"
          "return u.scheme, u.user, u.password, u.host, u.port, u.path, u.query, u.fragment"),
      "https|me|pw|::1|8443|/a/b|q=1&r|end");
  assert_string_equal(
      ask(*state, "local u = perigee.url.parse('etcd:///web') return u.scheme, u.host, u.path"),
      "etcd|nil|/web");
  assert_string_equal(
      ask(*state,
          "local a, _, b = perigee.url.parse('http://h:99999/') local c = perigee.url.parse('no')\n"
          "local d = perigee.url.parse('http://:80/') return a, b, c, d"),
      "nil|EINVAL|nil|nil");
  assert_string_equal(
      ask(*state,
          "return perigee.url.encode('a b/\\195\\164~'), perigee.url.decode('a%20b%2F%c3%a4')"),
      "a%20b%2F%C3%A4~|a b/\xc3\xa4");
  assert_string_equal(ask(*state, "return perigee.url.query{ z = 1, a = {'x y', 2}, ok = true }"),
                      "a=x%20y&a=2&ok=true&z=1");
  assert_string_equal(ask(*state, "return select(3, perigee.url.decode('50%'))"), "EINVAL");
}

/* The digests of "abc" in RFC 1321, FIPS 180; for HMAC, RFC 4231's second case; for PBKDF2, RFC
 * 6070's with SHA-256. */
static void hashes_are_the_standards(void **state) {
  assert_string_equal(
      ask(*state, "local h = perigee.hash return h.md5('abc'), h.sha1('abc'), h.sha256('abc')"),
      "900150983cd24fb0d6963f7d28e17f72|a9993e364706816aba3e25717850c26c9cd0d89d|"
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert_string_equal(ask(*state, "return perigee.hash.hmac('sha256', 'Jefe', 'what do ya want for "
                                  "nothing?'), #perigee.hash.sha256('', 'raw')"),
                      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843|32");
  assert_string_equal(ask(*state, "return perigee.hash.pbkdf2('sha256', 'password', 'salt', 4096)"),
                      "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a");
  assert_non_null(
      strstr(ask(*state, "return pcall(perigee.hash.pbkdf2, 'sha256', 'p', 's', 1e9)"), "100000"));
}

static void structures_are_packed_as_in_lua_53(void **state) {
  assert_string_equal(
      ask(*state,
          "local function hex(s) return (s:gsub('.', function(c) return ('%02x'):format(c:byte()) "
          "end)) end\n"
          "return hex(perigee.pack('>I2i4<I4', 258, -2, 1)), hex(perigee.pack('s2z', 'ab', 'c')),\n"
          "hex(perigee.pack('<d', 1.5)), hex(perigee.pack('>i8', -1)), "
          "perigee.pack_size('>I1xI8c3')"),
      "0102fffffffe01000000|000261626300|000000000000f83f|ffffffffffffffff|13");
  assert_string_equal(
      ask(*state, "return perigee.unpack('>Bbi3I8s1zc2fx', perigee.pack('>Bbi3I8s1zc2fx', 255, "
                  "-128, -70000, 2^53, 'hi', 'zed', 'ab', 0.5))"),
      "255|-128|-70000|9.007199254741e+15|hi|zed|ab|0.5|28");
  assert_non_null(strstr(ask(*state, "perigee.pack('B', 256)"), "does not fit"));
  assert_non_null(strstr(ask(*state, "perigee.pack('I8', 1.5)"), "an integer"));
  assert_non_null(strstr(ask(*state, "perigee.pack('I4I4', 1)"), "the format wants more"));
  assert_non_null(strstr(ask(*state, "perigee.pack('q', 1)"), "\"q\" is none of"));
  assert_non_null(strstr(ask(*state, "perigee.unpack('>I4', 'abc')"), "inside a value"));
  assert_non_null(
      strstr(ask(*state, "perigee.unpack('>s4', '\\255\\255\\255\\255x')"), "inside a value"));
  assert_non_null(strstr(ask(*state, "perigee.unpack('>J', ('\\255'):rep(8))"), "beyond 2^53"));
  assert_non_null(strstr(ask(*state, "perigee.unpack('z', 'abc')"), "inside a value"));
}

static int64_t fixed_now(void *unused) {
  return 5000000000;
}

static int64_t fixed_wall(void *unused) {
  return 1763759385123456;
}

static uint64_t fixed_random(void *unused) {
  return UINT64_C(0x8000000000000000);
}

static void a_test_can_own_time_and_chance(void **state) {
  const struct clock_source fixed = {fixed_now, fixed_wall, fixed_random, NULL};
  clock_use(&fixed);
  const char *text =
      ask(*state, "return perigee.time.now(), perigee.time.monotonic(), perigee.time.iso(),\n"
                  "perigee.random(), #perigee.random(9), ctx.random(), math.random(10), ctx.now()");
  clock_use(NULL);
  assert_string_equal(text,
                      "1763759385.1235|5|2025-11-21T21:09:45.123Z|0.5|9|0.5|6|1763759385.1235");
}

static void times_are_read_and_written(void **state) {
  assert_string_equal(ask(*state, "local t = perigee.time return t.iso(0), t.iso(951782400.5), "
                                  "t.parse('1970-01-01T01:00:00.25+01:00'),\n"
                                  "t.parse('2025-11-21T21:09:45Z'), (t.parse('yesterday'))"),
                      "1970-01-01T00:00:00.000Z|2000-02-29T00:00:00.500Z|0.25|1763759385|nil");
}

/* What is logged while `body` runs. */
static const char *logged(struct fixture *fx, const char *body,
                          const struct isolate_limits *limits) {
  static char text[60000];
  char path[] = "/tmp/perigee-log-XXXXXX";
  int fd = mkstemp(path);
  log_set_fd(fd);
  ask_within(fx, body, limits);
  log_set_fd(2);
  ssize_t length = pread(fd, text, sizeof text - 1, 0);
  text[length > 0 ? length : 0] = '\0';
  close(fd);
  unlink(path);
  return text;
}

static void a_line_names_its_plugin(void **state) {
  const char *text = logged(*state,
                            "perigee.log.info('hello there', { n = 3, who = 'a b\\nc', t = {} }) "
                            "perigee.log.debug('quiet')",
                            NULL);
  assert_non_null(strstr(text, "plugin=under_test"));
  assert_non_null(strstr(text, "hello there"));
  assert_non_null(strstr(text, "n=3"));
  assert_non_null(strstr(text, "t=table"));
  assert_null(strstr(text, "quiet"));
  assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
}

static void a_line_is_one_whatever_is_in_it(void **state) {
  const char *text = logged(
      *state,
      "perigee.log.info('a\\nb', { ['k\\nlevel=error event=x'] = 1, level = 'error', plugin = "
      "'other', [('k'):rep(1000)] = 'end' })",
      NULL);
  assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
  assert_non_null(strstr(text, " k_level_error_event_x=1"));
  assert_non_null(strstr(text, " level_=error"));
  assert_non_null(strstr(text, " plugin=under_test"));
  assert_null(strstr(text, " plugin=other"));
  assert_non_null(strstr(text, "kkk=end"));
  assert_true(strlen(text) < 400);
}

static void what_is_too_long_for_a_line_is_cut(void **state) {
  const char *text = logged(*state, "perigee.log.info(('x'):rep(1e6) .. 'end')", NULL);
  assert_in_range(strlen(text), LOG_TEXT_MAX, LOG_TEXT_MAX + 200);
  assert_non_null(strstr(text, "xxx... plugin=under_test"));
  text = logged(*state,
                "local all = {} for i = 1, 20 do all['k' .. i] = ('y'):rep(1e5) end "
                "perigee.log.info('much', all)",
                NULL);
  assert_in_range(strlen(text), LOG_LINE_MAX, LOG_LINE_MAX + LOG_TEXT_MAX + 200);
  assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void a_flood_is_cut_and_counted(void **state) {
  const char *text = logged(*state, "for i = 1, 1000 do perigee.log.info('flood') end",
                            &(struct isolate_limits){.log_lines_per_s = 10});
  int lines = 0;
  for (const char *at = text; (at = strstr(at, "flood")); at++)
    lines++;
  assert_in_range(lines, 10, 100);
  assert_non_null(strstr(text, "lines left out"));
}

static void a_failure_nobody_waits_for_is_logged(void **state) {
  const char *text = logged(*state,
                            "local t = perigee.task.spawn(function() error('unseen') end) while "
                            "t:status() == 'running' do perigee.sleep(0) end",
                            NULL);
  assert_non_null(strstr(text, "unseen"));
}

static void require_gives_the_library_and_no_more(void **state) {
  assert_string_equal(ask(*state, "local one = require('perigee.etcd.layouts')\n"
                                  "return one == require('perigee.etcd.layouts'), type(one.grpc)"),
                      "true|table");
  assert_non_null(strstr(ask(*state, "return pcall(require, 'perigee.no_such')"), "No such file"));
  assert_string_equal(
      ask(*state, "local taken = 0\n"
                  "for _, name in ipairs{ '', 'os', 'perigee', 'perigee.', 'perigee..x',\n"
                  "  'perigee.a/b', 'perigee.../../x', 'perigee.a\\0b', ('perigee.x'):rep(20) }\n"
                  "do taken = taken + (pcall(require, name) and 1 or 0) end\n"
                  "return taken, select(2, pcall(require, 'io')):match('No such file')"),
      "0|No such file");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(json_means_the_same_whatever_its_size),
      FIXTURE_TEST(json_goes_there_and_back),
      FIXTURE_TEST(json_errors_are_values),
      FIXTURE_TEST(json_has_a_most),
      FIXTURE_TEST(base64_is_that_of_rfc_4648),
      FIXTURE_TEST(urls_are_taken_apart_and_made),
      FIXTURE_TEST(hashes_are_the_standards),
      FIXTURE_TEST(structures_are_packed_as_in_lua_53),
      FIXTURE_TEST(a_test_can_own_time_and_chance),
      FIXTURE_TEST(times_are_read_and_written),
      FIXTURE_TEST(require_gives_the_library_and_no_more),
      FIXTURE_TEST(a_line_names_its_plugin),
      FIXTURE_TEST(a_line_is_one_whatever_is_in_it),
      FIXTURE_TEST(what_is_too_long_for_a_line_is_cut),
      FIXTURE_TEST(a_flood_is_cut_and_counted),
      FIXTURE_TEST(a_failure_nobody_waits_for_is_logged),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
