/* Isolates: the sandbox's walls, and that nothing stays behind when one ends. */
#include "fixture.h"

#include <fcntl.h>

static void only_the_safe_parts_are_there(void **state) {
  assert_string_equal(
      ask(*state, "local there = {} for name in pairs(_G) do there[#there + 1] = name end\n"
                  "table.sort(there) return table.concat(there, ' ')"),
      "_G _VERSION assert coroutine error getmetatable ipairs load loadstring math "
      "next pairs pcall "
      "perigee rawequal rawget rawset require select setmetatable string table tonumber "
      "tostring type unpack "
      "xpcall");
  assert_string_equal(
      ask(*state, "return string.dump, math.randomseed, os, io, debug, ffi, jit, package"),
      "nil|nil|nil|nil|nil|nil|nil|nil");
  assert_string_equal(ask(*state, "return getmetatable('').__index == string, string.dump"),
                      "true|nil");
}

static void bytecode_is_refused(void **state) {
  struct plugin *p;
  struct fault f;
  assert_int_equal(load(*state, "check", "\033LJ\002 and so on", NULL, &p, &f), -EINVAL);
  assert_non_null(strstr(f.text, "bytecode is refused"));
  assert_string_equal(ask(*state, "local f, why = load('\\27LJ\\2 and so on') return f, why"),
                      "nil|attempt to load chunk with wrong mode");
}

static void loading_text_has_a_most(void **state) {
  assert_string_equal(
      ask(*state, "local f, why, code = load((' '):rep(2 ^ 17 + 1)) return f, code"), "nil|E2BIG");
  assert_string_equal(
      ask(*state, "return load('local a = ... return a + x', 'c', 't', {x = 2})(1)"), "3");
}

static void host_objects_hide_their_metatables(void **state) {
  assert_string_equal(ask(*state, "local t = perigee.task.spawn(perigee.sleep, 0)\n"
                                  "return getmetatable(t), pcall(setmetatable, t, {})"),
                      "task|false|bad argument #1 to '?' (table expected, got userdata)");
}

static void chance_and_time_are_the_hosts(void **state) {
  assert_string_equal(
      ask(*state, "for i = 1, 1000 do local n = math.random(3) assert(n == 1 or n == 2 or n == 3)\n"
                  "local m = math.random(-1, 1) assert(m >= -1 and m <= 1 and m % 1 == 0)\n"
                  "local u = math.random() assert(u >= 0 and u < 1) end\n"
                  "return ctx.now() == perigee.time.now() or ctx.now() - perigee.time.now() < 1"),
      "true");
}

static void entering_again_and_raising_are_plain_results(void **state) {
  struct fixture *fx = *state;
  struct fault f = {0};
  struct plugin *p;
  assert_int_equal(load(fx, "check",
                        "local function deep() error('broken') end\n"
                        "local function shallow() deep() end\n\nshallow()",
                        NULL, &p, &f),
                   -EFAULT);
  assert_non_null(strstr(f.text, ":1: broken (called from "));
  assert_non_null(strstr(f.text, ":4)"));
  assert_int_equal(load(fx, "check", "return {\n\n  kind = = }", NULL, &p, &f), -EFAULT);
  assert_non_null(strstr(f.text, ":3: unexpected symbol"));
}

/* Descriptors of this process, to see a socket that stays. */
static int descriptors(void) {
  int count = 0;
  for (int fd = 0; fd < 1024; fd++)
    count += fcntl(fd, F_GETFD) != -1;
  return count;
}

static void count_handle(uv_handle_t *handle, void *count) {
  (void)handle;
  ++*(int *)count;
}

static int loop_handles(struct fixture *fx) {
  int count = 0;
  uv_walk(&fx->loop, count_handle, &count);
  return count;
}

/* Busy in every way: children, a deadline, coroutines, a socket and its server, a waiting read, a
 * timer, an own set of garbage; ended while all of it is under way. */
static const char busy[] =
    "return { kind = 'check', summary = 's', run = function(_, ctx)\n"
    "  local server = perigee.tcp.listen('127.0.0.1', 0)\n"
    "  ctx.state.keep = { server, perigee.json.decode('{\"a\":[1,2,3]}') }\n"
    "  perigee.task.spawn(function() perigee.sleep(600) end)\n"
    "  perigee.task.spawn(function() coroutine.wrap(function() perigee.sleep(600) end)() end)\n"
    "  perigee.task.spawn(function() perigee.task.deadline(600, perigee.sleep, 600) end)\n"
    "  perigee.task.spawn(function() server:accept() end)\n"
    "  perigee.sleep(0)\n"
    "  ctx.state.ready = true\n"
    "  perigee.sleep(600)\n"
    "end }";

static void a_thousand_rounds_leave_nothing(void **state) {
  struct fixture *fx = *state;
  struct vm_stats stats;
  int handles = 0, open_files = 0;
  for (int round = 0; round < 1000; round++) {
    struct plugin *p;
    struct attachment *use;
    struct findings findings = {0};
    struct fault f;
    struct answer a = {0};
    if (load(fx, "check", busy, NULL, &p, &f) != 0)
      fail_msg("%s", f.text);
    assert_int_equal(plugin_attach(p, NULL, "x", &use, &findings), 0);
    assert_int_equal(attachment_call(use, "run", NULL, answer_take, &a, 600000000000, NULL), 0);
    vm_stats(fx->vm, &stats);
    for (int turn = 0; stats.tasks < 6 && !a.over; turn++) {
      uv_run(&fx->loop, UV_RUN_NOWAIT);
      vm_stats(fx->vm, &stats);
    }
    if (a.over)
      fail_msg("%s", a.text);
    if (round % 3 != 0) { /* ended before it got far, or when it waits for everything */
      for (int turn = 0; turn < 4; turn++)
        uv_run(&fx->loop, UV_RUN_NOWAIT);
    }
    attachment_free(use);
    plugin_free(p);
    vm_stats(fx->vm, &stats);
    assert_int_equal(stats.isolates, 0);
    assert_int_equal(stats.memory, 0);
    assert_int_equal(stats.tasks, 0);
    assert_int_equal(stats.handles, 0);
    for (int turn = 0; turn < 5; turn++)
      uv_run(&fx->loop, UV_RUN_NOWAIT); /* the close callbacks */
    if (round == 0) {
      handles = loop_handles(fx);
      open_files = descriptors();
    }
    assert_int_equal(loop_handles(fx), handles);
    assert_int_equal(descriptors(), open_files);
    assert_int_equal(io_open(fx->io), 0);
  }
}

static void an_isolate_with_nothing_in_it_is_small(void **state) {
  struct fixture *fx = *state;
  struct isolate *iso;
  struct isolate_stats stats;
  struct fault f;
  assert_int_equal(isolate_new(fx->vm, "one", NULL, &iso, &f), 0);
  isolate_stats(iso, &stats);
  assert_in_range(stats.memory, 1, 256 * 1024);
  isolate_free(iso);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(only_the_safe_parts_are_there),
      FIXTURE_TEST(bytecode_is_refused),
      FIXTURE_TEST(loading_text_has_a_most),
      FIXTURE_TEST(host_objects_hide_their_metatables),
      FIXTURE_TEST(chance_and_time_are_the_hosts),
      FIXTURE_TEST(entering_again_and_raising_are_plain_results),
      FIXTURE_TEST(a_thousand_rounds_leave_nothing),
      FIXTURE_TEST(an_isolate_with_nothing_in_it_is_small),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
