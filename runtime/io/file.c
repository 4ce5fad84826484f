#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "io/beneath.h"
#include "io/inside.h"

struct file_job {
  uv_work_t work;
  struct io *io;
  file_fn done; /* NULL once cancelled; the loop's thread only */
  void *arg;
  void (*run)(struct file_job *job); /* in the pool: touches nothing above */
  size_t limit;
  struct file_result result;
  struct buf content;
  size_t root, to_root;
  bool places;      /* it puts something in the path's place, and follows no link there */
  const char *path; /* what it was asked for, or where that leads to, held */
  char asked[];
};

static const char *type_name(mode_t mode) {
  switch (mode & S_IFMT) {
  case S_IFREG:
    return "file";
  case S_IFDIR:
    return "directory";
  case S_IFLNK:
    return "link";
  case S_IFSOCK:
    return "socket";
  case S_IFIFO:
    return "fifo";
  case S_IFBLK:
  case S_IFCHR:
    return "device";
  default:
    return "unknown";
  }
}

static void fill_stat(struct file_result *result, const struct stat *st) {
  result->type = type_name(st->st_mode);
  result->size = (uint64_t)st->st_size;
  result->inode = (uint64_t)st->st_ino;
  result->modified_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
  result->mode = st->st_mode & 07777;
}

static void run_read(struct file_job *job) {
  struct stat st;
  job->result.status = file_read_whole(job->path, job->limit, &job->content, &st);
  if (job->result.status < 0)
    return;
  fill_stat(&job->result, &st);
  job->result.data = job->content.data;
  job->result.length = job->content.length;
}

static int write_whole(int fd, const char *data, size_t length) {
  while (length > 0) {
    ssize_t n = write(fd, data, length);
    if (n < 0 && errno != EINTR)
      return -errno;
    if (n > 0) {
      data += n;
      length -= (size_t)n;
    }
  }
  return fsync(fd) < 0 ? -errno : 0;
}

static void run_write(struct file_job *job) {
  struct buf beside = {0};
  struct stat st;
  mode_t mode = stat(job->path, &st) == 0 ? st.st_mode & 07777 : 0644;
  buf_format(&beside, "%s.XXXXXX", job->path);
  int fd = beside.failed ? -1 : mkostemp(beside.data, O_CLOEXEC);
  int rc = beside.failed ? -ENOMEM : fd < 0 ? -errno : 0;
  if (rc == 0)
    rc = write_whole(fd, job->content.data, job->content.length);
  if (rc == 0 && (fchmod(fd, mode) < 0 || rename(beside.data, job->path) < 0))
    rc = -errno;
  if (fd >= 0)
    close(fd);
  if (fd >= 0 && rc < 0)
    unlink(beside.data);
  buf_free(&beside);
  job->result.status = rc;
}

static void run_rename(struct file_job *job) {
  struct stat st;
  struct beneath place;
  int rc = beneath_place(job->content.data, job->to_root, &place);
  const char *to = place.path[0] ? place.path : job->content.data;
  bool link = lstat(job->path, &st) == 0 && S_ISLNK(st.st_mode);
  if (rc == 0 && !link && stat(to, &st) == 0 && chmod(job->path, st.st_mode & 07777) < 0)
    rc = -errno;
  if (rc == 0 && rename(job->path, to) < 0)
    rc = -errno;
  beneath_release(&place);
  job->result.status = rc;
}

static void run_stat(struct file_job *job) {
  struct stat st;
  if (stat(job->path, &st) < 0)
    job->result.status = -errno;
  else
    fill_stat(&job->result, &st);
}

static int entry_compare(const void *a, const void *b) {
  return strcmp(((const struct file_entry *)a)->name, ((const struct file_entry *)b)->name);
}

static int list_add(struct file_job *job, const struct dirent *found) {
  struct file_result *result = &job->result;
  if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
    return 0;
  if (result->count == FILE_LIST_LIMIT)
    return -EFBIG;
  if (result->count % 256 == 0) {
    struct file_entry *more =
        realloc((void *)result->entries, (result->count + 256) * sizeof *result->entries);
    if (!more)
      return -ENOMEM;
    result->entries = more;
  }
  char *name = strdup(found->d_name);
  if (!name)
    return -ENOMEM;
  ((struct file_entry *)result->entries)[result->count++] =
      (struct file_entry){name, type_name(DTTOIF(found->d_type))};
  return 0;
}

static void run_list(struct file_job *job) {
  DIR *directory = opendir(job->path);
  if (!directory) {
    job->result.status = -errno;
    return;
  }
  int rc = 0;
  while (rc == 0) {
    errno = 0;
    const struct dirent *found = readdir(directory);
    if (!found) {
      rc = -errno;
      break;
    }
    rc = list_add(job, found);
  }
  closedir(directory);
  job->result.status = rc;
  if (job->result.count)
    qsort((void *)job->result.entries, job->result.count, sizeof *job->result.entries,
          entry_compare);
}

static void job_run(uv_work_t *work) {
  struct file_job *job = work->data;
  struct beneath held;
  int rc = job->places ? beneath_place(job->asked, job->root, &held)
                       : beneath_target(job->asked, job->root, &held);
  job->path = held.path[0] ? held.path : job->asked;
  if (rc == 0)
    job->run(job);
  else
    job->result.status = rc;
  beneath_release(&held);
}

static void job_over(uv_work_t *work, int status) {
  struct file_job *job = work->data;
  struct io *io = job->io;
  if (job->done)
    job->done(job->arg, &job->result);
  for (size_t i = 0; i < job->result.count; i++)
    free((char *)job->result.entries[i].name);
  free((void *)job->result.entries);
  buf_free(&job->content);
  free(job);
  io_drop(io);
}

static struct file_job *job_new(const char *path, size_t root) {
  size_t length = strlen(path);
  struct file_job *job = calloc(1, sizeof *job + length + 1);
  if (!job)
    return NULL;
  job->root = root;
  memcpy(job->asked, path, length + 1);
  return job;
}

/* Takes `job` over; NULL: there was no memory for it. */
static int job_start(struct io *io, struct file_job *job, void (*run)(struct file_job *job),
                     file_fn done, void *arg, struct file_job **out) {
  if (!job || job->content.failed) {
    free(job);
    return -ENOMEM;
  }
  job->work.data = job;
  job->io = io;
  job->done = done;
  job->arg = arg;
  job->run = run;
  int rc = uv_queue_work(io->loop, &job->work, job_run, job_over);
  if (rc < 0) {
    buf_free(&job->content);
    free(job);
    return rc;
  }
  io_hold(io);
  *out = job;
  return 0;
}

int file_read(struct io *io, const char *path, size_t root, size_t limit, file_fn done, void *arg,
              struct file_job **out) {
  struct file_job *job = job_new(path, root);
  if (job)
    job->limit = limit ? limit : FILE_READ_LIMIT;
  return job_start(io, job, run_read, done, arg, out);
}

int file_write(struct io *io, const char *path, size_t root, const char *data, size_t length,
               file_fn done, void *arg, struct file_job **out) {
  struct file_job *job = job_new(path, root);
  if (job) {
    job->places = true;
    buf_add(&job->content, data, length);
  }
  return job_start(io, job, run_write, done, arg, out);
}

int file_rename(struct io *io, const char *from, size_t from_root, const char *to, size_t to_root,
                file_fn done, void *arg, struct file_job **out) {
  struct file_job *job = job_new(from, from_root);
  if (job) {
    job->places = true;
    job->to_root = to_root;
    buf_text(&job->content, to);
  }
  return job_start(io, job, run_rename, done, arg, out);
}

int file_stat(struct io *io, const char *path, size_t root, file_fn done, void *arg,
              struct file_job **out) {
  return job_start(io, job_new(path, root), run_stat, done, arg, out);
}

int file_list(struct io *io, const char *path, size_t root, file_fn done, void *arg,
              struct file_job **out) {
  return job_start(io, job_new(path, root), run_list, done, arg, out);
}

void file_cancel(struct file_job *job) {
  job->done = NULL;
  uv_cancel((uv_req_t *)&job->work); /* still queued: over at once; running: when it ends */
}
