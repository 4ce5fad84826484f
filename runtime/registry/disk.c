#include "registry/disk.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAP_START ((size_t)4 << 20)
#define MAP_MOST ((size_t)64 << 30)
enum { VERIFY_SECONDS = 60 };

/* NOLOCK: one process has the file, by our own flock, and within it one thread at a time. */
enum { ENV_FLAGS = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS };

struct disk {
  MDB_env *env; /* NULL: it has to be opened again, a failure left it unusable */
  MDB_dbi dbi;
  MDB_txn *txn;
  size_t map_size;
  int lock;
  bool map_full;
  char path[];
};

static int error_of(int rc) {
  switch (rc) {
  case 0:
    return 0;
  case MDB_MAP_FULL:
    return -ENOSPC;
  case MDB_BAD_VALSIZE:
    return -EINVAL;
  case MDB_VERSION_MISMATCH:
    return -EPROTO;
  case MDB_INVALID:
  case MDB_CORRUPTED:
  case MDB_PAGE_NOTFOUND:
  case MDB_CURSOR_FULL:
  case MDB_INCOMPATIBLE:
    return -EUCLEAN;
  }
  return rc > 0 ? -rc : -EIO;
}

/* ---- opening ---- */

static int env_open(struct disk *d, unsigned flags) {
  MDB_txn *txn = NULL;
  int rc = mdb_env_create(&d->env);
  if (rc == 0)
    rc = mdb_env_set_mapsize(d->env, d->map_size);
  if (rc == 0)
    rc = mdb_env_open(d->env, d->path, ENV_FLAGS | flags, 0600);
  if (rc == 0)
    rc = mdb_txn_begin(d->env, NULL, MDB_RDONLY, &txn);
  if (rc == 0)
    rc = mdb_dbi_open(txn, NULL, 0, &d->dbi);
  mdb_txn_abort(txn);
  if (rc) {
    mdb_env_close(d->env);
    d->env = NULL;
  }
  return error_of(rc);
}

/* Reads every key and value of the tree, and of the list of free pages (dbi 0). */
static int walk(MDB_txn *txn, MDB_dbi dbi) {
  MDB_cursor *cursor;
  MDB_val key, value;
  int rc = mdb_cursor_open(txn, dbi, &cursor);
  if (rc)
    return rc;
  volatile unsigned char sink = 0;
  while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
    for (size_t i = 0; i < key.mv_size; i++)
      sink ^= ((unsigned char *)key.mv_data)[i];
    for (size_t i = 0; i < value.mv_size; i++)
      sink ^= ((unsigned char *)value.mv_data)[i];
  }
  (void)sink;
  mdb_cursor_close(cursor);
  return rc == MDB_NOTFOUND ? 0 : rc;
}

/* In the child: what LMDB makes of a damaged page may be an error, an assertion, a fault or a loop
 * without end, and each of them ends only the child. */
static _Noreturn void verify_child(struct disk *d) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  static const int fatal[] = {SIGALRM, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
  for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
    signal(fatal[i], SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  alarm(VERIFY_SECONDS);
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  dup2(null, 2);
  close(d->lock); /* not ours to hold should the parent die now */
  MDB_txn *txn = NULL;
  int rc = env_open(d, MDB_RDONLY);
  if (rc == 0)
    rc = error_of(mdb_txn_begin(d->env, NULL, MDB_RDONLY, &txn));
  if (rc == 0)
    rc = error_of(walk(txn, 0));
  if (rc == 0)
    rc = error_of(walk(txn, d->dbi));
  _exit(rc == 0 ? 0 : -rc & 0xff);
}

/* 0, -EUCLEAN: damaged, or another error of opening it. */
static int verify(struct disk *d) {
  struct stat st;
  if (stat(d->path, &st) != 0)
    return errno == ENOENT ? 0 : -errno;
  if (st.st_size == 0)
    return 0; /* made by one that died before its first page: LMDB begins it anew */
  pid_t child = fork();
  if (child == 0)
    verify_child(d);
  int status = 0;
  pid_t ended = child;
  while (child > 0 && (ended = waitpid(child, &status, 0)) < 0 && errno == EINTR)
    continue;
  if (ended < 0) {
    log_warn("the store cannot be verified", LOG_S("path", d->path),
             LOG_S("error", strerror(errno)));
    return 0;
  }
  return WIFEXITED(status) ? -WEXITSTATUS(status) : -EUCLEAN;
}

static int move_aside(struct disk *d, struct fault *f) {
  char to[4096];
  snprintf(to, sizeof to, "%s.damaged-%" PRId64, d->path, clock_wall_us() / 1000000);
  if (rename(d->path, to) != 0)
    return fault_set(f, -errno, "the store %s is damaged and cannot be moved aside: %s", d->path,
                     strerror(errno));
  log_error("the store is damaged: moved aside, beginning an empty one", LOG_S("path", d->path),
            LOG_S("kept_as", to));
  fault_set(f, -EUCLEAN, "the store %s is damaged: it is kept as %s, and an empty one was begun",
            d->path, to);
  return 0;
}

static int take_lock(struct disk *d, struct fault *f) {
  char path[4096];
  snprintf(path, sizeof path, "%s.lock", d->path);
  d->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (d->lock < 0)
    return fault_set(f, -errno, "cannot write in the data directory: %s: %s", path,
                     strerror(errno));
  if (flock(d->lock, LOCK_EX | LOCK_NB) != 0)
    return fault_set(f, -EBUSY, "another agent has the data directory: %s is locked", path);
  return 0;
}

static int make_directories(const char *dir, struct fault *f) {
  char path[4000];
  size_t length = strlen(dir);
  if (length == 0 || length >= sizeof path)
    return fault_set(f, -ENAMETOOLONG, "the data directory's path is empty or too long");
  memcpy(path, dir, length + 1);
  for (char *p = path + 1; p <= path + length; p++) {
    char c = *p;
    if (c != '/' && c != '\0')
      continue;
    *p = '\0';
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
      return fault_set(f, -errno, "cannot make the data directory %s: %s", path, strerror(errno));
    *p = c;
  }
  return 0;
}

/* The name of a new file must be as durable as what is in it. */
static int sync_directory(const char *dir) {
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int rc = fd >= 0 && fsync(fd) == 0 ? 0 : -errno;
  if (fd >= 0)
    close(fd);
  return rc;
}

static const char FORMAT_KEY[] = "format/version", FORMAT[] = "1";

/* The first commit: finds out whether the disk takes anything at all, and whose file it is. */
static int check_format(struct disk *d, struct fault *f) {
  MDB_val key = {sizeof FORMAT_KEY - 1, (void *)FORMAT_KEY}, value;
  int rc = disk_begin(d);
  if (rc == 0) {
    rc = mdb_get(d->txn, d->dbi, &key, &value);
    bool known = rc == 0 && value.mv_size == sizeof FORMAT &&
                 memcmp(value.mv_data, FORMAT, sizeof FORMAT) == 0;
    if (rc == 0 && !known) {
      mdb_txn_abort(d->txn);
      d->txn = NULL;
      return fault_set(f, -EPROTO, "the store %s was written by a newer perigee", d->path);
    }
    struct disk_change mark = {FORMAT_KEY, FORMAT, sizeof FORMAT_KEY - 1, sizeof FORMAT, false};
    rc = rc == MDB_NOTFOUND ? disk_change(d, &mark) : error_of(rc);
    if (rc == 0)
      rc = disk_commit(d);
  }
  return rc ? fault_set(f, rc, "cannot write the store %s: %s", d->path, strerror(-rc)) : 0;
}

static int disk_prepare(struct disk *d, const char *dir, bool *aside, struct fault *f) {
  int rc = make_directories(dir, f);
  if (rc == 0)
    rc = take_lock(d, f);
  if (rc)
    return rc;
  *aside = (rc = verify(d)) == -EUCLEAN;
  if (*aside)
    rc = move_aside(d, f);
  if (rc == 0)
    rc = env_open(d, 0);
  if (rc == 0)
    rc = sync_directory(dir);
  if (rc)
    return *aside && f && f->code == rc
               ? rc
               : fault_set(f, rc, "cannot open the store %s: %s", d->path, strerror(-rc));
  return check_format(d, f);
}

int disk_open(const char *dir, struct disk **out, bool *aside, struct fault *f) {
  static const char file[] = "/perigee.mdb";
  size_t length = strlen(dir);
  struct disk *d = calloc(1, sizeof *d + length + sizeof file);
  if (!d)
    return fault_set(f, -ENOMEM, "out of memory");
  memcpy(d->path, dir, length);
  memcpy(d->path + length, file, sizeof file);
  d->lock = -1;
  d->map_size = MAP_START;
  int rc = disk_prepare(d, dir, aside, f);
  if (rc) {
    disk_close(d);
    return rc;
  }
  *out = d;
  return 0;
}

void disk_close(struct disk *d) {
  if (d->txn)
    mdb_txn_abort(d->txn);
  if (d->env)
    mdb_env_close(d->env);
  if (d->lock >= 0) {
    flock(d->lock, LOCK_UN); /* closing does not: a forked child may have the descriptor, too */
    close(d->lock);
  }
  free(d);
}

/* ---- changing ---- */

/* Ends the transaction that failed with LMDB's `rc`. A short write is EIO to LMDB, and the usual
 * reason for one is a full disk; after a failed commit the environment may refuse everything
 * (MDB_PANIC), so it is opened again. */
static int failed(struct disk *d, int rc) {
  struct statvfs fs;
  if (d->txn)
    mdb_txn_abort(d->txn);
  d->txn = NULL;
  d->map_full = rc == MDB_MAP_FULL;
  if (!d->map_full && d->env) {
    mdb_env_close(d->env);
    d->env = NULL;
  }
  rc = error_of(rc);
  if (rc == -EIO && statvfs(d->path, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < 65536)
    rc = -ENOSPC;
  return rc;
}

int disk_begin(struct disk *d) {
  int rc = d->env ? 0 : env_open(d, 0);
  if (rc)
    return rc;
  rc = mdb_txn_begin(d->env, NULL, 0, &d->txn);
  if (rc)
    d->txn = NULL;
  return rc ? failed(d, rc) : 0;
}

int disk_change(struct disk *d, const struct disk_change *c) {
  MDB_val key = {c->key_length, (void *)c->key};
  MDB_val value = {c->length, (void *)c->value};
  int rc =
      c->erase ? mdb_del(d->txn, d->dbi, &key, NULL) : mdb_put(d->txn, d->dbi, &key, &value, 0);
  if (c->erase && rc == MDB_NOTFOUND)
    rc = 0;
  return rc ? failed(d, rc) : 0;
}

int disk_commit(struct disk *d) {
  int rc = mdb_txn_commit(d->txn);
  d->txn = NULL; /* freed by LMDB, whatever came of it */
  return rc ? failed(d, rc) : 0;
}

bool disk_grew(struct disk *d) {
  if (!d->map_full || d->map_size >= MAP_MOST)
    return false;
  d->map_full = false;
  MDB_envinfo info;
  if (mdb_env_info(d->env, &info) != 0)
    return false;
  size_t size = info.me_mapsize * 2; /* a file larger than `map_size` was mapped whole */
  if (mdb_env_set_mapsize(d->env, size) != 0)
    return false;
  d->map_size = size;
  return true;
}

/* ---- reading ---- */

static int each_of(MDB_cursor *cursor, const char *prefix, size_t length,
                   int (*each)(void *arg, const char *key, size_t key_length, const void *value,
                               size_t value_length),
                   void *arg) {
  MDB_val key = {length, (void *)prefix}, value;
  int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
  while (rc == 0 && key.mv_size >= length && memcmp(key.mv_data, prefix, length) == 0) {
    int stop = each(arg, (const char *)key.mv_data + length, key.mv_size - length, value.mv_data,
                    value.mv_size);
    if (stop)
      return stop;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  }
  return rc == MDB_NOTFOUND ? 0 : error_of(rc);
}

int disk_each(struct disk *d, const char *bucket,
              int (*each)(void *arg, const char *key, size_t key_length, const void *value,
                          size_t length),
              void *arg) {
  char prefix[DISK_KEY_MAX];
  int length = snprintf(prefix, sizeof prefix, "%s/", bucket);
  if (length >= (int)sizeof prefix)
    return -ENAMETOOLONG;
  MDB_txn *txn;
  MDB_cursor *cursor;
  int rc = mdb_txn_begin(d->env, NULL, MDB_RDONLY, &txn);
  if (rc)
    return error_of(rc);
  rc = error_of(mdb_cursor_open(txn, d->dbi, &cursor));
  if (rc == 0) {
    rc = each_of(cursor, prefix, (size_t)length, each, arg);
    mdb_cursor_close(cursor);
  }
  mdb_txn_abort(txn);
  return rc;
}
