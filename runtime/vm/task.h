/* task: one coroutine of an isolate. A waiting task has exactly one pending operation, which has
 * one owner and one cancel. Bindings start an operation, then `return task_wait(...)`; when it is
 * over they call task_wake, once, from the loop. Control thread only.
 *
 *     static int sleep_call(lua_State *L) {
 *       struct nap *n = nap_start(...);                 // the operation
 *       return task_wait(L, n, nap_cancel, &n->wait);   // yields; nap_cancel frees it if the task ends first
 *     }
 *     static void nap_over(uv_timer_t *t) { ... task_wake(n->wait, push_nothing, n); nap_close(n); }
 */
#pragma once

#include <lua.h>
#include <stdint.h>

struct isolate;
struct task;
struct fault;

/* What a waiting task is woken by. Valid until task_wake or cancel, whichever is first. */
struct task_wait;
typedef void (*task_cancel_fn)(void *operation);

/* Call as `return task_wait(...)` from a lua_CFunction. Raises an error when the task cannot yield
 * here (inside a sort comparator, a metamethod, the plugin's main chunk). */
int task_wait(lua_State *L, void *operation, task_cancel_fn cancel, struct task_wait **out);

/* Ends the wait: `push` runs protected on the task's stack and returns how many values the waiting
 * call returns (may be NULL for none). Then the task runs on, before this returns. The cancel is
 * not called. If pushing fails for memory, the call returns nil, "out of memory", "ENOMEM". */
typedef int (*task_push_fn)(lua_State *L, void *arg);
void task_wake(struct task_wait *w, task_push_fn push, void *arg);

/* For bindings: nil, message, code. Pushes three and returns 3. `code` is an errno's name. */
int push_error(lua_State *L, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *errno_name(int error); /* ENOENT for -2 or 2; "EIO" for what has no name */

struct isolate *isolate_of(lua_State *L);

/* A handle that a plugin holds (socket, server, file watch): a udata with a generation-checked
 * pointer, closed once, by the plugin, by the collector, or by the isolate's end. */
struct handle {
  struct handle *next, **link; /* the isolate's list */
  struct isolate *isolate;
  void (*close)(struct handle *h); /* must end in handle_gone, at once or from a close callback */
};
/* Pushes the udata; `type` names a metatable registered with luaL_newmetatable in the isolate. */
void handle_push(lua_State *L, struct handle *h, const char *type,
                 void (*close)(struct handle *h));
/* The live handle at `index`, or raises "closed socket" and the like. */
struct handle *handle_check(lua_State *L, int index, const char *type);
/* Detaches it from its udata (later uses say it is closed). The owner frees its memory. */
void handle_gone(struct handle *h);
void handle_close(struct handle *h); /* idempotent; calls close once */
