/* Grants: what is not named is refused with the sentence that allows it; what is, works. */
#include "fixture.h"

#include "base/value.h"

#include <sys/stat.h>

/* A list of grants: "connect=self,*.example.org read=/tmp/". */
static struct value *grants(const char *text) {
  struct value *all = value_table(), *list = NULL;
  char copy[500], *word = copy;
  snprintf(copy, sizeof copy, "%s", text);
  while (word && *word) {
    char *next = strchr(word, ' ');
    if (next)
      *next++ = '\0';
    char *item = strchr(word, '=');
    *item++ = '\0';
    list = value_table();
    while (item) {
      char *comma = strchr(item, ',');
      if (comma)
        *comma++ = '\0';
      value_append(list, value_text(item, strlen(item)));
      item = comma;
    }
    value_set(all, word, strcmp(word, "ffi") == 0 ? value_boolean(true) : value_ref(list));
    value_unref(list);
    word = next;
  }
  return all;
}

static const char *ask_granted(void **state, const char *given, const char *body) {
  struct value *all = grants(given);
  const char *text = ask_within(*state, body, &(struct isolate_limits){.grant = all});
  value_unref(all);
  return text;
}

static void assert_refused(void **state, const char *given, const char *call, const char *grant) {
  char body[600], expected[600];
  snprintf(body, sizeof body, "return %s", call);
  snprintf(expected, sizeof expected,
           "nil|not granted: plugins = { under_test = { grant = { %s } } } allows it|EACCES",
           grant);
  const char *text = ask_granted(state, given, body);
  if (strcmp(text, expected) != 0)
    fail_msg("%s with %s\nanswered: %s", call, given, text);
}

/* Allowed: it fails for a reason of its own, or not at all. */
static void assert_allowed(void **state, const char *given, const char *call) {
  char body[600];
  snprintf(body, sizeof body, "local a, b, code = %s return tostring(code)", call);
  const char *text = ask_granted(state, given, body);
  if (strstr(text, "EACCES") || text[0] == '!')
    fail_msg("%s with %s\nanswered: %s", call, given, text);
}

static void what_is_not_named_is_refused(void **state) {
  assert_refused(state, "", "perigee.fs.read('/etc/hostname')", "read = { \"/etc/hostname\" }");
  assert_refused(state, "", "perigee.fs.list('/etc')", "read = { \"/etc\" }");
  assert_refused(state, "read=/tmp/", "perigee.fs.write('/tmp/x', 'y')", "write = { \"/tmp/x\" }");
  assert_refused(state, "", "perigee.process.run{ 'true' }", "run = { \"true\" }");
  assert_refused(state, "", "perigee.env('HOME')", "env = { \"HOME\" }");
  assert_refused(state, "", "perigee.tcp.connect('10.0.0.1', 80)", "connect = { \"10.0.0.1:80\" }");
  assert_refused(state, "", "perigee.tcp.connect('::1', 80)", "connect = { \"[::1]:80\" }");
  assert_refused(state, "", "perigee.http.get('http://a.test/x')", "connect = { \"a.test:80\" }");
  assert_refused(state, "", "perigee.http.get('https://[::1]/')", "connect = { \"[::1]:443\" }");
  assert_refused(state, "connect=a.test", "perigee.http.get('http://a.test@b.test/')",
                 "connect = { \"b.test:80\" }");
  assert_refused(state, "connect=*", "perigee.http.get('https://a.test/', { tls = { ca = '/x' } })",
                 "read = { \"/x\" }");
  assert_refused(state, "connect=* read=/x",
                 "perigee.http.get('https://a.test/', { tls = { ca = '/x', key = '/y' } })",
                 "read = { \"/y\" }");
  assert_refused(state, "connect=*", "perigee.unix.connect('/run/x')",
                 "connect = { \"unix:/run/x\" }");
  assert_refused(state, "connect=*", "perigee.http.get('http://a.test/', { unix = '/run/x' })",
                 "connect = { \"unix:/run/x\" }");
  assert_refused(state, "", "perigee.unix.connect('/run/x')", "connect = { \"unix:/run/x\" }");
  assert_refused(state, "", "perigee.dns.resolve('a.test')", "connect = { \"a.test\" }");
  assert_refused(state, "", "perigee.tcp.listen('127.0.0.1', 9)", "listen = { \"127.0.0.1:9\" }");
}

static void what_leads_out_is_refused(void **state) {
  assert_refused(state, "read=/tmp/", "perigee.fs.read('/tmp/../etc/passwd')",
                 "read = { \"/tmp/../etc/passwd\" }");
  assert_refused(state, "read=/tmp/", "perigee.fs.read('/tmpfile')", "read = { \"/tmpfile\" }");
  assert_refused(state, "read=/tmp", "perigee.fs.read('/tmp/x')", "read = { \"/tmp/x\" }");
  assert_refused(state, "connect=*.example.org", "perigee.dns.resolve('example.org.evil.test')",
                 "connect = { \"example.org.evil.test\" }");
  assert_refused(state, "connect=127.0.0.1:1", "perigee.tcp.connect('127.0.0.1', 2)",
                 "connect = { \"127.0.0.1:2\" }");
  assert_refused(state, "connect=self", "perigee.tcp.connect('self', 2)",
                 "connect = { \"self:2\" }");
}

/* A directory with a link to a place beside it, for unix sockets and for what is watched. */
static void no_link_leads_out_of_a_directory(void **state) {
  char top[] = "/tmp/perigee-grant-XXXXXX", given[300], body[1500], leave[200];
  assert_non_null(mkdtemp(top));
  snprintf(given, sizeof given, "read=%s/in/ connect=unix:%s/in/ listen=unix:%s/*,unix:%s/in/", top,
           top, top, top);
  snprintf(body, sizeof body,
           "mkdir %s/in %s/out && ln -s ../out %s/in/away && ln -s ../out/s "
           "%s/in/link && ln -s inner %s/in/near && mkdir %s/in/inner",
           top, top, top, top, top, top);
  assert_int_equal(system(body), 0);
  snprintf(
      body, sizeof body,
      "local top, said = '%s', {}\n"
      "local outside = perigee.unix.listen(top .. '/out/s')\n"
      "local function ask(fn, path, ...)\n"
      "  local ok, _, code = fn(path, ...)\n"
      "  said[#said + 1] = ok and 'ok' or code\n"
      "  return ok\n"
      "end\n"
      "local in_there = top .. '/in/'\n"
      "ask(perigee.unix.connect, in_there .. 'link')\n"
      "ask(perigee.unix.connect, in_there .. 'away/s')\n"
      "ask(perigee.http.get, 'http://x/', { unix = in_there .. 'link', timeout = '1s' })\n"
      "ask(perigee.fs.watch, in_there .. 'away')\n"
      "ask(perigee.fs.watch, in_there .. 'away/s')\n"
      "ask(perigee.fs.watch, in_there .. 'link')\n"
      "local server = ask(perigee.unix.listen, in_there .. 'near/s')\n"
      "ask(perigee.unix.connect, in_there .. 'near/s')\n"
      "said[#said + 1] = server:name() == 'unix:' .. in_there .. 'near/s' and 'named' or '?'\n"
      "said[#said + 1] = server:accept():name() == server:name() and 'named' or '?'\n"
      "ask(perigee.fs.watch, in_there .. 'near')\n"
      "server:close() outside:close()\n"
      "return table.concat(said, ' '), (select(3, perigee.unix.connect(in_there .. 'near/s')))",
      top);
  assert_string_equal(ask_granted(state, given, body),
                      "EACCES EACCES EACCES EACCES EACCES EACCES ok ok named named ok|ENOENT");
  /* Nothing is put where a link leads. */
  snprintf(given, sizeof given, "listen=unix:%s/in/", top);
  snprintf(body, sizeof body, "return (select(3, perigee.unix.listen('%s/in/away/new')))", top);
  assert_string_equal(ask_granted(state, given, body), "EACCES");
  snprintf(leave, sizeof leave, "rm -rf %s", top);
  assert_int_equal(system(leave), 0);
}

/* What a link is put in the place of while it is watched, is seen no more. */
static void what_is_watched_does_not_follow_a_link_out(void **state) {
  char top[] = "/tmp/perigee-grant-XXXXXX", given[200], body[1200], leave[200];
  assert_non_null(mkdtemp(top));
  snprintf(given, sizeof given, "read=%s/in/ run=ln,mkdir,mv,touch", top);
  snprintf(body, sizeof body,
           "local top = '%s'\n"
           "local run = function(...) assert(perigee.process.run{ ... }) end\n"
           "run('mkdir', top .. '/in', top .. '/out', top .. '/in/d')\n"
           "local w = assert(perigee.fs.watch(top .. '/in/d'))\n"
           "run('touch', top .. '/in/d/a')\n"
           "local first = table.concat(assert(w:next('30s')))\n"
           "run('mv', top .. '/in/d', top .. '/in/gone')\n"
           "run('ln', '-s', '../out', top .. '/in/d')\n"
           "repeat local told = w:next('200ms') until not told\n"
           "run('touch', top .. '/out/secret')\n"
           "local names = ''\n"
           "for told in function() return w:next('300ms') end do\n"
           "  names = names .. table.concat(told)\n"
           "end\n"
           "return first, names:match('secret')",
           top);
  assert_string_equal(ask_granted(state, given, body), "a|nil");
  snprintf(leave, sizeof leave, "rm -rf %s", top);
  assert_int_equal(system(leave), 0);
}

static void what_is_named_works(void **state) {
  assert_allowed(state, "read=/etc/", "perigee.fs.read('/etc/hostname')");
  assert_allowed(state, "read=/proc/*/stat", "perigee.fs.stat('/proc/self/stat')");
  assert_allowed(state, "run=true", "perigee.process.run{ 'true' }");
  assert_allowed(state, "env=HO*", "perigee.env('HOME')");
  assert_allowed(state, "connect=127.0.0.1:1", "perigee.tcp.connect('127.0.0.1', 1)");
  assert_allowed(state, "connect=127.0.0.*", "perigee.http.get('http://127.0.0.1:1/')");
  assert_allowed(state, "connect=LOCALHOST", "perigee.tcp.connect('localhost', 1)");
  assert_allowed(state, "connect=[::1]:1", "perigee.tcp.connect('::1', 1)");
  assert_allowed(state, "connect=::1", "perigee.tcp.connect('::1', 1)");
  assert_allowed(state, "connect=unix:/run/", "perigee.unix.connect('/run/none')");
  assert_allowed(state, "connect=unix:*", "perigee.unix.connect('/run/none')");
  assert_allowed(state, "listen=127.0.0.1", "perigee.tcp.listen('127.0.0.1', 0)");
}

/* A granted program is not a way to run others, or to see what else the environment has. */
static void a_command_runs_as_granted(void **state) {
  setenv("PERIGEE_SECRET", "x", 1);
  setenv("PERIGEE_PLAIN", "y", 1);
  assert_refused(state, "run=id", "perigee.process.run{ 'id', env = { PATH = '/tmp' } }",
                 "env = { \"PATH\" }");
  assert_refused(state, "run=id", "perigee.process.run{ 'id', env = { LD_PRELOAD = '/tmp/x' } }",
                 "env = { \"LD_PRELOAD\" }");
  static const char print[] =
      "return (perigee.process.run{ 'sh', '-c', 'echo $PERIGEE_SECRET-$PERIGEE_PLAIN-${PATH:+p}' "
      "%s }).stdout";
  char body[300];
  snprintf(body, sizeof body, print, "");
  assert_string_equal(ask_granted(state, "run=sh", body), "--p\n");
  assert_string_equal(ask_granted(state, "run=sh env=PERIGEE_PL*", body), "-y-p\n");
  snprintf(body, sizeof body, print, ", env = { PERIGEE_PLAIN = 'z' }");
  assert_string_equal(ask_granted(state, "run=sh env=PERIGEE_PL*", body), "-z-p\n");
  assert_non_null(
      strstr(ask_granted(state, "run=./id", "return perigee.process.run{ './id', cwd = '/tmp' }"),
             "a whole path"));
}

/* A redirect is no way around. */
static void a_redirect_must_be_granted_too(void **state) {
  static const char serve[] =
      "local server = perigee.tcp.listen('127.0.0.1', 0)\n"
      "perigee.task.spawn(function()\n"
      "  local peer = server:accept() peer:read('some')\n"
      "  peer:write('HTTP/1.1 302 Found\\r\\nLocation: http://127.0.0.9:1/\\r\\nContent-Length: "
      "0\\r\\n\\r\\n')\n"
      "end)\n"
      "local _, message, code = perigee.http.get('http://127.0.0.1:' .. server:port() .. '/')\n"
      "return code, message";
  assert_non_null(
      strstr(ask_granted(state, "listen=127.0.0.1 connect=127.0.0.1", serve), "EACCES|"));
  assert_non_null(strstr(ask_granted(state, "listen=127.0.0.1 connect=*", serve), "ECONNREFUSED|"));
}

static void self_is_the_subject_of_the_call(void **state) {
  struct value *all = grants("connect=self");
  struct findings findings = {0};
  struct answer a = {0};
  struct attachment *use;
  struct plugin *p;
  struct fault f;
  assert_int_equal(
      load(*state, "check",
           "return { kind = 'check', summary = 's', run = function()\n"
           "local _, _, code = perigee.tcp.connect('127.0.0.1', 1)\n"
           "local _, _, inside = perigee.task.spawn(perigee.tcp.connect, '127.0.0.1', 1):join()\n"
           "local _, _, other = perigee.tcp.connect('127.0.0.2', 1)\n"
           "return code, inside, other end }",
           &(struct isolate_limits){.grant = all}, &p, &f),
      0);
  value_unref(all);
  assert_int_equal(plugin_attach(p, NULL, "test", &use, &findings), 0);
  assert_int_equal(attachment_subject(use, "127.0.0.1"), 0);
  assert_int_equal(attachment_call(use, "run", NULL, answer_take, &a, 0, NULL), 0);
  run_until(*state, &a.over);
  assert_string_equal(a.text, "ECONNREFUSED|ECONNREFUSED|EACCES");
  attachment_free(use);
  plugin_free(p);
}

static void ffi_is_for_who_was_given_it(void **state) {
  assert_string_equal(ask(*state, "return type(ffi)"), "nil");
  assert_string_equal(ask_granted(state, "ffi=1", "return ffi.sizeof('int')"), "4");
}

static void a_written_file_is_whole(void **state) {
  char path[] = "/tmp/perigee-grant-XXXXXX", given[100], body[300], text[10] = {0};
  struct stat st;
  int fd = mkstemp(path);
  fchmod(fd, 0640);
  snprintf(given, sizeof given, "write=%s read=%s", path, path);
  snprintf(body, sizeof body,
           "return perigee.fs.write('%s', 'a\\0b'), #perigee.fs.read('%s'),\n"
           "(select(3, perigee.fs.write('%s/none', '')))",
           path, path, path);
  assert_string_equal(ask_granted(state, given, body), "true|3|EACCES");
  assert_int_equal(read(fd, text, sizeof text), 0); /* another file has the name now */
  close(fd);
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_mode & 07777, 0640);
  assert_int_equal(st.st_size, 3);
  unlink(path);
}

static void handles_have_a_most(void **state) {
  const char *text =
      ask_within(*state,
                 "local all = {} while true do all[#all + 1] = perigee.tcp.listen('127.0.0.1', 0) "
                 "end",
                 &(struct isolate_limits){.max_handles = 20});
  assert_non_null(strstr(text, "more than 20 sockets, servers and watchers at once"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(what_is_not_named_is_refused),
      FIXTURE_TEST(what_leads_out_is_refused),
      FIXTURE_TEST(no_link_leads_out_of_a_directory),
      FIXTURE_TEST(what_is_watched_does_not_follow_a_link_out),
      FIXTURE_TEST(what_is_named_works),
      FIXTURE_TEST(a_command_runs_as_granted),
      FIXTURE_TEST(a_redirect_must_be_granted_too),
      FIXTURE_TEST(self_is_the_subject_of_the_call),
      FIXTURE_TEST(ffi_is_for_who_was_given_it),
      FIXTURE_TEST(a_written_file_is_whole),
      FIXTURE_TEST(handles_have_a_most),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
