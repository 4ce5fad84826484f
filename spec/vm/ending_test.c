/* The heap of an isolate that has ended: freed beside the loop. */
#include "fixture.h"

static struct plugin *full_plugin(struct fixture *fx) {
  const struct isolate_limits limits = {.memory_hard = 64u << 20,
                                        .turn_ns = 60 * 1000 * 1000 * 1000LL};
  struct fault f = {0};
  struct plugin *p = NULL;
  if (load(fx, "check",
           "local t = {} for i = 1, 3e5 do t[i] = { tostring(i) } end\n"
           "return { kind = 'check', summary = 'a test', run = function() return #t end }",
           &limits, &p, &f) != 0)
    fail_msg("%s", f.text);
  return p;
}

/* Its memory is in no account any more, and is given back whoever ends first: what is left is the
 * leak checker's to find. */
static void its_heap_is_freed(void **state) {
  struct fixture *fx = *state;
  struct vm_stats stats;
  struct plugin *first = full_plugin(fx), *second = full_plugin(fx);
  vm_stats(fx->vm, &stats);
  assert_true(stats.memory > 20u << 20);
  plugin_free(first);
  plugin_free(second);
  vm_stats(fx->vm, &stats);
  assert_int_equal(stats.isolates, 0);
  assert_int_equal(stats.memory, 0);
  plugin_free(full_plugin(fx));
}

/* What udata hold is the loop's, and given back before. */
static void what_it_holds_is_given_back(void **state) {
  struct fixture *fx = *state;
  struct answer a = {0};
  struct fault f = {0};
  struct findings findings = {0};
  struct attachment *use;
  struct plugin *p = NULL;
  const struct isolate_limits limits = {.memory_hard = 64u << 20};
  const char *source = "local kept, t = {}, {}\n"
                       "for i = 1, 1e5 do t[i] = { tostring(i) } end\n"
                       "return { kind = 'check', summary = 'a test', run = function()\n"
                       "  for i = 1, 1000 do kept[i] = perigee.task.spawn(function() end) end\n"
                       "  return #t end }";
  if (load(fx, "check", source, &limits, &p, &f) != 0)
    fail_msg("%s", f.text);
  assert_int_equal(plugin_attach(p, NULL, "test", &use, &findings), 0);
  assert_int_equal(attachment_call(use, "run", NULL, answer_take, &a, 0, NULL), 0);
  run_until(fx, &a.over);
  assert_string_equal(a.text, "100000");
  attachment_free(use);
  plugin_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(its_heap_is_freed),
      FIXTURE_TEST(what_it_holds_is_given_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
