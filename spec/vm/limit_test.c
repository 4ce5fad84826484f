/* Limits: what runs away in time or memory is ended, and nothing else is. */
#include "fixture.h"

static const struct isolate_limits tight = {
    .memory_soft = 2 << 20, .memory_hard = 4 << 20, .turn_ns = 30 * 1000 * 1000};

static void assert_killed(void **state, const char *body) {
  const char *text = ask_within(*state, body, &tight);
  if (strncmp(text, "!ETIME killed: ran for more than 30 ms", 38) != 0)
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
      "return table.concat({('x'):rep(2e6), ('y'):rep(2e6)})",
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
      FIXTURE_TEST(a_runaway_file_is_killed_while_it_loads),
      FIXTURE_TEST(waiting_is_no_running),
      FIXTURE_TEST(recursion_ends_before_the_stack_does),
      FIXTURE_TEST(memory_has_a_hard_limit),
      FIXTURE_TEST(a_plugin_that_ran_out_goes_on_after_it_let_go),
      FIXTURE_TEST(garbage_is_collected_in_time),
      FIXTURE_TEST(host_code_that_runs_out_fails_and_leaves_it_usable),
      FIXTURE_TEST(a_panic_stops_at_the_fence),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
