#include "io/file_watch.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "io/beneath.h"
#include "io/file.h"
#include "io/inside.h"

/* What tells one state of a path from another. All zero: it is not there. */
struct look {
  uint64_t inode, size;
  int64_t modified_ns;
};

struct file_watch {
  uv_fs_event_t event;
  uv_timer_t quiet, deadline, again;
  unsigned handles; /* of the four above, still open */
  struct io *io;
  struct later later;
  struct file_job *job; /* a look at the path, or NULL */
  bool whole;           /* a directory's entries; else one file */
  bool look_again;      /* something happened while `job` was under way */
  bool ready;           /* there is something to tell */
  struct look last;
  uint64_t directory_inode;      /* 0: it is not watched */
  bool replaced;                 /* perhaps: something happened to the directory itself */
  char *path, *directory, *name; /* `name` in `directory`; directory == path when whole */
  size_t root;                   /* so much of `path` is the directory that nothing leads out of */
  char *names[FILE_WATCH_NAMES];
  size_t count;
  bool overflow;
  file_watch_fn done; /* NULL: nobody waits */
  void *arg;
};

static void names_clear(struct file_watch *w) {
  for (size_t i = 0; i < w->count; i++)
    free(w->names[i]);
  w->count = 0;
  w->overflow = false;
}

static void watch_gone(uv_handle_t *handle) {
  struct file_watch *w = handle->data;
  if (--w->handles)
    return;
  struct io *io = w->io;
  names_clear(w);
  free(w->path);
  free(w->directory);
  free(w->name);
  free(w);
  io_drop(io);
}

void file_watch_close(struct file_watch *w) {
  w->done = NULL;
  if (w->job)
    file_cancel(w->job);
  later_stop(&w->later);
  uv_close((uv_handle_t *)&w->event, watch_gone);
  uv_close((uv_handle_t *)&w->quiet, watch_gone);
  uv_close((uv_handle_t *)&w->deadline, watch_gone);
  uv_close((uv_handle_t *)&w->again, watch_gone);
}

static void names_add(struct file_watch *w, const char *name) {
  for (size_t i = 0; i < w->count; i++)
    if (strcmp(w->names[i], name) == 0)
      return;
  char *copy = w->count < FILE_WATCH_NAMES ? strdup(name) : NULL;
  if (copy)
    w->names[w->count++] = copy;
  else
    w->overflow = true;
}

/* ---- telling ---- */

static void watch_tell(struct file_watch *w, int status) {
  file_watch_fn done = w->done;
  char *names[FILE_WATCH_NAMES];
  size_t count = 0;
  uv_timer_stop(&w->deadline);
  w->done = NULL;
  if (status == 0) { /* taken out first: the callback may close the watch */
    count = w->count;
    memcpy(names, w->names, count * sizeof *names);
    w->count = 0;
    bool overflow = w->overflow;
    w->overflow = w->ready = false;
    done(w->arg, 0, (const char *const *)names, overflow ? 0 : count);
  } else {
    done(w->arg, status, NULL, 0);
  }
  for (size_t i = 0; i < count; i++)
    free(names[i]);
}

static void watch_later(struct later *l) {
  struct file_watch *w = ring_item(l, struct file_watch, later);
  if (w->done && w->ready)
    watch_tell(w, 0);
}

static void watch_ready(struct file_watch *w) {
  w->ready = true;
  if (w->done)
    later_start(w->io, &w->later);
}

static void watch_late(uv_timer_t *timer) {
  watch_tell(timer->data, -ETIMEDOUT);
}

/* ---- noticing ---- */

static void watch_look(struct file_watch *w);
static void watch_event(uv_fs_event_t *event, const char *name, int events, int status);

/* What `path`, which is below the root or the root itself, leads to: 0 or negative errno. */
static int stat_beneath(const char *path, size_t root, struct stat *st) {
  struct beneath at;
  if (strlen(path) < root)
    return -ENOENT;
  int rc = beneath_target(path, root, &at);
  if (rc == 0 && (root ? fstat(at.fd, st) : stat(path, st)) < 0)
    rc = -errno;
  beneath_release(&at);
  return rc;
}

/* inotify on what the directory's name leads to now. "/." at the end: so libuv names events of the
 * directory itself ".", and no file can be called that. */
static int watch_begin(struct file_watch *w, uint64_t inode) {
  struct beneath at;
  char *path = NULL;
  int rc = beneath_target(w->directory, w->root, &at);
  if (rc == 0 && asprintf(&path, "%s/.", w->root ? at.path : w->directory) < 0)
    rc = -ENOMEM;
  if (rc == 0)
    rc = uv_fs_event_start(&w->event, watch_event, path, 0);
  if (rc == 0)
    w->directory_inode = inode;
  free(path);
  beneath_release(&at);
  return rc;
}

/* The directory was replaced, or is back: inotify watches an inode, not a path. An inode's number
 * is soon used again, so an event of the directory itself counts too. */
static void watch_rearm(struct file_watch *w) {
  struct stat st;
  uint64_t inode = stat_beneath(w->directory, w->root, &st) == 0 ? (uint64_t)st.st_ino : 0;
  if (inode == w->directory_inode && !w->replaced)
    return;
  uv_fs_event_stop(&w->event);
  w->replaced = false;
  w->directory_inode = 0;
  if (inode)
    watch_begin(w, inode); /* where it fails, the next look tries again */
}

static void watch_looked(void *arg, const struct file_result *r) {
  struct file_watch *w = arg;
  w->job = NULL;
  struct look now = {0};
  if (r->status == 0)
    now = (struct look){r->inode, w->whole ? 0 : r->size, r->modified_ns};
  if (memcmp(&now, &w->last, sizeof now) != 0) {
    w->last = now;
    if (w->whole)
      w->overflow = w->overflow || w->count == 0; /* found by looking: what, is not known */
    else
      names_add(w, w->name);
  }
  if (w->count || w->overflow)
    watch_ready(w);
  if (w->look_again) {
    w->look_again = false;
    watch_look(w);
  }
}

static void watch_look(struct file_watch *w) {
  watch_rearm(w); /* before the look, so that nothing falls between */
  if (w->job)
    w->look_again = true;
  else if (file_stat(w->io, w->path, w->root, watch_looked, w, &w->job) < 0)
    w->job = NULL; /* the next look finds it */
}

static void watch_quiet(uv_timer_t *timer) {
  watch_look(timer->data);
}

static void watch_event(uv_fs_event_t *event, const char *name, int events, int status) {
  struct file_watch *w = event->data;
  bool self = !name || strcmp(name, ".") == 0;
  w->replaced = w->replaced || self;
  if (w->whole) {
    if (status == 0 && !self)
      names_add(w, name);
    else
      w->overflow = true;
  }
  if (!uv_is_active((uv_handle_t *)&w->quiet)) /* not restarted: steady change is told too */
    timer_start(&w->quiet, watch_quiet, FILE_WATCH_QUIET_MS);
}

static void watch_again(uv_timer_t *timer) {
  watch_look(timer->data);
}

/* ---- opening ---- */

static int watch_paths(struct file_watch *w, const char *path, bool whole) {
  char *for_directory = strdup(path), *for_name = strdup(path);
  w->path = strdup(path);
  if (for_directory && for_name) {
    w->directory = strdup(whole ? path : dirname(for_directory));
    w->name = strdup(basename(for_name));
  }
  free(for_directory);
  free(for_name);
  return w->path && w->directory && w->name ? 0 : -ENOMEM;
}

int file_watch_open(struct io *io, const char *path, size_t root, struct file_watch **out,
                    struct fault *f) {
  struct stat st = {0};
  int there = stat_beneath(path, root, &st);
  bool whole = there == 0 && S_ISDIR(st.st_mode);
  if (there == -EXDEV)
    return fault_set(f, -EXDEV, "cannot watch %s: a link leads out of its directory", path);
  struct file_watch *w = calloc(1, sizeof *w);
  if (!w)
    return fault_set(f, -ENOMEM, "cannot watch %s: out of memory", path);
  w->io = io;
  w->whole = whole;
  w->root = root;
  later_init(&w->later, watch_later);
  uv_fs_event_init(io->loop, &w->event);
  uv_timer_init(io->loop, &w->quiet);
  uv_timer_init(io->loop, &w->deadline);
  uv_timer_init(io->loop, &w->again);
  w->event.data = w->quiet.data = w->deadline.data = w->again.data = w;
  w->handles = 4;
  io_hold(io);
  int rc = watch_paths(w, path, whole);
  if (rc == 0)
    rc = stat_beneath(w->directory, root, &st);
  if (rc == 0)
    rc = watch_begin(w, (uint64_t)st.st_ino);
  if (rc < 0) {
    file_watch_close(w);
    return fault_set(f, rc, "cannot watch %s: %s", path, uv_strerror(rc));
  }
  if (stat_beneath(path, root, &st) == 0) /* after inotify has begun: nothing falls between */
    w->last = (struct look){(uint64_t)st.st_ino, whole ? 0 : (uint64_t)st.st_size,
                            (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec};
  uv_timer_start(&w->again, watch_again, FILE_WATCH_LOOK_MS, FILE_WATCH_LOOK_MS);
  *out = w;
  return 0;
}

int file_watch_next(struct file_watch *w, uint64_t timeout_ms, file_watch_fn done, void *arg) {
  if (w->done)
    return -EBUSY;
  w->done = done;
  w->arg = arg;
  if (w->ready)
    later_start(w->io, &w->later);
  else if (timeout_ms)
    timer_start(&w->deadline, watch_late, timeout_ms);
  return 0;
}

void file_watch_cancel(struct file_watch *w) {
  w->done = NULL;
  later_stop(&w->later);
  uv_timer_stop(&w->deadline);
}
