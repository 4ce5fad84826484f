/* isolate: one Lua VM with one plugin in it, its memory account, its tasks and its handles.
 * Control thread only. Ending an isolate ends its tasks, cancels their operations, closes its
 * handles and gives all its memory back. */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct fault;
struct isolate;
struct io;

struct isolate_limits {
  size_t memory_soft, memory_hard; /* bytes; defaults 8 and 16 MiB. Soft: collect; hard: ERRMEM */
  int64_t turn_ns;                 /* longest run without yielding, then killed; default 100 ms */
  uint32_t log_lines_per_s;        /* default 100 */
  uint32_t max_tasks;              /* default 10,000 */
};

struct vm; /* what all isolates of a loop share: the loop, io, paths of lua/ and plugins/ */
struct vm_config {
  uv_loop_t *loop;
  struct io *io;
  const char *library; /* the directory that holds lua/ */
};
int vm_new(const struct vm_config *config, struct vm **out);
void vm_free(struct vm *vm);

int isolate_new(struct vm *vm, const char *name, const struct isolate_limits *limits,
                struct isolate **out, struct fault *f);
/* May be called from inside one of its own callbacks: it ends when the stack has unwound. Handles'
 * memory is given back by the loop's close callbacks. */
void isolate_free(struct isolate *iso);
const char *isolate_name(const struct isolate *iso);
struct vm *isolate_vm(const struct isolate *iso);
bool isolate_dead(const struct isolate *iso); /* a panic or an exhausted reserve; only free it */

/* The one way into Lua: runs `body` protected, with the turn's limit armed and errors turned into
 * `f` with a traceback. 0 or negative errno (-ENOMEM, -ETIME: killed, -EFAULT: raised). */
int isolate_enter(struct isolate *iso, int (*body)(lua_State *L, void *arg), void *arg,
                  struct fault *f);

struct isolate_stats {
  size_t memory, memory_peak, tasks, handles;
  uint64_t turns, killed, errors, log_suppressed;
};
void isolate_stats(const struct isolate *iso, struct isolate_stats *out);
