/* file: reading, writing, stating and listing, in libuv's thread pool, so that a slow disk does not
 * hold the loop. Only regular files are read: a FIFO would hold a pool thread for ever. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct io;
struct file_job;

enum { FILE_READ_LIMIT = 8 * 1024 * 1024, FILE_LIST_LIMIT = 100000 };

struct file_entry {
  const char *name;
  const char *type; /* "file", "directory", "link", "socket", "fifo", "device", "unknown" */
};

struct file_result { /* valid during the callback */
  int status;        /* 0 or negative errno: -EFBIG over the limit, -EISDIR, -EINVAL not regular */
  const char *data;  /* read: NUL-terminated, and may hold NULs */
  size_t length;
  const char *type; /* stat: what the path leads to */
  uint64_t size, inode;
  int64_t modified_ns;              /* Unix time */
  unsigned mode;                    /* permission bits */
  const struct file_entry *entries; /* list: by name; without "." and ".." */
  size_t count;
};
typedef void (*file_fn)(void *arg, const struct file_result *result);

/* `root`: so many bytes of the path are a directory that it must not lead out of, by whatever links
 * (beneath.h), else -EXDEV; 0: it may lead anywhere. */

/* At most `limit` bytes, else -EFBIG; 0 = FILE_READ_LIMIT. */
int file_read(struct io *io, const char *path, size_t root, size_t limit, file_fn done, void *arg,
              struct file_job **out);
/* Puts `data` (copied) in the place of what the path leads to, whole or not at all: a new file is
 * written beside it, synced and renamed. It keeps the permissions of the one before; else 0644. */
int file_write(struct io *io, const char *path, size_t root, const char *data, size_t length,
               file_fn done, void *arg, struct file_job **out);
/* Puts the file `from` in the place of `to`, whose permissions it gets if there was one. */
int file_rename(struct io *io, const char *from, size_t from_root, const char *to, size_t to_root,
                file_fn done, void *arg, struct file_job **out);
int file_stat(struct io *io, const char *path, size_t root, file_fn done, void *arg,
              struct file_job **out);
int file_list(struct io *io, const char *path, size_t root, file_fn done, void *arg,
              struct file_job **out);
void file_cancel(struct file_job *job); /* the pool ends it in the background */
