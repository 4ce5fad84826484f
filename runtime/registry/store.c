#include "registry/store.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "registry/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One call of store_apply, on its way to the disk and back. One allocation. */
struct group {
  struct group *next;
  store_done done;
  void *arg;
  int status;
  uint32_t count;
  struct disk_change changes[];
};

struct groups { /* first in, first out */
  struct group *first, **last;
  uint64_t count;
};

enum {
  COMMIT_MOST = 4096, /* groups a transaction: bounds how long an answer waits for others */
  ANSWER_MOST = 128,  /* answers a turn: each may change sets and the view; the loop must go on */
};

struct store {
  uv_async_t answers; /* woken by the thread, and by itself while answers are left */
  uv_thread_t thread;
  uv_mutex_t mutex; /* guards what follows, up to `disk` */
  uv_cond_t queued;
  struct groups queue, answered;
  struct store_stats stats;
  bool closing, ended;
  struct disk *disk;  /* NULL: in memory, no thread. Used by the thread once there was a change */
  struct groups owed; /* taken from `answered`; control thread */
  uint64_t damaged;
  bool failing; /* the thread: the last commit failed, and was logged */
  void (*closed)(void *arg);
  void *closed_arg;
};

static void groups_init(struct groups *g) {
  *g = (struct groups){.last = &g->first};
}

static void groups_add(struct groups *g, struct group *one) {
  one->next = NULL;
  *g->last = one;
  g->last = &one->next;
  g->count++;
}

static struct group *groups_take(struct groups *g) {
  struct group *one = g->first;
  if (one) {
    g->first = one->next;
    g->count--;
    if (!g->first)
      g->last = &g->first;
  }
  return one;
}

static void groups_append(struct groups *to, struct groups *from) {
  if (!from->first)
    return;
  *to->last = from->first;
  to->last = from->last;
  to->count += from->count;
  groups_init(from);
}

/* ---- the thread ---- */

static int write_changes(struct disk *d, const struct group *g) {
  int rc = 0;
  for (uint32_t i = 0; rc == 0 && i < g->count; i++)
    rc = disk_change(d, &g->changes[i]);
  return rc;
}

/* Commits `first` and those after it as one transaction. */
static int commit(struct store *s, const struct group *first, uint64_t count) {
  int rc;
  do {
    rc = disk_begin(s->disk);
    const struct group *g = first;
    for (uint64_t i = 0; rc == 0 && i < count; i++, g = g->next)
      rc = write_changes(s->disk, g);
    if (rc == 0)
      rc = disk_commit(s->disk);
  } while (rc != 0 && disk_grew(s->disk));
  return rc;
}

static bool changes_nothing(const struct groups *batch) {
  for (const struct group *g = batch->first; g; g = g->next)
    if (g->count)
      return false;
  return true;
}

static void log_outcome(struct store *s, int rc) {
  if (rc && !s->failing)
    log_error("the store cannot be written: changes are refused", LOG_S("error", strerror(-rc)));
  else if (!rc && s->failing)
    log_info("the store can be written again");
  s->failing = rc != 0;
}

/* Together if that works, else each alone: one that cannot be written does not take the others with
 * it, and each gets its own answer. */
static void commit_batch(struct store *s, struct groups *batch) {
  if (changes_nothing(batch))
    return;
  struct store_stats add = {0};
  int64_t began = clock_now_ns();
  int rc = commit(s, batch->first, batch->count), last = rc;
  add.commits += rc == 0;
  for (struct group *g = batch->first; g; g = g->next) {
    g->status = rc;
    if (rc && batch->count > 1) {
      g->status = last = commit(s, g, 1);
      add.commits += last == 0;
    }
    *(g->status ? &add.failures : &add.changes) += g->count;
  }
  log_outcome(s, last);
  uv_mutex_lock(&s->mutex);
  s->stats.commits += add.commits;
  s->stats.changes += add.changes;
  s->stats.failures += add.failures;
  s->stats.last_commit_ns = clock_now_ns() - began;
  uv_mutex_unlock(&s->mutex);
}

static void thread_main(void *arg) {
  struct store *s = arg;
  for (;;) {
    struct groups batch;
    groups_init(&batch);
    uv_mutex_lock(&s->mutex);
    while (!s->queue.first && !s->closing)
      uv_cond_wait(&s->queued, &s->mutex);
    while (s->queue.first && batch.count < COMMIT_MOST)
      groups_add(&batch, groups_take(&s->queue));
    s->ended = batch.count == 0;
    uv_mutex_unlock(&s->mutex);
    if (batch.count == 0)
      break;
    commit_batch(s, &batch);
    uv_mutex_lock(&s->mutex);
    s->stats.queue -= batch.count;
    groups_append(&s->answered, &batch);
    uv_mutex_unlock(&s->mutex);
    uv_async_send(&s->answers);
  }
  uv_async_send(&s->answers);
}

/* ---- the control thread ---- */

static void on_closed(uv_handle_t *handle) {
  struct store *s = handle->data;
  void (*closed)(void *) = s->closed;
  void *arg = s->closed_arg;
  uv_cond_destroy(&s->queued);
  uv_mutex_destroy(&s->mutex);
  free(s);
  if (closed)
    closed(arg);
}

static void end(struct store *s) {
  if (s->disk) {
    uv_thread_join(&s->thread); /* it has nothing left to do */
    disk_close(s->disk);
  }
  uv_close((uv_handle_t *)&s->answers, on_closed);
}

static void on_answers(uv_async_t *async) {
  struct store *s = async->data;
  uv_mutex_lock(&s->mutex);
  groups_append(&s->owed, &s->answered);
  uv_mutex_unlock(&s->mutex);
  for (int i = 0; i < ANSWER_MOST; i++) {
    struct group *g = groups_take(&s->owed);
    if (!g)
      break;
    if (g->done)
      g->done(g->arg, g->status);
    free(g);
  }
  uv_mutex_lock(&s->mutex);
  bool over = s->ended && !s->answered.first;
  uv_mutex_unlock(&s->mutex);
  if (s->owed.first)
    uv_async_send(&s->answers);
  else if (over)
    end(s);
}

int store_open(uv_loop_t *loop, const char *dir, struct store **out, struct fault *f) {
  struct store *s = calloc(1, sizeof *s);
  if (!s)
    return fault_set(f, -ENOMEM, "out of memory");
  bool aside = false;
  int rc = dir ? disk_open(dir, &s->disk, &aside, f) : 0;
  if (rc) {
    free(s);
    return rc;
  }
  s->stats.in_memory = !dir;
  s->stats.set_aside = aside;
  groups_init(&s->queue);
  groups_init(&s->answered);
  groups_init(&s->owed);
  s->answers.data = s;
  if (uv_mutex_init(&s->mutex) != 0 || uv_cond_init(&s->queued) != 0)
    abort(); /* glibc's never fail */
  rc = uv_async_init(loop, &s->answers, on_answers);
  if (rc == 0 && s->disk) {
    rc = uv_thread_create(&s->thread, thread_main, s);
    if (rc) { /* the handle is in the loop: it is freed by its close callback */
      disk_close(s->disk);
      s->disk = NULL;
      uv_close((uv_handle_t *)&s->answers, on_closed);
      return fault_set(f, rc, "cannot start the store's thread: %s", strerror(-rc));
    }
  }
  if (rc) {
    if (s->disk)
      disk_close(s->disk);
    free(s);
    return fault_set(f, rc, "cannot watch the store's thread: %s", strerror(-rc));
  }
  *out = s;
  return 0;
}

void store_close(struct store *s, void (*closed)(void *arg), void *arg) {
  s->closed = closed;
  s->closed_arg = arg;
  uv_mutex_lock(&s->mutex);
  s->closing = true;
  s->ended = !s->disk;
  uv_cond_signal(&s->queued);
  uv_mutex_unlock(&s->mutex);
  if (!s->disk)
    uv_async_send(&s->answers);
}

/* 32-bit FNV-1a over key and value: tells a torn or foreign record, not an attacker. */
static uint32_t checksum(const char *key, size_t key_length, const void *value, size_t length) {
  uint32_t h = 0x811c9dc5u;
  for (size_t i = 0; i < key_length; i++)
    h = (h ^ (unsigned char)key[i]) * 0x01000193u;
  for (size_t i = 0; i < length; i++)
    h = (h ^ ((const unsigned char *)value)[i]) * 0x01000193u;
  return h;
}

static char *pack_change(char *at, struct disk_change *to, const struct store_change *from) {
  size_t bucket = strlen(from->bucket), key = strlen(from->key);
  to->key = at;
  to->key_length = bucket + 1 + key;
  memcpy(at, from->bucket, bucket);
  at[bucket] = '/';
  memcpy(at + bucket + 1, from->key, key);
  at += to->key_length;
  to->erase = !from->value;
  if (to->erase)
    return at;
  uint32_t sum = checksum(from->key, key, from->value, from->length);
  to->value = at;
  to->length = from->length + sizeof sum;
  memcpy(at, from->value, from->length);
  memcpy(at + from->length, &sum, sizeof sum);
  return at + to->length;
}

int store_apply(struct store *s, const struct store_change *changes, size_t count, store_done done,
                void *arg) {
  size_t size = 0;
  for (size_t i = 0; i < count; i++) {
    size_t key = strlen(changes[i].bucket) + 1 + strlen(changes[i].key);
    if (key > DISK_KEY_MAX)
      return -ENAMETOOLONG;
    size += key + (changes[i].value ? changes[i].length + sizeof(uint32_t) : 0);
  }
  struct group *g = malloc(sizeof *g + count * sizeof *g->changes + size);
  if (!g)
    return -ENOMEM;
  *g = (struct group){.done = done, .arg = arg, .count = (uint32_t)count};
  char *at = (char *)&g->changes[count];
  for (size_t i = 0; i < count; i++) {
    g->changes[i] = (struct disk_change){0};
    at = pack_change(at, &g->changes[i], &changes[i]);
  }
  uv_mutex_lock(&s->mutex);
  bool closing = s->closing;
  if (!closing && s->disk) {
    groups_add(&s->queue, g);
    s->stats.queue++;
    uv_cond_signal(&s->queued);
  } else if (!closing) {
    groups_add(&s->answered, g);
    s->stats.changes += count;
  }
  uv_mutex_unlock(&s->mutex);
  if (closing)
    free(g);
  else if (!s->disk)
    uv_async_send(&s->answers);
  return closing ? -ESHUTDOWN : 0;
}

int store_put(struct store *s, const char *bucket, const char *key, const void *value,
              size_t length, store_done done, void *arg) {
  struct store_change change = {bucket, key, value, length};
  return store_apply(s, &change, 1, done, arg);
}

struct reading {
  struct store *store;
  const char *bucket;
  int (*each)(void *arg, const char *key, const void *value, size_t length);
  void *arg;
};

static int read_record(void *arg, const char *key, size_t key_length, const void *value,
                       size_t length) {
  struct reading *r = arg;
  char name[DISK_KEY_MAX + 1] = "";
  uint32_t sum;
  if (key_length <= DISK_KEY_MAX && length >= sizeof sum) {
    memcpy(name, key, key_length);
    name[key_length] = '\0';
    length -= sizeof sum;
    memcpy(&sum, (const char *)value + length, sizeof sum);
    if (sum == checksum(key, key_length, value, length))
      return r->each(r->arg, name, value, length);
  }
  r->store->damaged++;
  log_error("a record of the store is damaged: left out", LOG_S("bucket", r->bucket),
            LOG_S("key", name));
  return 0;
}

int store_each(struct store *s, const char *bucket,
               int (*each)(void *arg, const char *key, const void *value, size_t length),
               void *arg) {
  struct reading r = {s, bucket, each, arg};
  return s->disk ? disk_each(s->disk, bucket, read_record, &r) : 0;
}

void store_stats(const struct store *s, struct store_stats *out) {
  struct store *mine = (struct store *)s; /* the lock is not part of the value */
  uv_mutex_lock(&mine->mutex);
  *out = s->stats;
  uv_mutex_unlock(&mine->mutex);
  out->damaged = s->damaged;
}
