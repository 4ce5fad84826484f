#include "catalog/rundir.h"
#include "catalog/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE "lock"
#define NEW_FILE CATALOG_FILE ".new"
#define PREVIOUS_FILE CATALOG_FILE ".previous"

static int check_owner(int fd) {
  struct stat st;
  if (fstat(fd, &st) < 0)
    return -errno;
  return st.st_uid == 0 || st.st_uid == geteuid() ? 0 : -EPERM;
}

static int opened(int fd) {
  if (fd < 0)
    return errno == ELOOP ? -EPERM : -errno;
  int r = check_owner(fd);
  if (r < 0) {
    close(fd);
    return r;
  }
  return fd;
}

int rundir_open(const char *path) {
  if (mkdir(path, geteuid() == 0 ? 0755 : 0700) < 0 && errno != EEXIST)
    return -errno;
  return opened(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int read_pid(int fd) {
  char text[16] = "";
  ssize_t n = pread(fd, text, sizeof text - 1, 0);
  return n > 0 ? atoi(text) : 0;
}

int rundir_lock(int dir, int *pid) {
  char text[16];
  int fd = opened(openat(dir, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (fd < 0)
    return fd;
  if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
    int r = errno == EWOULDBLOCK ? -EBUSY : -errno;
    if (pid)
      *pid = read_pid(fd);
    close(fd);
    return r;
  }
  /* The pid is for people: where the disk is full, the lock holds without it. */
  int length = snprintf(text, sizeof text, "%d\n", getpid());
  if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) < 0)
    return fd;
  return fd;
}

int rundir_new_file(int dir) {
  CATALOG_STORE_HOOK();
  if (unlinkat(dir, NEW_FILE, 0) < 0 && errno != ENOENT)
    return -errno;
  CATALOG_STORE_HOOK();
  int fd = opened(openat(dir, NEW_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (fd >= 0 && geteuid() == 0 && fchmod(fd, 0644) < 0) {
    int r = -errno;
    close(fd);
    return r;
  }
  return fd;
}

void rundir_forget_new(int dir) {
  CATALOG_STORE_HOOK();
  unlinkat(dir, NEW_FILE, 0);
}

int rundir_old_file(int dir) {
  return opened(openat(dir, CATALOG_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
}

int rundir_previous_file(int dir) {
  struct stat previous, now;
  if (fstatat(dir, PREVIOUS_FILE, &previous, AT_SYMLINK_NOFOLLOW) < 0)
    return -errno;
  if (fstatat(dir, CATALOG_FILE, &now, AT_SYMLINK_NOFOLLOW) == 0 && previous.st_dev == now.st_dev &&
      previous.st_ino == now.st_ino) {
    rundir_forget_previous(dir); /* died before the swap: it is the current one */
    return -ENOENT;
  }
  return opened(openat(dir, PREVIOUS_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
}

int rundir_swap(int dir) {
  CATALOG_STORE_HOOK();
  if (linkat(dir, CATALOG_FILE, dir, PREVIOUS_FILE, 0) < 0 && errno != ENOENT)
    return -errno;
  CATALOG_STORE_HOOK();
  return renameat(dir, NEW_FILE, dir, CATALOG_FILE) < 0 ? -errno : 0;
}

void rundir_forget_previous(int dir) {
  CATALOG_STORE_HOOK();
  unlinkat(dir, PREVIOUS_FILE, 0);
}
