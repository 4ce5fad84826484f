/* spec: serial
 * A full disk: a tmpfs of 1 MiB in a mount namespace of the program's own. Needs root. */
#include "registry/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

struct fixture {
  uv_loop_t loop;
  char dir[64];
  struct store *store;
  struct embedded *e;
  struct answers answers;
};

static void start(struct fixture *fx) {
  struct fault f = {0};
  if (store_open(&fx->loop, fx->dir, &fx->store, &f) != 0)
    fail_msg("%s", f.text);
  assert_int_equal(f.code, 0);
  assert_int_equal(embedded_new(&fx->loop, fx->store, &(struct embedded_events){0}, NULL, &fx->e),
                   0);
  assert_int_equal(embedded_restore(fx->e), 0);
}

static void stop(struct fixture *fx) {
  embedded_free(fx->e);
  close_store(&fx->loop, fx->store);
}

static int do_register(struct fixture *fx, int i) {
  char id[32];
  snprintf(id, sizeof id, "web-%04d", i);
  struct registration *r = make("web", id, 0, NULL, 0);
  int before = fx->answers.count;
  assert_int_equal(embedded_register(fx->e, r, on_answer, &fx->answers), 0);
  registration_unref(r);
  run_until(&fx->loop, &fx->answers.count, before + 1);
  return fx->answers.status;
}

/* Fills what is free, to the last page. */
static void fill(const char *path) {
  static char page[4096];
  int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  while (write(fd, page, sizeof page) > 0)
    continue;
  assert_int_equal(errno, ENOSPC);
  close(fd);
}

static void on_full_disk(struct fixture *fx) {
  char ballast[128];
  snprintf(ballast, sizeof ballast, "%s/ballast", fx->dir);
  start(fx);
  int held = 0;
  for (; held < 50; held++)
    assert_int_equal(do_register(fx, held), 0);
  fill(ballast);

  /* Pages that the file has already may take some more; then it is refused, for good. */
  int rc, tried = held;
  while ((rc = do_register(fx, tried)) == 0 && tried < 3000)
    tried++;
  assert_int_equal(rc, -ENOSPC);
  assert_non_null(strstr(fx->answers.message, "not durable"));
  int kept = tried;
  for (int i = 0; i < 20; i++)
    assert_true(do_register(fx, kept + i) != 0);
  assert_int_equal(embedded_count(fx->e), kept); /* not half kept: not here, either */

  /* Many at once: each gets its own answer. */
  int before = fx->answers.count;
  for (int i = 0; i < 100; i++) {
    char id[32];
    snprintf(id, sizeof id, "many-%04d", i);
    struct registration *r = make("web", id, 600000, NULL, 0);
    embedded_register(fx->e, r, on_answer, &fx->answers);
    registration_unref(r);
  }
  run_until(&fx->loop, &fx->answers.count, before + 100);
  assert_true(fx->answers.status < 0);
  struct store_stats st;
  store_stats(fx->store, &st);
  assert_true(st.failures > 0);
  size_t now = embedded_count(fx->e); /* a few may have found a page */
  assert_true(now < (size_t)kept + 100);

  /* Nothing of what was there before is lost. */
  stop(fx);
  start(fx);
  assert_int_equal(embedded_count(fx->e), now);
  assert_non_null(embedded_find(fx->e, "web-0000"));

  /* Space again: works again, without a restart. */
  assert_true(do_register(fx, kept) != 0);
  assert_int_equal(unlink(ballast), 0);
  assert_int_equal(do_register(fx, kept), 0);
  stop(fx);
  start(fx);
  assert_int_equal(embedded_count(fx->e), now + 1);
  stop(fx);
}

static void on_full_disk_from_the_start(struct fixture *fx) {
  char ballast[128];
  struct fault f = {0};
  snprintf(ballast, sizeof ballast, "%s/ballast", fx->dir);
  fill(ballast);
  assert_int_equal(store_open(&fx->loop, fx->dir, &fx->store, &f), -ENOSPC);
  assert_non_null(strstr(f.text, fx->dir));
  assert_int_equal(unlink(ballast), 0);
  start(fx); /* what the failure left behind does not stand in the way */
  assert_int_equal(do_register(fx, 1), 0);
  stop(fx);
}

/* A mount namespace of the process's own: the whole program moves into it, once, before any test.
 */
static bool has_namespace;

static int enter_namespace(void **state) {
  log_set_level(LOG_LEVEL_ERROR + 1);
  has_namespace = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                  mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
  return 0;
}

static void in_small_tmpfs(void (*body)(struct fixture *fx)) {
  if (!has_namespace) {
    print_message("skipped: a tmpfs in a mount namespace of its own needs root\n");
    skip();
  }
  struct fixture *fx = calloc(1, sizeof *fx);
  scratch_make(fx->dir);
  assert_int_equal(mount("tmpfs", fx->dir, "tmpfs", 0, "size=1m"), 0);
  uv_loop_init(&fx->loop);
  body(fx);
  close_loop(&fx->loop);
  assert_int_equal(umount(fx->dir), 0); /* and no descriptor was left open in it */
  scratch_remove(fx->dir);
  free(fx);
}

static void test_disk_fills_up(void **state) {
  in_small_tmpfs(on_full_disk);
}

static void test_disk_is_full_at_start(void **state) {
  in_small_tmpfs(on_full_disk_from_the_start);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_disk_fills_up),
      cmocka_unit_test(test_disk_is_full_at_start),
  };
  return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
