#include "base/file.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP = 64 * 1024 };

static int read_to_end(int fd, size_t limit, struct buf *out) {
  size_t before = out->length;
  for (;;) {
    if (buf_reserve(out, STEP) < 0)
      return -ENOMEM;
    ssize_t n = read(fd, out->data + out->length, STEP - 1);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -errno;
    out->length += (size_t)n;
    out->data[out->length] = '\0';
    if (out->length - before > limit)
      return -EFBIG;
    if (n == 0)
      return 0;
  }
}

int file_read_whole(const char *path, size_t limit, struct buf *out, struct stat *st) {
  struct stat own;
  st = st ? st : &own;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0)
    return -errno;
  int code = fstat(fd, st) < 0 ? -errno : 0;
  if (code == 0 && !S_ISREG(st->st_mode))
    code = S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL;
  if (code == 0)
    code = read_to_end(fd, limit, out);
  close(fd);
  return code;
}

const char *file_problem(int code) {
  switch (code) {
  case -EINVAL:
    return "not a file";
  case -EFBIG:
    return "too large";
  default:
    return strerror(-code);
  }
}
