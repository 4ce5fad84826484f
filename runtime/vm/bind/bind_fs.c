/* perigee.fs: read(path, { limit }): its bytes; write(path, text): true, once the whole of it is
 * there and on the disk; rename(from, to): true; stat(path): { type, size, modified, mode };
 * list(path): { { name, type }, ... } by name; watch(path): a watcher, whose next([timeout]) waits
 * for a change and gives the names that changed (none: look yourself). */
#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "io/file.h"
#include "io/io.h"
#include "io/file_watch.h"
#include "vm/bind/bind_io.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/grant.h"
#include "vm/isolate/script.h"

enum { READ_MAX = 64 * 1024 * 1024 };

struct job {
  struct file_job *file;
  struct task_wait *wait;
  int (*push)(lua_State *L, const struct file_result *r);
  const struct file_result *result;
  size_t limit, root, to_root;
  const char *text; /* to write; or the path to rename to */
  size_t text_length;
  char path[];
};

static int push_read(lua_State *L, const struct file_result *r) {
  lua_pushlstring(L, r->data, r->length);
  return 1;
}

static int push_stat(lua_State *L, const struct file_result *r) {
  lua_createtable(L, 0, 4);
  lua_pushstring(L, r->type);
  lua_setfield(L, -2, "type");
  lua_pushnumber(L, (double)r->size);
  lua_setfield(L, -2, "size");
  lua_pushnumber(L, (double)r->modified_ns / 1e9);
  lua_setfield(L, -2, "modified");
  lua_pushinteger(L, (lua_Integer)r->mode);
  lua_setfield(L, -2, "mode");
  return 1;
}

static int push_list(lua_State *L, const struct file_result *r) {
  lua_createtable(L, (int)r->count, 0);
  for (size_t i = 0; i < r->count; i++) {
    lua_createtable(L, 0, 2);
    lua_pushstring(L, r->entries[i].name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, r->entries[i].type);
    lua_setfield(L, -2, "type");
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

static int push_outcome(lua_State *L, void *arg) {
  const struct job *job = arg;
  int status = job->result->status;
  if (status == 0)
    return job->push(L, job->result);
  if (status == -EXDEV && (job->root || job->to_root))
    return push_outside(L, job->path);
  return push_error(L, status, "%s: %s", job->path,
                    status == -EINVAL ? "not a regular file" : io_reason(status));
}

static void on_done(void *arg, const struct file_result *result) {
  struct job *job = arg;
  job->result = result;
  task_wake(job->wait, push_outcome, job);
  free(job);
}

static void job_cancel(void *operation) {
  struct job *job = operation;
  file_cancel(job->file);
  free(job);
}

static int start_read(struct io *io, struct job *job) {
  return file_read(io, job->path, job->root, job->limit, on_done, job, &job->file);
}

static int start_stat(struct io *io, struct job *job) {
  return file_stat(io, job->path, job->root, on_done, job, &job->file);
}

static int start_list(struct io *io, struct job *job) {
  return file_list(io, job->path, job->root, on_done, job, &job->file);
}

/* Starts a job on the path at 1 (with the text at 2, if it takes one), and waits for it. */
static int job_call(lua_State *L, const char *verb, enum grant what, const struct job *with,
                    int (*start)(struct io *io, struct job *job),
                    int (*push)(lua_State *L, const struct file_result *r)) {
  size_t length, root;
  const char *path = luaL_checklstring(L, 1, &length);
  luaL_argcheck(L, strlen(path) == length, 1, "a path without NUL bytes expected");
  wait_check(L);
  if (!granted_path(L, what, path, &root))
    return push_ungranted(L);
  if (scripted(L)) {
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    return script_ask(L, verb, 2, 0, "");
  }
  struct job *job = calloc(1, sizeof *job + length + 1);
  if (!job)
    return push_error(L, -ENOMEM, "out of memory");
  *job = *with;
  job->push = push;
  job->root = root;
  job->text = lua_tolstring(L, 2, &job->text_length);
  memcpy(job->path, path, length + 1);
  int rc = start(io_of(L), job);
  if (rc == 0)
    return task_wait(L, job, job_cancel, &job->wait);
  free(job);
  return push_error(L, rc, "%s", uv_strerror(rc));
}

static int push_written(lua_State *L, const struct file_result *r) {
  (void)r;
  lua_pushboolean(L, true);
  return 1;
}

static int start_write(struct io *io, struct job *job) {
  return file_write(io, job->path, job->root, job->text, job->text_length, on_done, job,
                    &job->file);
}

static int start_rename(struct io *io, struct job *job) {
  return file_rename(io, job->path, job->root, job->text, job->to_root, on_done, job, &job->file);
}

static int read_call(lua_State *L) {
  static const char *const known[] = {"limit", NULL};
  luaL_checkstring(L, 1);
  options_check(L, 2, known);
  size_t limit = (size_t)option_integer(L, 2, "limit", 1, READ_MAX, FILE_READ_LIMIT);
  return job_call(L, "read", GRANT_READ, &(struct job){.limit = limit}, start_read, push_read);
}

static int write_call(lua_State *L) {
  luaL_checkstring(L, 2);
  return job_call(L, "write", GRANT_WRITE, &(struct job){0}, start_write, push_written);
}

static int rename_call(lua_State *L) {
  size_t length, root;
  const char *to = luaL_checklstring(L, 2, &length);
  luaL_argcheck(L, strlen(to) == length, 2, "a path without NUL bytes expected");
  if (!granted_path(L, GRANT_WRITE, to, &root))
    return push_ungranted(L);
  return job_call(L, "rename", GRANT_WRITE, &(struct job){.to_root = root}, start_rename,
                  push_written);
}

static int stat_call(lua_State *L) {
  return job_call(L, "stat", GRANT_READ, &(struct job){0}, start_stat, push_stat);
}

static int list_call(lua_State *L) {
  return job_call(L, "list", GRANT_READ, &(struct job){0}, start_list, push_list);
}

/* ---- watching ---- */

struct lua_watch {
  struct handle handle;
  struct file_watch *watch;
  struct task_wait *waiter;
};

struct change {
  int status;
  const char *const *names;
  size_t count;
};

static int push_change(lua_State *L, void *arg) {
  const struct change *c = arg;
  if (c->status < 0)
    return push_error(L, c->status, "%s",
                      c->status == -ETIMEDOUT ? "no change in time" : "the watcher was closed");
  lua_createtable(L, (int)c->count, 0);
  for (size_t i = 0; i < c->count; i++) {
    lua_pushstring(L, c->names[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

static void lua_watch_close(struct handle *h) {
  struct lua_watch *w = (struct lua_watch *)h;
  struct task_wait *waiter = w->waiter;
  handle_gone(h);
  file_watch_close(w->watch);
  free(w);
  if (waiter)
    task_wake(waiter, push_change, &(struct change){.status = -ECANCELED});
}

static void on_change(void *arg, int status, const char *const *names, size_t count) {
  struct lua_watch *w = arg;
  struct task_wait *waiter = w->waiter;
  w->waiter = NULL;
  task_wake(waiter, push_change, &(struct change){status, names, count});
}

static void next_cancel(void *operation) {
  struct lua_watch *w = operation;
  w->waiter = NULL;
  file_watch_cancel(w->watch);
}

static int next_call(lua_State *L) {
  struct lua_watch *w = (struct lua_watch *)handle_check(L, 1, "watcher");
  uint64_t timeout = argument_ms(L, 2, 0);
  wait_check(L);
  keep_while_waiting(L, 1);
  int rc = file_watch_next(w->watch, timeout, on_change, w);
  if (rc < 0)
    return push_error(L, rc, "another task waits on this watcher");
  return task_wait(L, w, next_cancel, &w->waiter);
}

static int watch_call(lua_State *L) {
  struct fault f;
  struct file_watch *watch;
  const char *path = luaL_checkstring(L, 1);
  size_t root;
  if (!granted_path(L, GRANT_READ, path, &root))
    return push_ungranted(L);
  lua_settop(L, 1);
  if (scripted(L)) {
    script_tell(L, "watch", 1, 1);
    return 1;
  }
  int rc = file_watch_open(io_of(L), path, root, &watch, &f);
  if (rc == -EXDEV)
    return push_outside(L, path);
  if (rc < 0)
    return push_error(L, rc, "%s", f.text);
  struct lua_watch *w = calloc(1, sizeof *w);
  if (!w) {
    file_watch_close(watch);
    return push_error(L, -ENOMEM, "out of memory");
  }
  w->watch = watch;
  handle_push(L, &w->handle, "watcher", lua_watch_close);
  return 1;
}

int open_fs(lua_State *L) {
  static const struct luaL_Reg functions[] = {
      {"read", read_call}, {"write", write_call}, {"rename", rename_call},
      {"stat", stat_call}, {"list", list_call},   {"watch", watch_call},
      {NULL, NULL}};
  static const struct luaL_Reg methods[] = {{"next", next_call}, {NULL, NULL}};
  handle_type(L, "watcher", methods);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
