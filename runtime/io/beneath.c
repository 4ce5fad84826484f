#include "io/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The kernel's own name of what is open. */
static int name_of(int fd, char *out, size_t size) {
  char link[40];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, out, size - 1);
  if (n < 0)
    return -errno;
  out[n] = '\0';
  return 0;
}

static bool is_below(const char *name, const char *directory) {
  size_t length = strlen(directory);
  return strcmp(directory, "/") == 0 ||
         (strncmp(name, directory, length) == 0 && (name[length] == '/' || name[length] == '\0'));
}

/* Opens the first `length` bytes of `path`, and says how the kernel calls what they lead to. */
static int open_part(const char *path, size_t length, int flags, int *fd, char name[PATH_MAX]) {
  char part[PATH_MAX];
  if (length >= sizeof part)
    return -ENAMETOOLONG;
  memcpy(part, path, length);
  part[length] = '\0';
  *fd = open(part, O_PATH | O_CLOEXEC | flags);
  return *fd < 0 ? -errno : name_of(*fd, name, PATH_MAX);
}

static int hold(const char *path, size_t length, size_t root, int flags, struct beneath *out) {
  char name[PATH_MAX], directory[PATH_MAX];
  int top = -1;
  int rc = open_part(path, root, O_DIRECTORY, &top, directory);
  if (rc == 0)
    rc = open_part(path, length, flags, &out->fd, name);
  if (rc == 0 && !is_below(name, directory))
    rc = -EXDEV;
  if (top >= 0)
    close(top);
  return rc;
}

int beneath_target(const char *path, size_t root, struct beneath *out) {
  *out = (struct beneath){.fd = -1};
  int rc = root ? hold(path, strlen(path), root, 0, out) : 0;
  if (root)
    snprintf(out->path, sizeof out->path, "/proc/self/fd/%d", out->fd);
  return rc;
}

int beneath_place(const char *path, size_t root, struct beneath *out) {
  const char *slash = strrchr(path, '/');
  *out = (struct beneath){.fd = -1};
  if (!root)
    return 0;
  size_t length = slash ? (size_t)(slash - path) : 0;
  if (length < root && root > 1)
    return -EISDIR; /* the directory itself */
  int rc = hold(path, length ? length : 1, root, O_DIRECTORY, out);
  int n = snprintf(out->path, sizeof out->path, "/proc/self/fd/%d/%s", out->fd, slash + 1);
  return rc == 0 && n >= (int)sizeof out->path ? -ENAMETOOLONG : rc;
}

void beneath_release(struct beneath *b) {
  if (b->fd >= 0)
    close(b->fd);
  b->fd = -1;
}
