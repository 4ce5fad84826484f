/* What the machine refuses: a second writer, a full disk, no address space, no permission; and what
 * processes do to handles: fork, growth of the file under them. */
#include "catalog/fixture.h"
#include "client/perigee.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

static void a_second_writer(void **state) {
  struct catalog_writer *w = open_writer(), *second;
  int pid = 0;
  assert_int_equal(catalog_writer_open(run_dir, &second, &pid), -EBUSY);
  assert_int_equal(pid, getpid());
  assert_null(second);
  uint64_t version;
  assert_int_equal(publish_records(w, "web", 1, &version), 0); /* the first was not disturbed */
  catalog_writer_close(w);
  catalog_writer_close(open_writer());
}

/* In a process of its own with a tmpfs of 6 MiB: one step fits, two do not. */
static void fill_small_disk(void) {
  static struct catalog_endpoint e[30000];
  static char ids[30000][80];
  struct catalog_writer *w;
  struct perigee *p;
  struct perigee_service *s;
  struct perigee_endpoint found;
  uint64_t version, kept;
  CHILD_MUST(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
  CHILD_MUST(mount("tmpfs", run_dir, "tmpfs", 0, "size=6m,mode=0700") == 0);
  CHILD_MUST(catalog_writer_open(run_dir, &w, NULL) == 0);
  CHILD_MUST(publish_records(w, "web", 10, &kept) == 0);
  CHILD_MUST(perigee_open(&p, run_dir) == 0);
  CHILD_MUST(perigee_service_open(p, "web", &s) == 0);
  for (int i = 0; i < 30000; i++) {
    snprintf(ids[i], sizeof ids[i], "%070d", i);
    e[i] = (struct catalog_endpoint){.id = ids[i], .address = "10.0.0.1", .weight = 1};
  }
  struct catalog_snapshot large = {
      .service = "web", .endpoints = e, .count = 30000, .moves_version = 1};
  for (int i = 0; i < 3; i++)
    CHILD_MUST(catalog_publish(w, &large, &version) == -ENOSPC);
  struct catalog_stats stats;
  catalog_stats(w, &stats);
  CHILD_MUST(stats.failed_publishes == 3 && stats.file_bytes == 4 << 20);
  for (int i = 0; i < 20; i++)
    CHILD_MUST(pick_record(s, &found) == 0 && found.version == kept);
  /* What fits is published, over and over: resting memory is used before giving up. */
  for (int i = 0; i < 800; i++)
    CHILD_MUST(publish_records(w, "web", 100, &version) == 0);
  CHILD_MUST(pick_record(s, &found) == 0 && found.version == version);
  /* A new agent needs a file of its own, and has no room for it: the old one stays as it was. */
  catalog_writer_close(w);
  CHILD_MUST(catalog_writer_open(run_dir, &w, NULL) == -ENOSPC);
  CHILD_MUST(pick_record(s, &found) == 0 && found.version == version);
  CHILD_MUST(access(in_run_dir("catalog.new"), F_OK) != 0);
  _exit(0);
}

static void a_full_disk(void **state) {
  if (geteuid() != 0) {
    print_message("# needs root, to mount a small tmpfs\n");
    skip();
  }
  pid_t pid = fork_child();
  int status;
  if (pid == 0) {
    if (unshare(CLONE_NEWNS) < 0)
      _exit(77);
    fill_small_disk();
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    print_message("# needs a mount namespace of its own\n");
    skip();
  }
  assert_int_equal(status, 0);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* 64 MiB more than the process has now: no room to reserve 4 GiB. */
static void limit_address_space(void) {
  unsigned long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  CHILD_MUST(f && fscanf(f, "%lu", &pages) == 1);
  fclose(f);
  rlim_t limit = (rlim_t)pages * 4096 + (64 << 20);
  CHILD_MUST(setrlimit(RLIMIT_AS, &(struct rlimit){limit, limit}) == 0);
}

/* Publishes services until the file is larger than it was. */
static void make_it_grow(struct catalog_writer *w) {
  struct catalog_stats before, after;
  uint64_t version;
  char name[32];
  catalog_stats(w, &before);
  for (int i = 0;; i++) {
    snprintf(name, sizeof name, "filler-%d", i);
    CHILD_MUST(publish_records(w, name, 4000, &version) == 0);
    catalog_stats(w, &after);
    if (after.file_bytes > before.file_bytes)
      break;
  }
}

static void read_while_it_grows(bool limited) {
  struct catalog_writer *w;
  struct perigee *p;
  struct perigee_service *web, *late;
  struct perigee_endpoint e;
  uint64_t version;
  empty_run_dir();
  if (limited)
    limit_address_space();
  CHILD_MUST(catalog_writer_open(run_dir, &w, NULL) == 0); /* as limited as its readers */
  CHILD_MUST(publish_records(w, "web", 10, &version) == 0);
  CHILD_MUST(perigee_open(&p, run_dir) == 0);
  CHILD_MUST(perigee_service_open(p, "web", &web) == 0);
  CHILD_MUST(perigee_service_open(p, "late", &late) == 0);
  for (int i = 0; i < 4; i++) {
    make_it_grow(w);
    CHILD_MUST(publish_records(w, "web", 4000, &version) == 0);
    CHILD_MUST(pick_record(web, &e) == 0 && e.version == version);
    CHILD_MUST(pick_record(late, &e) == -ENOENT);
  }
  CHILD_MUST(publish_records(w, "late", 4000, &version) == 0);
  CHILD_MUST(pick_record(late, &e) == 0 && e.version == version);
  perigee_service_close(web);
  perigee_service_close(late);
  perigee_close(p);
  catalog_writer_close(w);
  _exit(0);
}

static void a_file_that_grows(void **state) {
  pid_t pid = fork_child();
  if (pid == 0)
    read_while_it_grows(false);
  await_child(pid);
}

static void no_address_space(void **state) {
  if (SANITIZED) {
    print_message("# sanitizers need the address space\n");
    skip();
  }
  pid_t pid = fork_child();
  if (pid == 0)
    read_while_it_grows(true);
  await_child(pid);
}

/* Who may write no files counts for itself alone, and lives. */
static void no_file_size(void **state) {
  struct catalog_writer *w = open_writer();
  uint64_t version;
  assert_int_equal(publish_records(w, "web", 10, &version), 0);
  pid_t pid = fork_child();
  if (pid == 0) {
    struct perigee_pick_options options = {.size = sizeof options, .flags = PERIGEE_TRACK};
    struct perigee *p;
    struct perigee_service *s;
    struct perigee_endpoint e;
    CHILD_MUST(setrlimit(RLIMIT_FSIZE, &(struct rlimit){1 << 20, 1 << 20}) == 0);
    CHILD_MUST(perigee_open(&p, run_dir) == 0);
    CHILD_MUST(perigee_service_open(p, "web", &s) == 0);
    CHILD_MUST(perigee_pick(s, &options, &e) == 0);
    CHILD_MUST(e.ticket != 0);
    CHILD_MUST(perigee_done(s, &e, PERIGEE_SUCCESS, 1000) == 0);
    perigee_service_close(s);
    perigee_close(p);
    _exit(0);
  }
  await_child(pid);
  catalog_writer_close(w);
}

/* Both go on with the handles, and not in step. */
static void a_fork(void **state) {
  enum { PICKS = 64 };
  struct catalog_writer *w = open_writer();
  struct perigee *p;
  struct perigee_service *s;
  struct perigee_endpoint e;
  uint32_t *slots = shared_memory(2 * PICKS * sizeof *slots);
  uint64_t version;
  assert_int_equal(publish_records(w, "web", 4000, &version), 0);
  assert_int_equal(perigee_open(&p, run_dir), 0);
  assert_int_equal(perigee_service_open(p, "web", &s), 0);
  assert_int_equal(pick_record(s, &e), 0);
  pid_t pid = fork_child();
  for (int i = 0; i < PICKS; i++) {
    if (pick_record(s, &e) != 0)
      abort();
    slots[(pid == 0) * PICKS + i] = e.slot;
  }
  if (pid == 0)
    _exit(0);
  await_child(pid);
  unsigned same = 0;
  for (int i = 0; i < PICKS; i++)
    same += slots[i] == slots[PICKS + i];
  assert_true(same < PICKS); /* each draws for itself */
  perigee_service_close(s);
  perigee_close(p);
  catalog_writer_close(w);
  munmap(slots, 2 * PICKS * sizeof *slots);
}

static void nothing_there(void **state) {
  struct perigee *p;
  empty_run_dir();
  assert_int_equal(perigee_open(&p, run_dir), -ENOENT);
  assert_null(p);
  assert_int_equal(perigee_open(&p, "/nonexistent"), -ENOENT);
}

static void what_belongs_to_others(void **state) {
  struct perigee *p;
  struct catalog_writer *w;
  if (geteuid() != 0) {
    print_message("# needs root, to give a file away\n");
    skip();
  }
  catalog_writer_close(open_writer());
  assert_int_equal(chown(in_run_dir("catalog"), 12345, 12345), 0);
  assert_int_equal(perigee_open(&p, run_dir), -EPERM);
  assert_int_equal(catalog_writer_open(run_dir, &w, NULL), -EPERM);
  empty_run_dir();
  assert_int_equal(symlink("/etc/passwd", in_run_dir("catalog")), 0);
  assert_int_equal(perigee_open(&p, run_dir), -EPERM);
  assert_int_equal(catalog_writer_open(run_dir, &w, NULL), -EPERM);
  empty_run_dir();
  pid_t pid = fork_child();
  if (pid == 0) {
    CHILD_MUST(setuid(12345) == 0);
    CHILD_MUST(catalog_writer_open(run_dir, &w, NULL) == -EACCES);
    CHILD_MUST(catalog_writer_open("/proc/perigee", &w, NULL) < 0);
    _exit(0);
  }
  await_child(pid);
}

/* 0644 for root's, 0600 else; what a umask says does not matter. */
static void file_modes(void **state) {
  struct stat st;
  mode_t old = umask(0077);
  catalog_writer_close(open_writer());
  umask(old);
  assert_int_equal(stat(in_run_dir("catalog"), &st), 0);
  assert_int_equal(st.st_mode & 0777, geteuid() == 0 ? 0644 : 0600);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_there),
      cmocka_unit_test(a_second_writer),
      cmocka_unit_test(a_full_disk),
      cmocka_unit_test(a_file_that_grows),
      cmocka_unit_test(no_address_space),
      cmocka_unit_test(a_fork),
      cmocka_unit_test(no_file_size),
      cmocka_unit_test(file_modes),
      cmocka_unit_test(what_belongs_to_others),
  };
  return cmocka_run_group_tests(tests, make_run_dir, remove_run_dir);
}
