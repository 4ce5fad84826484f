/* The tree: what was put in comes out; references; places; JSON; findings in order. */
#include "base/buf.h"
#include "base/findings.h"
#include "base/value.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct value *text(const char *t) {
  return value_text(t, strlen(t));
}

static void table_keeps_order_and_replaces(void **state) {
  struct value *t = value_table();
  const char *key;
  assert_int_equal(value_set(t, "b", value_number(1)), 0);
  assert_int_equal(value_set(t, "a", value_number(2)), 0);
  assert_int_equal(value_set(t, "b", text("new")), 0);
  for (int i = 0; i < 10; i++)
    assert_int_equal(value_append(t, value_number(i)), 0);
  assert_int_equal(value_fields(t), 2);
  assert_string_equal(value_as_text(value_field(t, 0, &key), ""), "new");
  assert_string_equal(key, "b");
  assert_int_equal(value_length(t), 10);
  assert_true(value_as_number(value_at(t, 9), -1) == 9);
  assert_null(value_at(t, 10));
  assert_null(value_get(t, "c"));
  assert_null(value_field(t, 2, &key));
  value_unref(t);
}

static void large_tables_find_their_fields(void **state) {
  struct value *t = value_table();
  char key[20];
  for (int i = 0; i < 5000; i++) {
    snprintf(key, sizeof key, "key-%d", i);
    assert_int_equal(value_set(t, key, value_number(i)), 0);
  }
  for (int i = 0; i < 5000; i += 2) {
    snprintf(key, sizeof key, "key-%d", i);
    assert_int_equal(value_set(t, key, value_number(-i)), 0);
  }
  assert_int_equal(value_fields(t), 5000);
  for (int i = 0; i < 5000; i++) {
    snprintf(key, sizeof key, "key-%d", i);
    assert_true(value_as_number(value_get(t, key), 0.5) == (i % 2 ? i : -i));
  }
  assert_null(value_get(t, "key-5000"));
  value_unref(t);
}

static void misuse_is_an_error_and_leaks_nothing(void **state) {
  struct value *n = value_number(1);
  assert_int_equal(value_set(n, "a", value_number(2)), -EINVAL);
  assert_int_equal(value_append(n, value_number(2)), -EINVAL);
  assert_int_equal(value_set(NULL, "a", value_number(2)), -ENOMEM);
  struct value *t = value_table();
  assert_int_equal(value_append(t, NULL), -ENOMEM);
  value_unref(t);
  assert_int_equal(value_kind(NULL), VALUE_NIL);
  assert_string_equal(value_as_text(n, "other"), "other");
  value_unref(n);
}

static void equality_ignores_order_and_places(void **state) {
  struct value *a = value_table(), *b = value_table();
  value_set(a, "x", value_number(1));
  value_set(a, "y", value_boolean(true));
  value_set(b, "y", value_boolean(true));
  value_set(b, "x", value_number(1));
  value_place(b, "f", 3);
  assert_true(value_equal(a, b));
  value_append(b, value_nil());
  assert_false(value_equal(a, b));
  assert_false(value_equal(a, NULL));
  assert_true(value_equal(NULL, NULL));
  value_unref(a);
  value_unref(b);
}

static void places(void **state) {
  char file[] = "a.lua";
  struct value *a = value_number(1), *b = value_number(2);
  value_place(a, file, 7);
  value_place(b, "a.lua", 8);
  file[0] = 'x';
  assert_string_equal(value_file(a), "a.lua");
  assert_ptr_equal(value_file(a), value_file(b));
  assert_int_equal(value_line(a), 7);
  assert_string_equal(value_file(NULL), "");
  value_unref(a);
  value_unref(b);
}

static void json(void **state) {
  struct value *t = value_table(), *list = value_table();
  value_append(list, value_number(1.5));
  value_append(list, value_text("a\0\"", 3));
  value_append(list, value_nil());
  value_append(list, value_secret("x", 1));
  value_append(list, value_table());
  value_set(t, "list", list);
  value_set(t, "yes", value_boolean(true));
  struct buf out = {0};
  value_to_json(t, &out);
  assert_string_equal(out.data,
                      "{\"list\":[1.5,\"a\\u0000\\\"\",null,\"(secret)\",{}],\"yes\":true}");
  buf_free(&out);
  value_unref(t);
}

static void references(void **state) {
  struct value *t = value_table(), *inner = text("kept");
  value_set(t, "a", value_ref(inner));
  value_unref(t);
  assert_string_equal(value_as_text(inner, ""), "kept");
  value_unref(inner);
}

static void findings_sorted_by_file_and_line(void **state) {
  static const struct {
    const char *file, *path;
    int line;
  } added[] = {{"z", "1", 9}, {"a", "2", 5}, {"z", "3", 2}, {"a", "4", 5}, {"", "5", 0}};
  struct findings all = {0};
  struct buf out = {0};
  for (size_t i = 0; i < 5; i++) {
    struct value *where = value_nil();
    value_place(where, added[i].file, added[i].line);
    findings_add(&all, where, added[i].path, "text %zu", i);
    value_unref(where);
  }
  findings_sort(&all);
  findings_print(&all, &out);
  assert_string_equal(out.data, "z:2: 3: text 2\nz:9: 1: text 0\na:5: 2: text 1\n"
                                "a:5: 4: text 3\n5: text 4\n");
  buf_free(&out);
  findings_free(&all);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(table_keeps_order_and_replaces),
      cmocka_unit_test(large_tables_find_their_fields),
      cmocka_unit_test(misuse_is_an_error_and_leaks_nothing),
      cmocka_unit_test(equality_ignores_order_and_places),
      cmocka_unit_test(places),
      cmocka_unit_test(json),
      cmocka_unit_test(references),
      cmocka_unit_test(findings_sorted_by_file_and_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
