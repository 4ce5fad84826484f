/* Compiled isolates: code with the checks of fuel.h does what it did without them, every way to go
 * on for ever ends, and the counter is out of the plugin's reach. */
#include "fixture.h"

#include "vm/isolate/fuel.h"

static const struct isolate_limits compiled = {.compiled = true};

/* What it answers, in an isolate of its own, where `...` is empty. */
static const char *ask_how(struct fixture *fx, const char *body,
                           const struct isolate_limits *limits) {
  struct buf b = {0};
  buf_format(&b, "return (function(...) %s\nend)()", body);
  const char *answer = ask_within(fx, b.data, limits);
  buf_free(&b);
  return answer;
}

static const char *ask_compiled(struct fixture *fx, const char *body) {
  return ask_how(fx, body, &compiled);
}

static const char *rewritten(const char *source) {
  static struct buf b;
  buf_clear(&b);
  fuel_rewrite(source, strlen(source), "F", &b);
  return b.data;
}

#define CHECK " F.left=F.left-1 if F.left<F.floor then F() end "

static void checks_are_where_something_may_go_on(void **state) {
  (void)state;
  static const struct {
    const char *source, *body;
  } cases[] = {
      {"x()", "x()"},
      {"while a do b() end", "while a do" CHECK " b() end"},
      {"for i=1,2 do end", "for i=1,2 do" CHECK " end"},
      {"repeat a() until b", "repeat" CHECK " a() until b"},
      {"::a:: b() goto a", "::a:: b() " CHECK "goto a"},
      {"local a = ... goto b ::b::", "local a = ... " CHECK "goto b ::b::"},
      {"function a.b:c(d, ...) e() end", "function a.b:c(d, ...)" CHECK " e() end"},
      {"local a = function() end", "local a = function()" CHECK " end"},
      {"a(function(b)return b end)", "a(function(b)" CHECK "return b end)"},
      /* not these */
      {"local goto = 1 a.goto = goto", "local goto = 1 a.goto = goto"},
      {"local a = goto b = 2", "local a = goto b = 2"},
      {"a = 'while true do' -- do\nb = [[do]] --[==[ do ]] ]==] c = \"\\\"do\"",
       "a = 'while true do' -- do\nb = [[do]] --[==[ do ]] ]==] c = \"\\\"do\""},
      /* what ends a line, a text or a name is what LuaJIT thinks it is */
      {"--\rwhile a do end", "--\rwhile a do" CHECK " end"},
      {"a='\\z\n  '; while a do end", "a='\\z\n  '; while a do" CHECK " end"},
      {"a='\\\r\n'; while a do end", "a='\\\r\n'; while a do" CHECK " end"},
      {"a=0xe+function() end", "a=0xe+function()" CHECK " end"},
      {"a=1e+f(function() end)", "a=1e+f(function()" CHECK " end)"},
      {"do\xc3\xa9 = 1", "do\xc3\xa9 = 1"},
      {"#!/usr/bin/lua while a do\nb()", "\nb()"},
      {"\xef\xbb\xbfwhile a do end", "while a do" CHECK " end"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char wanted[600];
    snprintf(wanted, sizeof wanted, "local F = ... return function(...)" CHECK "%s\nend",
             cases[i].body);
    assert_string_equal(rewritten(cases[i].source), wanted);
  }
}

/* Brackets of a level that a lexer might give up on. */
static void long_brackets_have_any_level(void **state) {
  (void)state;
  enum { LEVEL = 3000 };
  char source[2 * LEVEL + 200], equals[LEVEL + 1];
  memset(equals, '=', LEVEL);
  equals[LEVEL] = 0;
  snprintf(source, sizeof source, "a = [%s[ ]] ]%s] while a do end", equals, equals);
  assert_non_null(strstr(rewritten(source), "while a do" CHECK " end"));
  snprintf(source, sizeof source, "a = [%s[ while a do ]%s]", equals, equals);
  assert_non_null(strstr(rewritten(source), "[ while a do ]"));
}

static void lines_and_mistakes_are_those_of_the_source(void **state) {
  struct fixture *fx = *state;
  struct plugin *p = NULL;
  struct fault f = {0};
  assert_string_equal(ask_compiled(fx,
                                   "local ok, e = pcall(function()\n\nfor i = 1, 3 do\nerror('x')\n"
                                   "end end) return (e:match(':(%d+:.*)'))"),
                      "5: x");
  assert_int_equal(load(fx, "check", "\n\nreturn { kind = = }", &compiled, &p, &f), -EFAULT);
  assert_non_null(strstr(f.text, ":3: unexpected symbol near '='"));
  /* closing the function around it is a mistake of its own */
  assert_int_equal(load(fx, "check", "end, function(...)", &compiled, &p, &f), -EFAULT);
  assert_non_null(strstr(f.text, "'end'"));
}

/* The same program, compiled and not, gives the same answer. */
static void programs_do_what_they_did(void **state) {
  struct fixture *fx = *state;
  static const char *const programs[] = {
      "local s = 0 for i = 1, 10 do if i % 2 == 0 then goto continue end local x = i s = s + x "
      "::continue:: end return s",
      "local n, s = 0, '' repeat local k = n n = n + 1 s = s .. k until k >= 5 return s",
      "local function f(n) if n < 2 then return n end return f(n - 1) + f(n - 2) end return f(15)",
      "local function even(n) if n == 0 then return true end return (function(m) return even(m) "
      "end)(n - 1) end return even(50)",
      "local t = setmetatable({}, { __index = function(_, k) return k * 2 end, __call = "
      "function(_, "
      "a, ...) return a + select('#', ...) end }) return t[21], t(1, 2, 3)",
      "local o = {} for w in ('a bb ccc'):gmatch('%a+') do o[#o + 1] = #w end return "
      "table.concat(o, ',')",
      "local co = coroutine.wrap(function(a) for i = 1, 3 do a = a + coroutine.yield(a) end return "
      "-1 end) return co(1), co(2), co(3), co(4)",
      "local t = { 5, 2, 8, 1 } table.sort(t, function(a, b) return a > b end) return unpack(t)",
      "return pcall(error, { 1 }), select('#', pcall(function(...) return ... end, 1, nil, nil))",
      "return xpcall(function() error('x', 0) end, function(m) return m .. m end)",
      "local f = load('local a = ... for i = 1, 3 do a = a + i end return a, ...') return f(1)",
      "local f, m = load('for') return f, m",
      "local f = load('x = 5 return x', '=c', 't', setmetatable({}, { __index = _G })) return f(), "
      "x",
      "local goto = 3 do local x = goto end return goto",
      "::top:: local a = (a_ or 0) + 1 a_ = a if a < 5 then goto top end return a",
      "do local i = 1 ::a:: if i > 3 then goto done end i = i + 1 goto a ::done:: return i end",
      "for i = 1, 3 do for j = 1, 3 do if j == 2 then break end x_ = (x_ or 0) + i * j end end "
      "return x_",
      "return (function(...) local a, b = ... return b, a, ... end)(1, 2)",
      "local s = 0 for k, v in pairs({ a = 1, b = 2, 3 }) do s = s + v end return s, 0x10, 1e2, 5 "
      "% 3",
      "return ('%d %s'):format(3, [[a]]), #'\\z   ab', '\\x41\\65'",
      "return type(math.random()), math.random(1), math.random(5, 5), pcall(math.random, 2, 1)",
  };
  for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
    char before[4000];
    snprintf(before, sizeof before, "%s", ask_how(fx, programs[i], NULL));
    const char *after = ask_compiled(fx, programs[i]);
    if (strstr(programs[i], "pcall(math.random")) /* in other words */
      continue;
    assert_string_equal(after, before);
    assert_true(before[0] != '!');
  }
}

static void whatever_goes_on_for_ever_ends(void **state) {
  struct fixture *fx = *state;
  static const char *const loops[] = {
      "while true do end",
      "local x = 0 while true do x = x + 1 end",
      "repeat until false",
      "for i = 1, 1e15 do end",
      "for i = 1, math.huge do local x = i % 7 end",
      "local t = {} for k in function() return 1 end do t[1] = k end",
      "::a:: goto a",
      "local x = 0 ::a:: x = x + 1 local y = ... goto a",
      "do ::a:: if true then goto a end end",
      "local function f() return f() end f()",
      "local function f() f() return 1 end while true do pcall(f) end",
      "local f, g f = function() return g() end g = function() return f() end return f()",
      "local f = load('return f_()') f_ = f return f()",
      "load('while true do end')()",
      "while true do pcall(function() while true do end end) end",
      "local function f() pcall(f) pcall(f) return f() end return f()",
      "while true do xpcall(function() while true do end end, function() while true do end end) "
      "end",
      "xpcall(error, function() while true do end end)",
      "local co = coroutine.wrap(function() while true do end end) while true do pcall(co) end",
      "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
      "local co = coroutine.create(function() while true do coroutine.yield() end end) "
      "while true do coroutine.resume(co) end",
      "local t = {} for i = 1, 1000 do t[i] = i end while true do table.sort(t, function(a, b) "
      "return a > b end) end",
      "while true do ('x'):gsub('.', function() while true do end end) end",
      "return (('a'):rep(3000)):find(('a*'):rep(50) .. 'b')",
      "while true do local s = ('x'):rep(1e6) end",
      "for i = 1, 1e9 do local s = ('x'):rep(1e5):reverse():upper() end",
      "local s = 'x' while true do s = s:rep(2):sub(1, 1e6) end",
      "while true do tostring(setmetatable({}, { __tostring = function() return 'x' end })) end",
      "local n = 0 while true do local a = 0xe n = n + (a == 14 and 1 or 0) end",
      "--\r while true do end",
      "local s = '\\z \n' while true do end",
  };
  for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) {
    const char *answer = ask_compiled(fx, loops[i]);
    if (!strstr(answer, "!ETIME killed: took more than"))
      fail_msg("%s: %s", loops[i], answer);
  }
}

/* What nests ends before its steps do, with the stack or the memory. */
static void whatever_nests_for_ever_ends(void **state) {
  struct fixture *fx = *state;
  static const char *const nests[] = {
      "local t = setmetatable({}, {}) getmetatable(t).__index = function(s, k) return s[k .. 'x'] "
      "end return t.a",
      "local t = setmetatable({}, { __lt = function(a, b) return b < a end }) return t < t",
      "local function h() return xpcall(error, h) end return h()",
      "local function f() return 1 + f() end return f()",
      "local function f() return (coroutine.wrap(f)()) end return f()",
      "local function f(s) return (s:gsub('.', f)) end return f('x')",
  };
  for (size_t i = 0; i < sizeof nests / sizeof *nests; i++) {
    const char *answer = ask_compiled(fx, nests[i]);
    if (answer[0] != '!' && strcmp(answer, "false|false") != 0)
      fail_msg("%s: %s", nests[i], answer);
  }
}

static void the_counter_is_out_of_reach(void **state) {
  struct fixture *fx = *state;
  static const char *const attempts[] = {
      "local n = 0 for k, v in pairs(_G) do if type(v) == 'cdata' or type(v) == 'userdata' then n "
      "= "
      "n + 1 end end return n",
      "return debug, ffi, jit, getfenv, setfenv, newproxy, string.dump, package, require",
      "return select('#', ...), _fuel, F, fuel, host",
      "return load('return ...')()",
      "local seen = {} local function look(t, path) if seen[t] then return end seen[t] = true for "
      "k, "
      "v in pairs(t) do if type(v) == 'cdata' then error(path) elseif type(v) == 'table' then "
      "look(v, "
      "path .. tostring(k)) end end end look(_G, '') look(getmetatable('') , 's') return true",
      "return perigee.http, perigee.tcp, perigee.fs, perigee.pick, perigee.sleep, perigee.env",
  };
  static const char *const answers[] = {
      "0", "nil|nil|nil|nil|nil|nil|nil|nil|nil", NULL, "", "true", "nil|nil|nil|nil|nil|nil",
  };
  for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
    const char *answer = ask_compiled(fx, attempts[i]);
    if (answers[i])
      assert_string_equal(answer, answers[i]);
    else
      assert_null(strstr(answer, "cdata"));
  }
  /* What the trap says may name the counter, and is of no use: no chunk sees another's. */
  assert_string_equal(
      ask_compiled(fx, "local _, e = pcall(function() error_() end) return type(e)"), "string");
}

/* A turn has its steps anew, whatever became of the one before. */
static void each_turn_begins_with_all_steps(void **state) {
  struct fixture *fx = *state;
  struct plugin *p = NULL;
  struct attachment *use = NULL;
  struct findings findings = {0};
  struct fault f = {0};
  const char *source = "local n = 0 return { kind = 'check', summary = '', run = function()\n"
                       "n = n + 1 if n % 2 == 1 then while true do end end\n"
                       "local s = 0 for i = 1, 200000 do s = s + 1 end return s end }";
  assert_int_equal(load(fx, "check", source, &compiled, &p, &f), 0);
  assert_int_equal(plugin_attach(p, NULL, "test", &use, &findings), 0);
  for (int i = 0; i < 6; i++) {
    struct answer a = {0};
    assert_int_equal(attachment_call(use, "run", NULL, answer_take, &a, 0, NULL), 0);
    run_until(fx, &a.over);
    if (i % 2)
      assert_string_equal(a.text, "200000");
    else
      assert_non_null(strstr(a.text, "killed: took more than 250000 steps or 100 ms, at "));
  }
  attachment_free(use);
  plugin_free(p);
}

/* With steps for seconds, it is the time that ends it: the count is what it came to, not how long
 * that took. */
static void a_compiled_loop_sees_that_its_time_is_over(void **state) {
  struct fixture *fx = *state;
  struct plugin *p = NULL;
  struct attachment *use = NULL;
  struct findings findings = {0};
  struct fault f = {0};
  struct answer a = {0};
  const struct isolate_limits limits = {
      .compiled = true, .steps = INT32_MAX, .turn_ns = 10 * 1000 * 1000};
  const char *source = "local n = 0 return { kind = 'check', summary = '', run = function()\n"
                       "if n > 0 then return n end while true do n = n + 1 end end }";
  assert_int_equal(load(fx, "check", source, &limits, &p, &f), 0);
  assert_int_equal(plugin_attach(p, NULL, "test", &use, &findings), 0);
  assert_int_equal(attachment_call(use, "run", NULL, answer_take, &a, 0, NULL), 0);
  run_until(fx, &a.over);
  assert_non_null(strstr(a.text, "!ETIME killed: took more than"));
  a = (struct answer){0};
  assert_int_equal(attachment_call(use, "run", NULL, answer_take, &a, 0, NULL), 0);
  run_until(fx, &a.over);
  assert_in_range(strtol(a.text, NULL, 10), 1, INT32_MAX / 2);
  attachment_free(use);
  plugin_free(p);
}

/* As much as there is to unwind when the steps are over. */
static void what_catches_errors_is_not_deep(void **state) {
  struct fixture *fx = *state;
  static const char *const catching[] = {
      "local n = 0 local function f() n = n + 1 pcall(f) end f() return n",
      "local n = 0 local function f() n = n + 1 xpcall(f, error) end f() return n",
      "local n = 0 local function f() n = n + 1 coroutine.resume(coroutine.create(f)) end f() "
      "return n",
  };
  for (size_t i = 0; i < sizeof catching / sizeof *catching; i++)
    assert_string_equal(ask_compiled(fx, catching[i]), "33");
  assert_string_equal(ask_compiled(fx, "local n = 0 for i = 1, 1000 do pcall(function() n = n + 1 "
                                       "end) end return n"),
                      "1000");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(checks_are_where_something_may_go_on),
      cmocka_unit_test(long_brackets_have_any_level),
      FIXTURE_TEST(lines_and_mistakes_are_those_of_the_source),
      FIXTURE_TEST(programs_do_what_they_did),
      FIXTURE_TEST(whatever_goes_on_for_ever_ends),
      FIXTURE_TEST(whatever_nests_for_ever_ends),
      FIXTURE_TEST(the_counter_is_out_of_reach),
      FIXTURE_TEST(each_turn_begins_with_all_steps),
      FIXTURE_TEST(a_compiled_loop_sees_that_its_time_is_over),
      FIXTURE_TEST(what_catches_errors_is_not_deep),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
