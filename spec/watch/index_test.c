/* index and table against a plain list, with random additions, finds and removals. */
#include "watch/table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { KEYS = 3000 };

struct item {
  char key[24];
  int there;
};

static const char *key_of(const void *item) {
  return ((const struct item *)item)->key;
}

static struct item *make_items(void) {
  struct item *items = calloc(KEYS, sizeof *items);
  for (int i = 0; i < KEYS; i++)
    snprintf(items[i].key, sizeof items[i].key, "key-%d", i);
  return items;
}

static void test_against_a_list(void **state) {
  struct table t = {.key = key_of};
  struct item *items = make_items();
  uint32_t count = 0;
  srand(11);
  for (int step = 0; step < 200000; step++) {
    /* Waves, so that it fills and empties: gaps are closed at all fillings. */
    struct item *it = &items[rand() % KEYS];
    int add = rand() % 100 < (step / 20000 % 2 ? 20 : 80);
    assert_true((table_find(&t, it->key) == it) == it->there);
    if (add) {
      assert_int_equal(table_add(&t, it), it->there ? -EEXIST : 0);
      count += !it->there;
      it->there = 1;
    } else {
      table_remove(&t, it);
      count -= it->there;
      it->there = 0;
    }
    assert_int_equal(t.count, count);
  }
  for (int i = 0; i < KEYS; i++)
    assert_true((table_find(&t, items[i].key) != NULL) == items[i].there);
  for (uint32_t i = 0; i < t.count; i++)
    assert_true(((struct item *)t.items[i])->there);
  table_free(&t);
  free(items);
}

static void test_remove_of_another_with_the_same_key(void **state) {
  struct table t = {.key = key_of};
  struct item a = {.key = "same"}, b = {.key = "same"};
  assert_int_equal(table_add(&t, &a), 0);
  table_remove(&t, &b);
  assert_ptr_equal(table_find(&t, "same"), &a);
  table_remove(&t, &a);
  assert_null(table_find(&t, "same"));
  assert_null(table_find(&t, ""));
  table_free(&t);
}

static void test_reserved_additions_move_nothing(void **state) {
  struct table t = {.key = key_of};
  struct item *items = make_items();
  assert_int_equal(table_reserve(&t, KEYS), 0);
  void **where = t.items;
  for (int i = 0; i < KEYS; i++)
    assert_int_equal(table_add(&t, &items[i]), 0);
  assert_ptr_equal(t.items, where);
  assert_true((uint64_t)(t.index.mask + 1) * 3 / 4 >= KEYS);
  table_free(&t);
  free(items);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_a_list),
      cmocka_unit_test(test_remove_of_another_with_the_same_key),
      cmocka_unit_test(test_reserved_additions_move_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
