/* spec: threads */
#include "registry/fixture.h"

#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/wait.h>

/* What a store answered, and what it holds. */
struct log {
  int count;
  int statuses[4096];
  intptr_t args[4096];
};
static struct log answered;

static void on_done(void *arg, int status) {
  answered.statuses[answered.count] = status;
  answered.args[answered.count++] = (intptr_t)arg;
}

static int count_each(void *arg, const char *key, const void *value, size_t length) {
  ++*(int *)arg;
  return 0;
}

static int find_each(void *arg, const char *key, const void *value, size_t length) {
  char *text = arg;
  strcat(text, key);
  strcat(text, "=");
  strncat(text, value, length);
  strcat(text, ";");
  return 0;
}

struct fixture {
  uv_loop_t loop;
  char dir[64];
};

static int setup(void **state) {
  struct fixture *fx = calloc(1, sizeof *fx);
  uv_loop_init(&fx->loop);
  scratch_make(fx->dir);
  memset(&answered, 0, sizeof answered);
  log_set_level(LOG_LEVEL_ERROR + 1);
  *state = fx;
  return 0;
}

static int teardown(void **state) {
  struct fixture *fx = *state;
  close_loop(&fx->loop);
  scratch_remove(fx->dir);
  free(fx);
  return 0;
}

static struct store *open_store(struct fixture *fx) {
  struct store *s = NULL;
  struct fault f = {0};
  int rc = store_open(&fx->loop, fx->dir, &s, &f);
  if (rc)
    fail_msg("%s", f.text);
  return s;
}

static void test_keeps_over_reopen(void **state) {
  struct fixture *fx = *state;
  struct store *s = open_store(fx);
  store_put(s, "a", "2", "two", 3, on_done, NULL);
  store_put(s, "a", "1", "one", 3, on_done, NULL);
  store_put(s, "ab", "1", "other", 5, on_done, NULL);
  store_put(s, "a", "3", "three", 5, on_done, NULL);
  store_put(s, "a", "3", NULL, 0, on_done, NULL);
  store_put(s, "a", "never", NULL, 0, on_done, NULL);
  assert_int_equal(answered.count, 0); /* never from within a call */
  run_until(&fx->loop, &answered.count, 6);
  for (int i = 0; i < 6; i++)
    assert_int_equal(answered.statuses[i], 0);
  close_store(&fx->loop, s);

  s = open_store(fx);
  char text[256] = "";
  assert_int_equal(store_each(s, "a", find_each, text), 0);
  assert_string_equal(text, "1=one;2=two;");
  close_store(&fx->loop, s);
}

/* store_close right after the calls: everything is committed and answered first. */
static void test_close_drains_in_order(void **state) {
  struct fixture *fx = *state;
  struct store *s = open_store(fx);
  char key[16];
  for (intptr_t i = 0; i < 1000; i++) {
    snprintf(key, sizeof key, "%04d", (int)i);
    assert_int_equal(store_put(s, "n", key, key, 4, on_done, (void *)i), 0);
  }
  int closed = 0;
  store_close(s, fixture_closed, &closed);
  assert_int_equal(store_put(s, "n", "late", "x", 1, on_done, NULL), -ESHUTDOWN);
  run_until(&fx->loop, &closed, 1);
  assert_int_equal(answered.count, 1000);
  for (intptr_t i = 0; i < 1000; i++)
    assert_true(answered.args[i] == i && answered.statuses[i] == 0);
  s = open_store(fx);
  int count = 0;
  store_each(s, "n", count_each, &count);
  assert_int_equal(count, 1000);
  close_store(&fx->loop, s);
}

/* What queues up while one transaction syncs goes into the next: far fewer commits than changes. */
static void test_groups(void **state) {
  struct fixture *fx = *state;
  struct store *s = open_store(fx);
  char key[16];
  for (int i = 0; i < 4000; i++) {
    snprintf(key, sizeof key, "%d", i);
    store_put(s, "n", key, "v", 1, on_done, NULL);
  }
  run_until(&fx->loop, &answered.count, 4000);
  struct store_stats st;
  store_stats(s, &st);
  assert_int_equal(st.changes, 4000);
  assert_int_equal(st.queue, 0);
  assert_true(st.commits >= 1 && st.commits < 2000);
  close_store(&fx->loop, s);
}

/* A group is all or nothing, and one that cannot be written does not take the others with it. */
static void test_refused_alone(void **state) {
  struct fixture *fx = *state;
  char long_key[600];
  memset(long_key, 'k', sizeof long_key);
  long_key[599] = '\0';
  struct store *s = open_store(fx);
  assert_int_equal(store_put(s, "a", long_key, "v", 1, on_done, NULL), -ENAMETOOLONG);
  struct store_change both[] = {{"a", "x", "1", 1}, {"b", "", "2", 1}, {"c", "z", "3", 1}};
  store_apply(s, both, 3, on_done, NULL);
  store_apply(s, NULL, 0, on_done, NULL); /* nothing to write: answered in its turn */
  run_until(&fx->loop, &answered.count, 2);
  assert_int_equal(answered.statuses[0], 0);
  assert_int_equal(answered.statuses[1], 0);
  close_store(&fx->loop, s);
}

static void test_map_grows(void **state) {
  struct fixture *fx = *state;
  struct store *s = open_store(fx);
  size_t size = 1 << 20;
  char *value = malloc(size), key[16];
  memset(value, 'v', size);
  for (int i = 0; i < 24; i++) { /* 24 MiB: the map begins with 4 */
    snprintf(key, sizeof key, "%d", i);
    store_put(s, "big", key, value, size, on_done, NULL);
  }
  free(value);
  run_until(&fx->loop, &answered.count, 24);
  for (int i = 0; i < 24; i++)
    assert_int_equal(answered.statuses[i], 0);
  close_store(&fx->loop, s);
  s = open_store(fx);
  int count = 0;
  store_each(s, "big", count_each, &count);
  assert_int_equal(count, 24);
  store_put(s, "big", "more", "v", 1, on_done, NULL);
  run_until(&fx->loop, &answered.count, 25);
  assert_int_equal(answered.statuses[24], 0);
  close_store(&fx->loop, s);
}

static void test_in_memory(void **state) {
  struct fixture *fx = *state;
  struct store *s;
  assert_int_equal(store_open(&fx->loop, NULL, &s, NULL), 0);
  for (intptr_t i = 0; i < 500; i++)
    store_put(s, "a", "k", "v", 1, on_done, (void *)i);
  assert_int_equal(answered.count, 0);
  run_until(&fx->loop, &answered.count, 500);
  for (intptr_t i = 0; i < 500; i++)
    assert_true(answered.args[i] == i && answered.statuses[i] == 0);
  struct store_stats st;
  store_stats(s, &st);
  assert_int_equal(st.in_memory, 1);
  close_store(&fx->loop, s);
}

static void test_second_agent(void **state) {
  struct fixture *fx = *state;
  struct store *s = open_store(fx), *other;
  struct fault f = {0};
  assert_int_equal(store_open(&fx->loop, fx->dir, &other, &f), -EBUSY);
  assert_non_null(strstr(f.text, "another agent"));
  close_store(&fx->loop, s);
  s = open_store(fx);
  close_store(&fx->loop, s);
}

static void test_cannot_open(void **state) {
  struct fixture *fx = *state;
  struct store *s;
  struct fault f = {0};
  assert_int_equal(store_open(&fx->loop, "/proc/nowhere/data", &s, &f), -ENOENT);
  assert_non_null(strstr(f.text, "/proc/nowhere"));
  char file[128];
  snprintf(file, sizeof file, "%s/file", fx->dir);
  close(open(file, O_CREAT | O_WRONLY, 0600));
  assert_int_equal(store_open(&fx->loop, file, &s, &f), -ENOTDIR);
}

/* ---- damage ---- */

static void fill(struct fixture *fx) {
  struct store *s = open_store(fx);
  char key[16], value[200];
  memset(value, 'v', sizeof value);
  for (int i = 0; i < 2000; i++) {
    snprintf(key, sizeof key, "%d", i);
    store_put(s, "n", key, value, sizeof value, on_done, NULL);
  }
  run_until(&fx->loop, &answered.count, 2000);
  close_store(&fx->loop, s);
  answered.count = 0;
}

static size_t kept_aside(struct fixture *fx) {
  char pattern[128];
  glob_t found;
  snprintf(pattern, sizeof pattern, "%s/perigee.mdb.damaged-*", fx->dir);
  size_t count = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
  globfree(&found);
  return count;
}

static void test_damaged_is_moved_aside(void **state) {
  struct fixture *fx = *state;
  char path[128];
  snprintf(path, sizeof path, "%s/perigee.mdb", fx->dir);
  int fd = open(path, O_CREAT | O_WRONLY, 0600);
  for (int i = 0; i < 1000; i++)
    assert_int_equal(write(fd, "no database at all. ", 20), 20);
  close(fd);
  struct store *s;
  struct fault f = {0};
  assert_int_equal(store_open(&fx->loop, fx->dir, &s, &f), 0);
  assert_int_equal(f.code, -EUCLEAN);
  assert_non_null(strstr(f.text, "perigee.mdb.damaged-"));
  struct store_stats st;
  store_stats(s, &st);
  assert_int_equal(st.set_aside, 1);
  assert_int_equal(kept_aside(fx), 1);
  store_put(s, "a", "k", "v", 1, on_done, NULL);
  run_until(&fx->loop, &answered.count, 1);
  assert_int_equal(answered.statuses[0], 0);
  close_store(&fx->loop, s);
}

/* Whatever bytes are wrong: the agent does not crash or hang, and either everything is there or
 * what is not is named, or the whole file is kept aside. */
static void test_random_damage(void **state) {
  struct fixture *fx = *state;
  char path[128], copy[128];
  fill(fx);
  snprintf(path, sizeof path, "%s/perigee.mdb", fx->dir);
  snprintf(copy, sizeof copy, "%s/whole", fx->dir);
  char command[512];
  snprintf(command, sizeof command, "cp '%s' '%s'", path, copy);
  assert_int_equal(system(command), 0);
  struct stat st;
  stat(copy, &st);
  srand(7);
  size_t aside_total = 0, partial = 0;
  for (int round = 0; round < 60; round++) {
    snprintf(command, sizeof command, "cp '%s' '%s' && rm -f '%s'.damaged-*", copy, path, path);
    assert_int_equal(system(command), 0);
    int fd = open(path, O_WRONLY);
    if (round % 4 == 0) {
      assert_int_equal(ftruncate(fd, rand() % st.st_size), 0);
    } else {
      for (int i = 0; i < 64; i++) {
        unsigned char byte = (unsigned char)rand();
        off_t at = round % 4 == 1 ? rand() % 8192 : rand() % st.st_size;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
      }
    }
    close(fd);
    struct store *s;
    struct fault f = {0};
    int rc = store_open(&fx->loop, fx->dir, &s, &f);
    if (rc) { /* refused, with the file where it was */
      assert_int_not_equal(f.text[0], '\0');
      assert_int_equal(access(path, F_OK), 0);
      continue;
    }
    int count = 0;
    assert_int_equal(store_each(s, "n", count_each, &count), 0);
    struct store_stats now;
    store_stats(s, &now);
    size_t aside = kept_aside(fx);
    aside_total += aside;
    partial += now.damaged > 0;
    if (now.set_aside)
      assert_true(aside == 1 && count == 0);
    close_store(&fx->loop, s);
  }
  assert_true(aside_total > 0);
  assert_true(partial > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_keeps_over_reopen, setup, teardown),
      cmocka_unit_test_setup_teardown(test_close_drains_in_order, setup, teardown),
      cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
      cmocka_unit_test_setup_teardown(test_refused_alone, setup, teardown),
      cmocka_unit_test_setup_teardown(test_map_grows, setup, teardown),
      cmocka_unit_test_setup_teardown(test_in_memory, setup, teardown),
      cmocka_unit_test_setup_teardown(test_second_agent, setup, teardown),
      cmocka_unit_test_setup_teardown(test_cannot_open, setup, teardown),
      cmocka_unit_test_setup_teardown(test_damaged_is_moved_aside, setup, teardown),
      cmocka_unit_test_setup_teardown(test_random_damage, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
