/* The files of secrets: noted wherever options name one, and seen to change however that is done.
 */
#include "vm/plugin/secrets.h"

#include "base/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/perigee-secrets-XXXXXX", path[200], beside[200];

static void write_text(const char *to, const char *text) {
  FILE *f = fopen(to, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

static struct value *text_of(const char *text) {
  return value_text(text, strlen(text));
}

/* { nested = { { token = { file = name } } }, other = "x" }, as written in a file of the directory.
 */
static struct value *options_with(const char *name) {
  struct value *all = value_table(), *list = value_table(), *one = value_table(),
               *secret = value_table();
  char written[200];
  snprintf(written, sizeof written, "%s/perigee.lua", directory);
  value_place(secret, written, 1);
  value_set(secret, "file", text_of(name));
  value_set(one, "token", secret);
  value_append(list, one);
  value_set(all, "nested", list);
  value_set(all, "other", text_of("x"));
  return all;
}

static struct secrets *note(const char *name) {
  struct secrets *s;
  struct value *options = options_with(name);
  assert_int_equal(secrets_note(options, &s), 0);
  value_unref(options);
  return s;
}

static void what_happens_to_a_file_is_seen(void **state) {
  for (int way = 0; way < 5; way++) {
    write_text(path, "first");
    struct secrets *s = note(way % 2 ? "token" : path); /* a relative name is beside the options' */
    assert_false(secrets_changed(s));
    if (way == 0) {
      write_text(path, "longer than the first");
    } else if (way == 1) {
      write_text(beside, "other");
      assert_int_equal(rename(beside, path), 0);
    } else if (way == 2) {
      unlink(path);
    } else if (way == 3) { /* as mounted secrets are: a link that is turned round */
      secrets_free(s);
      write_text(beside, "first");
      unlink(path);
      assert_int_equal(symlink("token.new", path), 0);
      s = note("token");
      assert_false(secrets_changed(s));
      unlink(path);
      assert_int_equal(symlink("/dev/null", path), 0);
    } else {
      unlink(path);
      secrets_free(s);
      s = note("token"); /* not there yet */
      assert_false(secrets_changed(s));
      write_text(path, "first");
    }
    assert_true(secrets_changed(s));
    secrets_free(s);
    unlink(path);
  }
}

static void options_without_any_cost_nothing(void **state) {
  struct value *options = value_table(), *inside = value_table();
  struct secrets *s;
  value_set(inside, "file", text_of("x"));
  value_set(inside, "and", text_of("y"));
  value_set(options, "no_secret", inside);
  assert_int_equal(secrets_note(options, &s), 0);
  assert_null(s);
  assert_int_equal(secrets_note(NULL, &s), 0);
  assert_null(s);
  assert_false(secrets_changed(NULL));
  value_unref(options);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_happens_to_a_file_is_seen),
      cmocka_unit_test(options_without_any_cost_nothing),
  };
  if (!mkdtemp(directory))
    return 1;
  snprintf(path, sizeof path, "%s/token", directory);
  snprintf(beside, sizeof beside, "%s/token.new", directory);
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(beside);
  rmdir(directory);
  return failed;
}
