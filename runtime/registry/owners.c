#include "registry/owners.h"

#include "watch/table.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct owner {
  struct owners *all;
  struct owner_tie *ties;
  uv_poll_t poll; /* of `fd` */
  int fd;
  char key[40]; /* PID:START */
};

struct owners {
  uv_loop_t *loop;
  struct table table;
  uint32_t handles; /* not closed yet */
  bool freed;
};

static const char *key_of(const void *item) {
  return ((const struct owner *)item)->key;
}

struct owners *owners_new(uv_loop_t *loop) {
  struct owners *all = calloc(1, sizeof *all);
  if (all) {
    all->loop = loop;
    all->table.key = key_of;
  }
  return all;
}

static void owners_done(struct owners *all) {
  if (all->freed && all->handles == 0) {
    table_free(&all->table);
    free(all);
  }
}

void owners_free(struct owners *all) {
  if (!all)
    return;
  all->freed = true;
  owners_done(all);
}

int owner_start_time(int pid, uint64_t *start) {
  char path[32], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *file = fopen(path, "re");
  if (!file)
    return -ESRCH;
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = '\0';
  /* Field 2, its name in parentheses, may hold anything; the rest is words after single spaces. */
  const char *p = strrchr(text, ')');
  for (int field = 2; p && field < 22; field++)
    p = strchr(p + 1, ' ');
  return p && sscanf(p, "%" SCNu64, start) == 1 ? 0 : -ESRCH;
}

static void on_closed(uv_handle_t *handle) {
  struct owner *o = handle->data;
  struct owners *all = o->all;
  close(o->fd);
  free(o);
  all->handles--;
  owners_done(all);
}

static void owner_end(struct owner *o) {
  table_remove(&o->all->table, o);
  uv_close((uv_handle_t *)&o->poll, on_closed);
}

static void on_exit_of(uv_poll_t *poll, int status, int events) {
  struct owner *o = poll->data;
  uv_poll_stop(poll);
  table_remove(&o->all->table, o); /* who ties again when told must not find it */
  while (o->ties) {
    struct owner_tie *tie = o->ties;
    void (*died)(struct owner_tie *) = tie->died;
    owner_untie(tie);
    died(tie);
  }
}

static int owner_new(struct owners *all, int pid, uint64_t start, const char *key,
                     struct owner **out) {
  int fd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0)
    return errno == EINVAL ? -ESRCH : -errno;
  /* After the open, so that it is this one's start time; readable: it has exited. */
  uint64_t found;
  struct pollfd exited = {.fd = fd, .events = POLLIN};
  bool lives = owner_start_time(pid, &found) == 0 && found == start && poll(&exited, 1, 0) == 0;
  struct owner *o = lives ? calloc(1, sizeof *o) : NULL;
  if (!o) {
    close(fd);
    return lives ? -ENOMEM : -ESRCH;
  }
  o->all = all;
  o->fd = fd;
  o->poll.data = o;
  snprintf(o->key, sizeof o->key, "%s", key);
  int rc = uv_poll_init(all->loop, &o->poll, fd);
  if (rc) {
    close(fd);
    free(o);
    return rc;
  }
  all->handles++;
  uv_unref((uv_handle_t *)&o->poll);
  rc = table_add(&all->table, o);
  if (rc == 0)
    rc = uv_poll_start(&o->poll, UV_READABLE, on_exit_of);
  if (rc) {
    owner_end(o);
    return rc;
  }
  *out = o;
  return 0;
}

int owner_tie(struct owners *all, int pid, uint64_t start, struct owner_tie *tie) {
  char key[40];
  snprintf(key, sizeof key, "%d:%" PRIu64, pid, start);
  struct owner *o = table_find(&all->table, key);
  int rc = o ? 0 : owner_new(all, pid, start, key, &o);
  if (rc)
    return rc;
  tie->owner = o;
  tie->next = o->ties;
  tie->link = &o->ties;
  if (tie->next)
    tie->next->link = &tie->next;
  o->ties = tie;
  return 0;
}

void owner_untie(struct owner_tie *tie) {
  struct owner *o = tie->owner;
  if (!o)
    return;
  *tie->link = tie->next;
  if (tie->next)
    tie->next->link = tie->link;
  tie->owner = NULL;
  if (!o->ties)
    owner_end(o);
}
