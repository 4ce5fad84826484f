#include "catalog/feedback.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

/* A file that may not be so long is none: to make it would end the program, by SIGXFSZ. */
static bool may_be_made(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
         (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= sizeof(struct feedback_page));
}

static int make_memfd(void) {
  int fd = memfd_create("perigee-feedback", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0)
    return -1;
  if (ftruncate(fd, sizeof(struct feedback_page)) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
    return fd;
  close(fd);
  return -1;
}

struct feedback_page *feedback_page_make(int *fd) {
  *fd = may_be_made() ? make_memfd() : -1;
  int kind = *fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  struct feedback_page *page =
      mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, kind | MAP_NORESERVE, *fd, 0);
  if (page == MAP_FAILED) {
    if (*fd >= 0)
      close(*fd);
    *fd = -1;
    return NULL;
  }
  madvise(page, sizeof *page, MADV_DONTFORK);
  page->magic = FEEDBACK_MAGIC;
  page->layout = FEEDBACK_LAYOUT;
  return page;
}

int feedback_page_open(int fd, struct feedback_page **out) {
  struct stat st;
  int seals = fcntl(fd, F_GET_SEALS);
  *out = NULL;
  if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 ||
      st.st_size != (off_t)sizeof(struct feedback_page))
    return -EPROTO;
  int rights = CATALOG_TSAN ? PROT_READ | PROT_WRITE : PROT_READ; /* see catalog_epoch_is */
  void *base = mmap(NULL, sizeof(struct feedback_page), rights, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (base == MAP_FAILED)
    return -errno;
  *out = base;
  if ((*out)->magic == FEEDBACK_MAGIC && (*out)->layout == FEEDBACK_LAYOUT)
    return 0;
  feedback_page_close(*out);
  *out = NULL;
  return -EPROTO;
}

void feedback_page_close(struct feedback_page *page) {
  munmap(page, sizeof *page);
}
