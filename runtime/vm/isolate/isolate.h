/* isolate: one Lua VM with one plugin in it, its memory account, its tasks and its handles.
 * On the thread of its vm: the control thread, or a worker for its own pickers. Ending an isolate
 * ends its tasks, cancels their operations, closes its handles and gives all its memory back. */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct fault;
struct isolate;
struct io;
struct set_published;

struct value;
struct isolate_limits {
  size_t memory_soft, memory_hard; /* bytes; defaults 8 and 16 MiB. Soft: collect; hard: ERRMEM */
  int64_t turn_ns; /* CPU time of one run without waiting, then killed; default 100 ms. A pick may
                      take a fiftieth of it */
  uint32_t log_lines_per_s;  /* default 100 */
  uint32_t max_tasks;        /* default 10,000 */
  uint32_t max_handles;      /* sockets, servers, watchers, streams; default 1,000 */
  const struct value *grant; /* grant.h; a reference is taken. NULL: everything but ffi */
  /* The JIT is on, and what bounds a turn beside its time is how many steps it takes (fuel.h;
   * default 250,000: a millisecond of compiled code). Of `perigee` there is what never waits. */
  bool compiled;
  int32_t steps;
  bool elsewhere; /* what this very agent answers it over HTTP is an error (ELOOP) */
};

/* The registry that plugins register in, as its host offers it, and the others that they may watch.
 * Each verb takes a change and
 * returns 0: then `reply` is called once, later, from the loop, with 0 or a negative errno and what
 * it says; or negative errno with `f`: then it is not called. */
typedef void (*vm_reply)(void *to, int status, const char *text);
struct vm_registry {
  void *arg;
  /* An instance as in the body of PUT /v1/agent/service/register; its id is malloc'd, the caller's.
   */
  int (*add)(void *arg, const char *json, size_t length, char **id, vm_reply reply, void *to,
             struct fault *f);
  int (*remove)(void *arg, const char *id, vm_reply reply, void *to, struct fault *f);
  int (*renew)(void *arg, const char *id, vm_reply reply, void *to, struct fault *f);
  const char *(*service_of)(void *arg, const char *id); /* NULL: no instance has this id */
  unsigned (*port)(
      void *arg); /* of the host's own HTTP API, which can do more than this; 0: none */
  /* What the registry of this target has (set_published, rows by id): `told` later, from the loop,
   * whenever that is something new, until `unwatch(*watch)`. `by` asks. */
  int (*watch)(void *arg, const char *target, const struct isolate *by,
               void (*told)(void *to, const struct set_published *what), void *to, void **watch,
               struct fault *f);
  void (*unwatch)(void *watch);
};

struct vm; /* what all isolates of a loop share: the loop, io, the library's source, the turn's
              watch */
struct vm_config {
  uv_loop_t *loop;
  struct io *io;
  const char *library; /* the directory that holds lua/ */
  const struct value
      *host; /* becomes ctx.host: name, zone, ...; a reference is taken; may be NULL */
  const struct vm_registry *registry; /* outlives the vm; NULL: plugins have none */
  const char *run_dir;                /* whose catalog they pick from; copied; NULL: none */
  bool scripted;                      /* script.h: nothing leaves the process */
};
/* One a thread, on the loop's thread. -ENOENT: the library is not where `config` says. */
int vm_new(const struct vm_config *config, struct vm **out, struct fault *f);
/* After its isolates. Its memory is given back by the loop's close callbacks. */
void vm_free(struct vm *vm);
/* Another ctx.host, from the next call of each plugin on. A reference is taken. */
void vm_host(struct vm *vm, const struct value *host);
struct io *vm_io(const struct vm *vm);
const struct vm_registry *vm_registry(const struct vm *vm); /* may be NULL */
/* The catalog to pick from, opened when first asked for. 0, or as perigee_open. */
struct perigee;
int vm_catalog(struct vm *vm, struct perigee **out);

/* Who picks in balancers' places for perigee.pick and perigee.call; outlives the plugins. */
struct pickers;
void vm_pick_by(struct vm *vm, struct pickers *pickers);

/* What its isolates hold together, for the specs that look for leaks; and how many turns they had.
 */
struct vm_stats {
  size_t isolates, memory, tasks, handles;
  uint64_t turns;
};
void vm_stats(const struct vm *vm, struct vm_stats *out);

int isolate_new(struct vm *vm, const char *name, const struct isolate_limits *limits,
                struct isolate **out, struct fault *f);
/* May be called from inside one of its own callbacks: it ends when the stack has unwound. Handles'
 * memory is given back by the loop's close callbacks. */
void isolate_free(struct isolate *iso);
/* The isolate that `L` belongs to; never NULL in a binding. */
struct isolate *isolate_of(lua_State *L);
const struct isolate_limits *isolate_limits(const struct isolate *iso); /* with the defaults */
struct vm *isolate_vm(const struct isolate *iso);
/* A task of it has given way in its turn: until that goes on, nothing else of it may run. */
bool isolate_busy(const struct isolate *iso);
bool isolate_dead(const struct isolate *iso); /* a panic or an exhausted reserve; only free it */

/* The one way into Lua: runs `body` protected, with the turn's limit armed and errors turned into
 * `f` with who called whom. `body` returns 0 or a negative errno, which is returned (it fills `f`
 * itself then); else -ENOMEM, -ETIME: killed, -EFAULT: raised. */
int isolate_enter(struct isolate *iso, int (*body)(lua_State *L, void *arg), void *arg,
                  struct fault *f);

struct isolate_stats {
  size_t memory, memory_peak, tasks, handles;
  uint64_t turns, killed, errors, log_suppressed;
};
void isolate_stats(const struct isolate *iso, struct isolate_stats *out);
