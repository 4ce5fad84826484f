/* Files: reading, stating, listing, watching. */
#include "io/fixture.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "io/file.h"
#include "io/file_watch.h"

static char directory[64];

static const char *path_of(const char *name) {
  static char path[4][160];
  static unsigned turn;
  char *p = path[turn++ % 4];
  snprintf(p, sizeof path[0], "%s/%s", directory, name);
  return p;
}

static void put(const char *name, const char *text) {
  FILE *file = fopen(path_of(name), "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

struct outcome {
  bool done;
  int status;
  size_t length, count;
  char text[256], type[16], names[256];
  uint64_t size;
};

static void note(void *arg, const struct file_result *r) {
  struct outcome *o = arg;
  o->done = true;
  o->status = r->status;
  if (r->status < 0)
    return;
  o->length = r->length;
  o->size = r->size;
  o->count = r->count;
  if (r->data)
    snprintf(o->text, sizeof o->text, "%s", r->data);
  if (r->type)
    snprintf(o->type, sizeof o->type, "%s", r->type);
  for (size_t i = 0; i < r->count; i++)
    snprintf(o->names + strlen(o->names), sizeof o->names - strlen(o->names), "%s:%s ",
             r->entries[i].name, r->entries[i].type);
}

static struct outcome read_file(struct fixture *fx, const char *path, size_t limit) {
  struct outcome o = {0};
  struct file_job *job;
  assert_int_equal(file_read(fx->io, path, 0, limit, note, &o, &job), 0);
  run_until(fx, &o.done);
  return o;
}

static void reads(void **state) {
  put("a", "text");
  struct outcome o = read_file(*state, path_of("a"), 0);
  assert_int_equal(o.status, 0);
  assert_string_equal(o.text, "text");
  assert_int_equal(read_file(*state, path_of("a"), 4).status, 0);
  assert_int_equal(read_file(*state, path_of("a"), 3).status, -EFBIG);
  assert_int_equal(read_file(*state, path_of("none"), 0).status, -ENOENT);
  assert_int_equal(read_file(*state, directory, 0).status, -EISDIR);
  assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
  assert_int_equal(read_file(*state, path_of("fifo"), 0).status, -EINVAL); /* and does not hang */
  assert_true(read_file(*state, "/proc/self/status", 0).length > 100);     /* whose size says 0 */
}

static void states_and_lists(void **state) {
  struct fixture *fx = *state;
  struct outcome o = {0}, l = {0}, none = {0};
  struct file_job *job;
  assert_int_equal(mkdir(path_of("d"), 0700), 0);
  put("d/two", "");
  put("d/one", "1");
  assert_int_equal(mkdir(path_of("d/sub"), 0700), 0);
  assert_int_equal(file_stat(fx->io, path_of("d/one"), 0, note, &o, &job), 0);
  assert_int_equal(file_list(fx->io, path_of("d"), 0, note, &l, &job), 0);
  assert_int_equal(file_list(fx->io, path_of("nowhere"), 0, note, &none, &job), 0);
  run_until(fx, &o.done);
  run_until(fx, &l.done);
  run_until(fx, &none.done);
  assert_string_equal(o.type, "file");
  assert_int_equal(o.size, 1);
  assert_string_equal(l.names, "one:file sub:directory two:file ");
  assert_int_equal(none.status, -ENOENT);
}

/* Below DIRECTORY/`top`, and not out of it. */
static int read_below(struct fixture *fx, const char *top, const char *name, struct outcome *o) {
  struct file_job *job;
  size_t root = strlen(path_of(top));
  *o = (struct outcome){0};
  assert_int_equal(file_read(fx->io, path_of(name), root, 0, note, o, &job), 0);
  run_until(fx, &o->done);
  return o->status;
}

static int write_below(struct fixture *fx, const char *top, const char *name) {
  struct file_job *job;
  struct outcome o = {0};
  size_t root = strlen(path_of(top));
  assert_int_equal(file_write(fx->io, path_of(name), root, "new", 3, note, &o, &job), 0);
  run_until(fx, &o.done);
  return o.status;
}

static void links_lead_out_of_no_directory(void **state) {
  struct fixture *fx = *state;
  struct outcome o;
  struct file_job *job;
  assert_int_equal(mkdir(path_of("g"), 0700), 0);
  assert_int_equal(mkdir(path_of("g/in"), 0700), 0);
  assert_int_equal(mkdir(path_of("gone"), 0700), 0);
  put("gone/secret", "secret");
  put("g/in/x", "inside");
  put("g/plain", "plain");
  assert_int_equal(symlink("../gone", path_of("g/away")), 0);
  assert_int_equal(symlink("../gone/secret", path_of("g/leak")), 0);
  assert_int_equal(symlink("in", path_of("g/inner")), 0);
  assert_int_equal(symlink(path_of("g/in"), path_of("g/absolute")), 0);
  assert_int_equal(symlink("g", path_of("alias")), 0);
  assert_int_equal(read_below(fx, "g", "g/leak", &o), -EXDEV);
  assert_int_equal(read_below(fx, "g", "g/away/secret", &o), -EXDEV);
  assert_int_equal(read_below(fx, "g", "g/none", &o), -ENOENT);
  assert_int_equal(read_below(fx, "g", "g/in", &o), -EISDIR);
  const char *const inside[] = {"g/in/x", "g/inner/x", "g/absolute/x"};
  for (int i = 0; i < 3; i++) {
    assert_int_equal(read_below(fx, "g", inside[i], &o), 0);
    assert_string_equal(o.text, "inside");
  }
  assert_int_equal(read_below(fx, "alias", "alias/in/x", &o), 0); /* itself may be a link */
  assert_int_equal(read_below(fx, "alias", "alias/leak", &o), -EXDEV);

  assert_int_equal(write_below(fx, "g", "g/away/new"), -EXDEV);
  assert_int_equal(access(path_of("gone/new"), F_OK), -1);
  assert_int_equal(write_below(fx, "g", "g/leak"), 0); /* in the link's place, not through it */
  assert_string_equal(read_file(fx, path_of("gone/secret"), 0).text, "secret");
  assert_string_equal(read_file(fx, path_of("g/leak"), 0).text, "new");
  assert_int_equal(write_below(fx, "alias", "alias/inner/y"), 0);
  assert_string_equal(read_file(fx, path_of("g/in/y"), 0).text, "new");
  assert_int_equal(write_below(fx, "g", "g"), -EISDIR);

  o = (struct outcome){0};
  size_t root = strlen(path_of("g"));
  assert_int_equal(
      file_rename(fx->io, path_of("g/plain"), root, path_of("g/away/plain"), root, note, &o, &job),
      0);
  run_until(fx, &o.done);
  assert_int_equal(o.status, -EXDEV);
  assert_int_equal(access(path_of("g/plain"), F_OK), 0);
}

static void cancelled_jobs_tell_nothing(void **state) {
  struct fixture *fx = *state;
  struct outcome o[50] = {{0}};
  struct file_job *job[50];
  put("a", "text");
  for (int i = 0; i < 50; i++)
    assert_int_equal(file_read(fx->io, path_of("a"), 0, 0, note, &o[i], &job[i]), 0);
  for (int i = 0; i < 50; i++)
    file_cancel(job[i]);
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  for (int i = 0; i < 50; i++)
    assert_false(o[i].done);
  assert_int_equal(io_open(fx->io), 0);
}

struct change {
  bool done;
  int status;
  size_t count;
  char names[256];
};

static void note_change(void *arg, int status, const char *const *names, size_t count) {
  struct change *c = arg;
  c->done = true;
  c->status = status;
  c->count = count;
  for (size_t i = 0; i < count; i++)
    snprintf(c->names + strlen(c->names), sizeof c->names - strlen(c->names), "%s ", names[i]);
}

static struct file_watch *watch(struct fixture *fx, const char *path) {
  struct file_watch *w;
  struct fault f;
  assert_int_equal(file_watch_open(fx->io, path, 0, &w, &f), 0);
  return w;
}

static struct change next(struct fixture *fx, struct file_watch *w, uint64_t timeout_ms) {
  struct change c = {0};
  assert_int_equal(file_watch_next(w, timeout_ms, note_change, &c), 0);
  assert_int_equal(file_watch_next(w, timeout_ms, note_change, &c), -EBUSY);
  assert_false(c.done);
  run_until(fx, &c.done);
  return c;
}

static void watches_a_directory(void **state) {
  struct fixture *fx = *state;
  assert_int_equal(mkdir(path_of("w"), 0700), 0);
  struct file_watch *w = watch(fx, path_of("w"));
  assert_int_equal(next(fx, w, 5).status, -ETIMEDOUT);
  put("w/x", "1");
  assert_string_equal(next(fx, w, 0).names, "x ");
  put("w/y", "1"); /* while nobody waits */
  put("w/z", "1");
  assert_string_equal(next(fx, w, 0).names, "y z ");
  file_watch_close(w);
}

static void watches_a_file_through_replacement(void **state) {
  struct fixture *fx = *state;
  put("conf", "1");
  struct file_watch *w = watch(fx, path_of("conf"));
  put("conf.new", "two");
  assert_int_equal(rename(path_of("conf.new"), path_of("conf")), 0);
  assert_string_equal(next(fx, w, 0).names, "conf ");
  put("conf", "in place");
  assert_string_equal(next(fx, w, 0).names, "conf ");
  put("other", "1"); /* not ours */
  assert_int_equal(next(fx, w, 200).status, -ETIMEDOUT);
  assert_int_equal(unlink(path_of("conf")), 0);
  assert_string_equal(next(fx, w, 0).names, "conf ");
  put("conf", "back");
  assert_string_equal(next(fx, w, 0).names, "conf ");
  file_watch_close(w);
}

/* As Kubernetes mounts its files: conf -> ..data/conf, ..data -> a directory that is swapped. */
static void watches_a_link_into_a_swapped_directory(void **state) {
  struct fixture *fx = *state;
  assert_int_equal(mkdir(path_of("v1"), 0700), 0);
  assert_int_equal(mkdir(path_of("v2"), 0700), 0);
  put("v1/conf", "1");
  put("v2/conf", "22");
  assert_int_equal(symlink("v1", path_of("..data")), 0);
  assert_int_equal(symlink("..data/conf", path_of("linked")), 0);
  struct file_watch *w = watch(fx, path_of("linked"));
  assert_int_equal(symlink("v2", path_of("..next")), 0);
  assert_int_equal(rename(path_of("..next"), path_of("..data")), 0);
  assert_string_equal(next(fx, w, 0).names, "linked ");
  file_watch_close(w);
}

static void watches_a_directory_that_is_replaced(void **state) {
  struct fixture *fx = *state;
  assert_int_equal(mkdir(path_of("r"), 0700), 0);
  struct file_watch *w = watch(fx, path_of("r")), *v = watch(fx, path_of("r/conf"));
  for (int i = 0; i < 3; i++) {
    assert_int_equal(rmdir(path_of("r")), 0);
    assert_int_equal(mkdir(path_of("r"), 0700), 0);
    assert_int_equal(next(fx, w, 0).status, 0);
    put("r/conf", "1");
    assert_string_equal(next(fx, v, 0).names, "conf ");
    assert_int_equal(next(fx, w, 0).status, 0);
    unlink(path_of("r/conf"));
    assert_string_equal(next(fx, v, 0).names, "conf ");
    assert_int_equal(next(fx, w, 0).status, 0);
  }
  file_watch_close(v);
  file_watch_close(w);
}

static void more_names_than_are_told(void **state) {
  struct fixture *fx = *state;
  char name[32];
  assert_int_equal(mkdir(path_of("many"), 0700), 0);
  struct file_watch *w = watch(fx, path_of("many"));
  for (int i = 0; i < FILE_WATCH_NAMES + 10; i++) {
    snprintf(name, sizeof name, "many/%d", i);
    put(name, "");
  }
  struct change c = next(fx, w, 0);
  assert_int_equal(c.status, 0);
  assert_int_equal(c.count, 0); /* look yourself */
  file_watch_close(w);
}

static void watching_what_is_not_there(void **state) {
  struct fixture *fx = *state;
  struct file_watch *w;
  struct fault f;
  assert_int_equal(file_watch_open(fx->io, path_of("nowhere/x"), 0, &w, &f), -ENOENT);
  assert_non_null(strstr(f.text, "nowhere/x"));
  w = watch(fx, path_of("not_yet"));
  put("not_yet", "1");
  assert_string_equal(next(fx, w, 0).names, "not_yet ");
  struct change c = {0};
  assert_int_equal(file_watch_next(w, 0, note_change, &c), 0);
  file_watch_close(w); /* while someone waits */
  uv_run(&fx->loop, UV_RUN_DEFAULT);
  assert_false(c.done);
  assert_int_equal(io_open(fx->io), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(reads),
      FIXTURE_TEST(states_and_lists),
      FIXTURE_TEST(links_lead_out_of_no_directory),
      FIXTURE_TEST(cancelled_jobs_tell_nothing),
      FIXTURE_TEST(watches_a_directory),
      FIXTURE_TEST(watches_a_file_through_replacement),
      FIXTURE_TEST(watches_a_link_into_a_swapped_directory),
      FIXTURE_TEST(watches_a_directory_that_is_replaced),
      FIXTURE_TEST(more_names_than_are_told),
      FIXTURE_TEST(watching_what_is_not_there),
  };
  strcpy(directory, "/tmp/perigee-file-XXXXXX");
  if (!mkdtemp(directory))
    return 1;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", directory);
  return system(command) == 0 ? failed : 1;
}
