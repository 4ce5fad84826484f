#include "client/handle.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_NS = 1000000000 };

int64_t client_now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool has_catalog(const char *dir) {
  char path[PATH_MAX];
  int n = snprintf(path, sizeof path, "%s/" CATALOG_FILE, dir);
  return n > 0 && (size_t)n < sizeof path && access(path, F_OK) == 0;
}

static int fits(int n, size_t size) {
  return n >= 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

int perigee_run_dir(char *path, size_t size) {
  const char *dir = secure_getenv("PERIGEE_RUN_DIR"), *user = secure_getenv("XDG_RUNTIME_DIR");
  if (dir && *dir)
    return fits(snprintf(path, size, "%s", dir), size);
  if (user && *user && fits(snprintf(path, size, "%s/perigee", user), size) == 0 &&
      has_catalog(path))
    return 0;
  if (fits(snprintf(path, size, "/tmp/perigee-%u", (unsigned)geteuid()), size) == 0 &&
      has_catalog(path))
    return 0;
  return fits(snprintf(path, size, "/run/perigee"), size);
}

static struct fork_page *make_page(void) {
  size_t size = (size_t)sysconf(_SC_PAGESIZE);
  struct fork_page *page =
      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED)
    return NULL;
  madvise(page, size, MADV_WIPEONFORK); /* without it (Linux < 4.14) a fork goes unnoticed */
  return page;
}

int client_open_map(struct perigee **out, struct catalog_map map, const char *path) {
  struct perigee *p = calloc(1, sizeof *p + strlen(path) + 1);
  struct mapping *m = calloc(1, sizeof *m);
  struct fork_page *page = make_page();
  if (!p || !m || !page) {
    if (page)
      munmap(page, (size_t)sysconf(_SC_PAGESIZE));
    free(m);
    free(p);
    catalog_map_close(&map);
    return -ENOMEM;
  }
  *m = (struct mapping){.map = map, .references = 1};
  p->mapping = m;
  p->page = page;
  page->mark = p->forks = 1;
  p->lanes = (struct lanes){.fd = -1, .socket = -1};
  strcpy(p->path, path);
  *out = p;
  return 0;
}

int perigee_open(struct perigee **p, const char *run_dir) {
  char dir[PATH_MAX], path[PATH_MAX + 16];
  struct catalog_map map;
  int r = run_dir ? fits(snprintf(dir, sizeof dir, "%s", run_dir), sizeof dir)
                  : perigee_run_dir(dir, sizeof dir);
  *p = NULL;
  if (r < 0)
    return r;
  snprintf(path, sizeof path, "%s/" CATALOG_FILE, dir);
  r = catalog_map_open(&map, -1, path);
  return r < 0 ? r : client_open_map(p, map, path);
}

void perigee_close(struct perigee *p) {
  if (!p)
    return;
  if (!p->page->mark)
    client_notice_fork(p);
  lanes_end(&p->lanes);
  client_mapping_release(p, p->mapping);
  munmap(p->page, (size_t)sysconf(_SC_PAGESIZE));
  free(p);
}

void client_notice_fork(struct perigee *p) {
  pthread_mutex_lock(&p->page->lock);
  if (!p->page->mark) {
    lanes_forget(&p->lanes);
    tallies_forget(p->tallies);
    p->page->mark = ++p->forks;
  }
  pthread_mutex_unlock(&p->page->lock);
}

static void release(struct mapping *m) {
  if (--m->references)
    return;
  catalog_map_close(&m->map);
  free(m);
}

void client_mapping_release(struct perigee *p, struct mapping *m) {
  pthread_mutex_lock(&p->page->lock);
  release(m);
  pthread_mutex_unlock(&p->page->lock);
}

static bool outdated(const struct mapping *m) {
  const struct catalog_header *h = catalog_map_header(&m->map);
  return catalog_load32(&h->retired) || catalog_load64(&h->size) > m->map.mapped;
}

static bool path_differs(const struct perigee *p) {
  struct stat st;
  return stat(p->path, &st) == 0 &&
         (st.st_dev != p->mapping->map.device || st.st_ino != p->mapping->map.inode);
}

static bool same_mapping(const struct catalog_map *a, const struct catalog_map *b) {
  return a->device == b->device && a->inode == b->inode && a->mapped == b->mapped;
}

/* The newest file, if there is one and it can be mapped; else all go on with what they have, and
 * it is looked for again after a second. */
static void remap(struct perigee *p) {
  struct mapping *m = calloc(1, sizeof *m);
  int r = m ? catalog_map_open(&m->map, -1, p->path) : -ENOMEM;
  if (r == 0 && !same_mapping(&m->map, &p->mapping->map)) {
    m->references = 1;
    release(p->mapping);
    p->mapping = m;
    return;
  }
  if (r == 0)
    catalog_map_close(&m->map);
  free(m);
  p->looked_ns = client_now_ns();
}

struct mapping *client_mapping(struct perigee *p, const struct mapping *old, bool look) {
  pthread_mutex_lock(&p->page->lock);
  bool due = !p->looked_ns || client_now_ns() - p->looked_ns >= LOOK_NS;
  if (old == NULL || old == p->mapping)
    if ((due && outdated(p->mapping)) || (look && path_differs(p)))
      remap(p);
  struct mapping *m = p->mapping;
  m->references++;
  pthread_mutex_unlock(&p->page->lock);
  return m;
}
