/* Limits: what runs away in time or memory is ended, and nothing else is. */
#include "base/clock.h"
#include "fixture.h"

#include <lauxlib.h>
#include <signal.h>

static const struct isolate_limits tight = {
    .memory_soft = 2 << 20, .memory_hard = 4 << 20, .turn_ns = 30 * 1000 * 1000};

static void assert_killed(void **state, const char *body) {
  const char *text = ask_within(*state, body, &tight);
  if (strncmp(text, "!ETIME killed: ran for more than 30 ms without waiting", 54) != 0 &&
      strncmp(text, "!ETIME killed: ran for more than 7 ms where it cannot give way", 62) != 0)
    fail_msg("%s\nanswered: %s", body, text);
}

static void a_runaway_is_killed_wherever_it_is(void **state) {
  assert_killed(state, "while true do end");
  assert_killed(state, "local x = 0 while true do x = x + 1 end");
  assert_killed(state, "while true do pcall(function() while true do end end) end");
  assert_killed(state,
                "xpcall(function() while true do end end, function() while true do end end)");
  assert_killed(state, "while true do xpcall(error, function() while true do end end) end");
  assert_killed(state, "coroutine.wrap(function() while true do end end)()");
  assert_killed(state, "while true do coroutine.wrap(function() pcall(error) end)() end");
  assert_killed(state, "table.sort({1,2,3}, function() while true do end end)");
  assert_killed(state, "('x'):gsub('.', function() while true do end end)");
  assert_killed(
      state, "('x'):gsub('.', function() coroutine.wrap(function() while true do end end)() end)");
  assert_killed(
      state, "local t = setmetatable({}, {__index = function() while true do end end}) return t.x");
  assert_killed(state, "while true do local t = {} for i = 1, 100 do t[i] = {} end end");
  assert_killed(state, "while true do ('x'):rep(100):gsub('.', function(c) return c end) end");
  assert_killed(state, "local function f() return f() end f()");
  assert_killed(state, "while true do load('return 1')() end");
  assert_killed(state, "perigee.sleep(0) repeat until false");
}

static void the_kill_names_the_place(void **state) {
  const char *text = ask_within(*state, "local x = 1\nwhile true do\nx = x\nend", &tight);
  assert_true(strstr(text, ":3") || strstr(text, ":4"));
}

static void a_kill_ends_one_task_not_its_isolate(void **state) {
  assert_string_equal(
      ask_within(*state,
                 "local bad = perigee.task.spawn(function() while true do end end)\n"
                 "local _, _, code = bad:join()\n"
                 "perigee.sleep(0) local t = {} for i = 1, 1000 do t[i] = i end\n"
                 "return code, #t",
                 &tight),
      "ETIME|1000");
}

/* A check that runs `body`: begun, and not waited for. */
struct started {
  struct plugin *plugin;
  struct attachment *use;
  struct answer answer;
};

static void start(struct fixture *fx, const char *body, const struct isolate_limits *limits,
                  struct started *out) {
  struct buf source = {0};
  struct findings findings = {0};
  struct fault f;
  *out = (struct started){0};
  buf_format(&source, "return { kind = 'check', summary = 'a test', run = function()\n%s\nend }",
             body);
  assert_int_equal(load(fx, "check", source.data, limits, &out->plugin, &f), 0);
  buf_free(&source);
  assert_int_equal(plugin_attach(out->plugin, NULL, "test", &out->use, &findings), 0);
  assert_int_equal(attachment_call(out->use, "run", NULL, answer_take, &out->answer, 0, NULL), 0);
}

static void started_end(struct started *s) {
  attachment_free(s->use);
  plugin_free(s->plugin);
}

/* However many levels would catch it: nobody comes back to them. */
static void a_killed_task_is_not_unwound(void **state) {
  assert_string_equal(
      ask_within(*state,
                 "local unwound = 0\n"
                 "local function deep(n)\n"
                 "  if n == 0 then while true do end end\n"
                 "  pcall(deep, n - 1) unwound = unwound + 1\n"
                 "end\n"
                 "local function within() coroutine.wrap(deep)(100) unwound = unwound + 1 end\n"
                 "local a, b = perigee.task.spawn(deep, 2000), perigee.task.spawn(within)\n"
                 "local _, _, code = a:join() local _, _, other = b:join()\n"
                 "return code, other, unwound",
                 &tight),
      "ETIME|ETIME|0");
}

/* Turns that were slow in one pass of the loop: where several begin at once, one. */
static void one_slow_turn_is_a_pass(void **state) {
  struct fixture *fx = *state;
  struct started busy[4];
  struct vm_stats before, after;
  static const struct isolate_limits endless = {.turn_ns = 3600 * 1000000000LL};
  for (size_t i = 0; i < 4; i++)
    start(fx, "while true do end", &endless, &busy[i]);
  vm_stats(fx->vm, &before);
  uv_run(&fx->loop, UV_RUN_NOWAIT);
  vm_stats(fx->vm, &after);
  assert_int_equal(after.turns - before.turns, 1);
  for (size_t i = 0; i < 4; i++)
    started_end(&busy[i]);
}

static void what_calls_back_may_wait(void **state) {
  assert_string_equal(ask(*state, "return ('a-b'):gsub('%a', function(c)\n"
                                  "  perigee.sleep(0.001) return c .. c end)"),
                      "aa-bb|2");
}

static void a_runaway_file_is_killed_while_it_loads(void **state) {
  struct plugin *p;
  struct fault f;
  assert_int_equal(load(*state, "check", "while true do end", &tight, &p, &f), -ETIME);
  assert_non_null(strstr(f.text, "killed"));
}

static void waiting_is_no_running(void **state) {
  assert_string_equal(
      ask_within(*state, "for i = 1, 60 do perigee.sleep(0.001) end return 'fine'", &tight),
      "fine");
}

static int run_with_ticks(lua_State *L, void *ticks) {
  pthread_sigmask(SIG_UNBLOCK, ticks, NULL);
  return luaL_loadstring(L, "for i = 1, 10000 do end") || lua_pcall(L, 0, 0, 0) ? lua_error(L) : 0;
}

/* A loop that never runs for long may have its first tick in weeks. */
static void what_ran_before_a_turn_is_not_its_own(void **state) {
  struct fixture *fx = *state;
  struct isolate *iso;
  struct fault f = {0};
  sigset_t ticks;
  sigemptyset(&ticks);
  sigaddset(&ticks, SIGPROF);
  assert_int_equal(isolate_new(fx->vm, "one", &tight, &iso, &f), 0);
  pthread_sigmask(SIG_BLOCK, &ticks, NULL);
  for (int64_t until = clock_thread_ns() + 3 * tight.turn_ns; clock_thread_ns() < until;)
    ;
  if (isolate_enter(iso, run_with_ticks, &ticks, &f) != 0)
    fail_msg("%s", f.text);
  isolate_free(iso);
}

static const struct isolate_limits patient = {.turn_ns = 3600 * 1000000000LL};

static void a_busy_plugin_gives_way_to_the_others(void **state) {
  struct started busy[3], other;
  start(*state, "local n = 0 while true do n = n + 1 end", &patient, &busy[0]);
  start(*state, "while true do pcall(function() local t = {} t.x = t end) end", &patient, &busy[1]);
  start(*state, "for i = 1, 1000 do perigee.task.spawn(function() while true do end end) end",
        &patient, &busy[2]);
  start(*state, "for i = 1, 20 do perigee.sleep('1ms') end return 'fine'", NULL, &other);
  run_until(*state, &other.answer.over);
  assert_string_equal(other.answer.text, "fine");
  for (size_t i = 0; i < 2; i++)
    assert_false(busy[i].answer.over);
  for (size_t i = 0; i < 3; i++)
    started_end(&busy[i]);
  started_end(&other);
}

/* Nothing else of the plugin happens between two lines that do not wait, however long they take. */
static void giving_way_is_not_seen_by_the_plugin(void **state) {
  assert_string_equal(
      ask_within(
          *state,
          "local inside, seen, done = 0, 0, 0\n"
          "local function work()\n"
          "  inside = inside + 1 if inside > 1 then seen = seen + 1 end\n"
          "  local from, sum = perigee.time.monotonic(), 0\n"
          "  while perigee.time.monotonic() - from < 0.03 do sum = sum + #tostring(sum) end\n"
          "  inside = inside - 1 done = done + 1 return done, nil, sum > 0\n"
          "end\n"
          "local tasks = {} for i = 1, 5 do tasks[i] = perigee.task.spawn(work) end\n"
          "for i, task in ipairs(tasks) do\n"
          "  local n, none, more = task:join()\n"
          "  if n ~= i or none ~= nil or not more then return 'wrong', i, n end\n"
          "end\n"
          "return seen, done",
          &patient),
      "0|5");
}

/* From wherever it is: in its coroutines, where it handles an error, where it compares. */
static void a_busy_plugin_gives_way_from_wherever_it_is(void **state) {
  static const struct isolate_limits limits = {
      .turn_ns = 3600 * 1000000000LL, .memory_hard = (size_t)1 << 40, .memory_soft = 1 << 20};
  static const char *const endless[] = {
      "coroutine.wrap(function() coroutine.wrap(function() while true do end end)() end)()",
      "local co = coroutine.create(function() while true do pcall(coroutine.yield) end end)\n"
      "while true do coroutine.resume(co) end",
      "xpcall(error, function() while true do end end)",
      "table.sort({ 1, 2 }, function() while true do end end)",
      "return setmetatable({}, { __index = function() while true do end end }).x",
      "return (('a'):rep(3e4)):find(('a*'):rep(30) .. 'b')",
      "return (('a'):rep(3e4)):match(('a-'):rep(30) .. 'b')",
      "return pcall(string.gsub, ('a'):rep(3e4), ('a?'):rep(190) .. 'b', 'x')",
      "coroutine.wrap(function() for _ in (('a'):rep(3e4)):gmatch(('a*'):rep(30) .. 'b') do end "
      "end)()",
      "local t = 'x' for i = 1, 60 do t = { a = t, b = t } end return perigee.json.encode(t)",
      "local t = {} for i = 1, 60 do t = { t, t } end return perigee.json.encode(t)",
      "return perigee.json.decode('[' .. ('1,'):rep(5e6) .. '1]')",
  };
  for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
    struct started busy, other;
    start(*state, endless[i], &limits, &busy);
    start(*state, "for i = 1, 20 do perigee.sleep('1ms') end return 'fine'", NULL, &other);
    run_until(*state, &other.answer.over);
    assert_string_equal(other.answer.text, "fine");
    if (busy.answer.over)
      fail_msg("%s\nanswered: %s", endless[i], busy.answer.text);
    started_end(&busy);
    started_end(&other);
  }
}

static void a_coroutine_that_gave_way_goes_on_as_it_was(void **state) {
  assert_string_equal(
      ask_within(
          *state,
          "local function spin() local n = 0 for i = 1, 3e5 do n = n + i % 7 end return n end\n"
          "local expected, inner = spin(), nil\n"
          "local co = coroutine.create(function(a)\n"
          "  local sum = a\n"
          "  for i = 1, 40 do\n"
          "    if spin() ~= expected then return 'wrong' end\n"
          "    if i % 10 == 0 then sum = sum + coroutine.yield(sum) end\n"
          "    if i % 15 == 0 then\n"
          "      sum = sum + coroutine.wrap(function(x) return x + spin() - expected end)(1)\n"
          "    end\n"
          "    if i == 25 then perigee.sleep('1ms') end\n"
          "  end\n"
          "  return 'sum', sum\n"
          "end)\n"
          "local seen, ok, first, second = {}, coroutine.resume(co, 1)\n"
          "while coroutine.status(co) ~= 'dead' do\n"
          "  seen[#seen + 1] = first\n"
          "  ok, first, second = coroutine.resume(co, 100)\n"
          "end\n"
          "return ok, first, second, table.concat(seen, ' ')",
          &patient),
      "true|sum|403|1 102 202 303");
}

static void what_gave_way_in_c_comes_to_its_end(void **state) {
  static const char *const long_ones[][2] = {
      {"local s = ('a'):rep(2e6) .. 'b' return #s:match('^(.-)b'), s:find('(a*)()b()', 2e6 - 1)",
       "2000000|1999999|2000001|aa|2000001|2000002"},
      {"local s, n = ('ab '):rep(2e5):gsub('(a)(b)', '%2%1%1') return #s, n, s:sub(-5)",
       "800000|200000| baa "},
      {"local n = 0 for a, b in ('(x(y))'):rep(1e5):gmatch('(%b())()') do n = n + #a + b % 2 end\n"
       "return n",
       "700000"},
      {"return coroutine.wrap(function() return pcall(string.find, ('x'):rep(3e6), 'y.y') end)()",
       "true|nil"},
      {"local t = {} for i = 1, 1e5 do t[i] = { id = i, name = 'n\\n' .. i } end\n"
       "local text = perigee.json.encode(t) local back = perigee.json.decode(text)\n"
       "return #back, back[99999].name, #perigee.json.encode(back) == #text",
       "100000|n\n99999|true"},
      {"return select('#', perigee.json.decode('[' .. ('1,'):rep(3e5) .. ']')),\n"
       "  select(2, perigee.json.decode('[' .. ('1,'):rep(3e5) .. ']'))",
       "3|not JSON: expected a value at character 600002|EINVAL"},
  };
  static const struct isolate_limits limits = {
      .turn_ns = 3600 * 1000000000LL, .memory_hard = 256 << 20, .memory_soft = 64 << 20};
  for (size_t i = 0; i < sizeof long_ones / sizeof *long_ones; i++)
    assert_string_equal(ask_within(*state, long_ones[i][0], &limits), long_ones[i][1]);
}

/* What is left of a turn over the soft limit goes, in steps, and without anybody's asking. */
static void what_is_left_is_collected(void **state) {
  struct fixture *fx = *state;
  struct started s;
  struct isolate_stats stats;
  start(fx, "local t = {} for i = 1, 4e4 do t[i] = { i } end return #t",
        &(struct isolate_limits){.memory_soft = 1 << 20, .memory_hard = 64 << 20}, &s);
  run_until(fx, &s.answer.over);
  assert_string_equal(s.answer.text, "40000");
  do {
    uv_run(&fx->loop, UV_RUN_NOWAIT);
    isolate_stats(plugin_isolate(s.plugin), &stats);
  } while (stats.memory > 1 << 20 || stats.tasks > 0);
  started_end(&s);
}

static void slices_are_counted_together(void **state) {
  assert_killed(state, "local t = {} while true do t.x = t end");
  assert_string_equal(ask_within(*state,
                                 "for i = 1, 20 do local from = perigee.time.monotonic()\n"
                                 "while perigee.time.monotonic() - from < 0.005 do end\n"
                                 "perigee.sleep(0) end return 'fine'",
                                 &tight),
                      "fine");
}

/* Through C, which LuaJIT would let go on until the process has no stack. */
static void recursion_ends_before_the_stack_does(void **state) {
  static const char *const deep[] = {
      "local function f() return f() + 1 end f()",
      "local function f() return coroutine.wrap(f)() end f()",
      "local function f() return ('x'):gsub('x', f) end f()",
      "local function f() table.sort({1, 2, 3}, function() f() return false end) end f()",
      "local function f() return ('x'):gsub('x', function() return coroutine.wrap(f)() end) end "
      "f()",
      "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return tostring(t) "
      ".. 'x' end\n"
      "return tostring(t)",
  };
  for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
    const char *text = ask_within(
        *state, deep[i], &(struct isolate_limits){.memory_hard = 64 << 20, .turn_ns = 20000000000});
    if (!strstr(text, "stack overflow"))
      fail_msg("%s\nanswered: %s", deep[i], text);
  }
}

static void memory_has_a_hard_limit(void **state) {
  static const char *const hungry[] = {
      "local t = {} for i = 1, 1e9 do t[i] = {i} end",
      "local s = 'x' while true do s = s .. s end",
      "return #('x'):rep(1e9)",
      "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
      "local function f(...) return f(1, ...) end f()",
      "local t = {} for i = 1, 1e9 do t[i] = perigee.base64.encode(('x'):rep(1e5) .. i) end",
      "return table.concat({('x'):rep(6e5), ('y'):rep(6e5)})",
      "return #('x'):rep(2 ^ 20 + 1)",
  };
  for (size_t i = 0; i < sizeof hungry / sizeof *hungry; i++) {
    const char *text =
        ask_within(*state, hungry[i],
                   &(struct isolate_limits){
                       .memory_soft = 2 << 20, .memory_hard = 4 << 20, .turn_ns = 20000000000});
    if (!strstr(text, "!ENOMEM") && !strstr(text, "stack overflow") &&
        !strstr(text, "not enough memory"))
      fail_msg("%s\nanswered: %s", hungry[i], text);
  }
}

static void a_plugin_that_ran_out_goes_on_after_it_let_go(void **state) {
  assert_string_equal(ask_within(*state,
                                 "local t = perigee.task.spawn(function() local t = {} for i = 1, "
                                 "1e9 do t[i] = {} end end)\n"
                                 "local _, _, code = t:join() t = nil perigee.sleep(0)\n"
                                 "local n = {} for i = 1, 10000 do n[i] = {} end return code, #n",
                                 &(struct isolate_limits){.memory_soft = 2 << 20,
                                                          .memory_hard = 4 << 20,
                                                          .turn_ns = 20000000000}),
                      "ENOMEM|10000");
}

static void garbage_is_collected_in_time(void **state) {
  assert_string_equal(
      ask_within(*state, "for i = 1, 200 do local s = ('x'):rep(1e5) .. i end return 'fine'",
                 &(struct isolate_limits){
                     .memory_soft = 1 << 20, .memory_hard = 2 << 20, .turn_ns = 20000000000}),
      "fine");
}

static int allocate_forever(lua_State *L, void *unused) {
  lua_newtable(L);
  for (int i = 1;; i++) {
    lua_newuserdata(L, 1000);
    lua_rawseti(L, -2, i);
  }
  return 0;
}

static int nothing(lua_State *L, void *unused) {
  return 0;
}

/* What the host does in an isolate is protected as well, and has a little more memory. */
static void host_code_that_runs_out_fails_and_leaves_it_usable(void **state) {
  struct fixture *fx = *state;
  struct isolate *iso;
  struct fault f;
  assert_int_equal(isolate_new(fx->vm, "one", &tight, &iso, &f), 0);
  assert_int_equal(isolate_enter(iso, allocate_forever, NULL, &f), -ENOMEM);
  assert_int_equal(isolate_enter(iso, nothing, NULL, &f), 0);
  assert_false(isolate_dead(iso));
  isolate_free(iso);
}

static int raise_unprotected(lua_State *L, void *other) {
  lua_State *stray = other;
  lua_pushliteral(stray, "nobody protects this");
  return lua_error(stray);
}

static int make_thread(lua_State *L, void *out) {
  *(lua_State **)out = lua_newthread(L);
  lua_setfield(L, LUA_REGISTRYINDEX, "kept");
  return 0;
}

/* An error on a stack that nothing protects is LuaJIT's panic: the process would end. */
static void a_panic_stops_at_the_fence(void **state) {
  struct fixture *fx = *state;
  struct isolate *iso;
  struct fault f;
  lua_State *stray;
  assert_int_equal(isolate_new(fx->vm, "one", NULL, &iso, &f), 0);
  assert_int_equal(isolate_enter(iso, make_thread, &stray, &f), 0);
  assert_true(isolate_enter(iso, raise_unprotected, stray, &f) < 0);
  isolate_free(iso);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(a_runaway_is_killed_wherever_it_is),
      FIXTURE_TEST(the_kill_names_the_place),
      FIXTURE_TEST(a_kill_ends_one_task_not_its_isolate),
      FIXTURE_TEST(a_killed_task_is_not_unwound),
      FIXTURE_TEST(one_slow_turn_is_a_pass),
      FIXTURE_TEST(what_calls_back_may_wait),
      FIXTURE_TEST(a_runaway_file_is_killed_while_it_loads),
      FIXTURE_TEST(waiting_is_no_running),
      FIXTURE_TEST(what_ran_before_a_turn_is_not_its_own),
      FIXTURE_TEST(a_busy_plugin_gives_way_to_the_others),
      FIXTURE_TEST(giving_way_is_not_seen_by_the_plugin),
      FIXTURE_TEST(slices_are_counted_together),
      FIXTURE_TEST(a_busy_plugin_gives_way_from_wherever_it_is),
      FIXTURE_TEST(a_coroutine_that_gave_way_goes_on_as_it_was),
      FIXTURE_TEST(what_gave_way_in_c_comes_to_its_end),
      FIXTURE_TEST(what_is_left_is_collected),
      FIXTURE_TEST(recursion_ends_before_the_stack_does),
      FIXTURE_TEST(memory_has_a_hard_limit),
      FIXTURE_TEST(a_plugin_that_ran_out_goes_on_after_it_let_go),
      FIXTURE_TEST(garbage_is_collected_in_time),
      FIXTURE_TEST(host_code_that_runs_out_fails_and_leaves_it_usable),
      FIXTURE_TEST(a_panic_stops_at_the_fence),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
