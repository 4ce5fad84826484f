/* task: one coroutine of an isolate. A waiting task has exactly one pending operation, which has
 * one owner and one cancel. Bindings start an operation, then `return task_wait(...)`; when it is
 * over they call task_wake, once, from the loop. Control thread only.
 *
 *     static int sleep_call(lua_State *L) {
 *       struct nap *n = nap_start(...);                 // the operation
 *       return task_wait(L, n, nap_cancel, &n->wait);   // yields; nap_cancel frees it if the task
 * ends first
 *     }
 *     static void nap_over(uv_timer_t *t) { ... task_wake(n->wait, push_nothing, n); nap_close(n);
 * }
 */
#pragma once

#include "vm/isolate/argument.h"
#include "vm/isolate/isolate.h"

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

struct task;

/* What a waiting task is woken by. Valid until task_wake or cancel, whichever is first. */
struct task_wait;
typedef void (*task_cancel_fn)(void *operation);

/* Call as `return task_wait(...)` from a lua_CFunction. Raises an error when the task cannot yield
 * here (inside a sort comparator, a metamethod, the plugin's main chunk); `cancel` has been called
 * by then, so the caller has nothing to clean up. Ask task_can_wait first where starting the
 * operation has effects. */
int task_wait(lua_State *L, void *operation, task_cancel_fn cancel, struct task_wait **out);

bool task_can_wait(lua_State *L);

/* Keeps the value at `index` until this task's next wait is over: what is on a waiting task's stack
 * is not kept, and a handle that is collected closes. Call it before the operation starts. */
void task_keep(lua_State *L, int index);

/* Ends the wait, from the loop (never from inside a binding): `push` runs protected, on the
 * isolate's own stack, and returns how many values the waiting call returns, at most
 * TASK_VALUES_MAX (may be NULL for none). Then the task runs on, before this returns; it may end
 * the isolate. The cancel is not called. If pushing fails, the call returns nil, the reason and its
 * code: "out of memory", "ENOMEM". */
#define TASK_VALUES_MAX 16
typedef int (*task_push_fn)(lua_State *L, void *arg);
void task_wake(struct task_wait *w, task_push_fn push, void *arg);

/* A handle that a plugin holds (socket, server, file watch). Lua sees a udata that points at it and
 * that it points back at: whichever goes first clears the other's pointer, so neither can be used
 * after it ended. Closed once: by the plugin, by the collector, or by the isolate's end. What a
 * call of the host's leaves open, the collector looks at when the call has returned: it stays if
 * the plugin has kept it. */
struct handle {
  struct handle *next, **link;     /* the isolate's list */
  struct isolate *isolate;         /* NULL once gone, or once the isolate has ended */
  struct task *opener;             /* the host's call; NULL: of none that is under way */
  struct handle **udata;           /* the udata's word; NULL when it was collected */
  void (*close)(struct handle *h); /* must end in handle_gone, at once or from a close callback */
  bool closing;
};
/* Once an isolate, at its opening: makes the metatable `type` with __gc, and with `methods` (ended
 * by a NULL name) beside a `close`. */
struct luaL_Reg;
void handle_type(lua_State *L, const char *type, const struct luaL_Reg *methods);
/* Pushes the udata. Raises for memory and for too many, with `h` closed by then. */
void handle_push(lua_State *L, struct handle *h, const char *type, void (*close)(struct handle *h));
/* The live handle at `index`, or raises "socket: closed" and the like. */
struct handle *handle_check(lua_State *L, int index, const char *type);
/* Detaches it from its udata (later uses say it is closed). The owner frees its memory. */
void handle_gone(struct handle *h);
void handle_close(struct handle *h); /* idempotent; calls close once */
