/* inside: what the files of vm/'s rooms share and nobody else sees. Control thread only, but for
 * the words of `struct turn` that the signal handler of turn.c reads. */
#pragma once

#include "base/alarms.h"
#include "base/fault.h"
#include "vm/isolate/fuel.h"
#include "vm/isolate/isolate.h"
#include "vm/isolate/pool.h"
#include "vm/isolate/source.h"
#include "vm/isolate/task.h"

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>

struct value;

/* turn: one uninterrupted run of Lua. Turns nest when a callback of one isolate enters another. */
struct turn {
  lua_State *L;
  struct turn *outer;
  volatile sig_atomic_t allowed;         /* of TURN_TICK_NS of this thread's CPU time */
  volatile sig_atomic_t patience, stuck; /* so many for what cannot give way; they are over */
  volatile sig_atomic_t hooked, over;    /* a hook is installed; it is the one that kills */
  volatile sig_atomic_t due;             /* it has had its time, or its slice is over */
  struct fuel *fuel;                     /* NULL: not a compiled isolate */
  volatile int64_t first_ns;             /* CPU time when its clock was started; 0: it was not */
  bool sliceable, sliced;                /* may give way; did */
  int passed;                            /* so often it was seen on its way up to the task */
};
/* turn_share: what one task has of the CPU between two waits, in slices. */
struct turn_share {
  int64_t spent_ns; /* by the slices so far */
  bool sliced;
};
enum { TURN_TICK_NS = 1000 * 1000 };
int turn_watch_start(uv_loop_t *loop, struct fault *f); /* this thread's; one user a thread */
void turn_watch_stop(void);
/* Between them those go on that were slow: for TURN_TICK_NS together, by the wall clock. */
void turn_slices_begin(void);
void turn_slices_end(void);
bool turn_slices_over(void); /* that is over */
/* `share`: of the task that is resumed, the same for both; NULL: not a task, it cannot give way. */
void turn_begin(struct turn *turn, struct isolate *iso, const struct turn_share *share);
/* True when the turn was killed. */
bool turn_end(struct turn *turn, struct isolate *iso, struct turn_share *share);
/* What lies between them is the host's own work, of a bounded size: it is not counted as the turn's
 * that it is in. */
void turn_aside(struct turn *aside, lua_State *L);
void turn_resume(const struct turn *aside);
bool turn_is_over(void);       /* for what is in C just now */
bool turn_is_due(void);        /* it should give way: a C function that can, does (task_give_way) */
void turn_slice(lua_State *L); /* it does */
int64_t turn_patience_ns(const struct isolate *iso); /* with what cannot give way */
/* Raises where the turn is over: for loops in C that may take long. `steps` is what that took since
 * the last time, as a compiled isolate counts. */
void turn_poll(lua_State *L, int32_t steps);
void turn_name_place(struct isolate *iso, lua_State *L); /* where L is, into iso->where */
bool turn_is_deep(void); /* so much of the C stack is in use that nothing should nest further */

/* Who wants to know of a task's end. Its owner frees it; `ended` is called once, unwatched. */
struct task_watch {
  struct task_watch *next, **link;
  struct task *task;
  void (*ended)(struct task_watch *w, struct task *t);
};

/* Isolates that have tasks to run, in the order in which they will. */
struct isolate_line {
  struct isolate *first, **last;
  size_t count;
};

struct vm {
  uv_loop_t *loop;
  struct io *io;
  char *directory; /* that holds lua/ and plugins/ */
  struct value *host;
  const struct vm_registry *registry;
  char *run_dir;
  struct perigee *catalog; /* NULL until somebody picks */
  struct pickers *pickers; /* NULL: balancers alone pick */
  struct library_chunk *library;
  uv_idle_t idle;       /* runs while a line is not empty */
  struct alarms alarms; /* what its tasks wait for: naps, deadlines */
  uv_timer_t timer;     /* of the first of them */
  uv_timer_t rest;      /* active: nobody who has had a slice goes on */
  unsigned closing;     /* of the three handles: how many are still open */
  bool scripted;
  struct answered *answered, *answered_last; /* script.c: calls that have their results */
  struct spec_bench *bench;                  /* of the test that runs: spec/bind_spec.c */
  uint64_t pass;                             /* of the lines, counted */
  uint64_t hit; /* the pass in which a turn was slow; 0: nobody rests for it yet */
  int hit_ms;   /* how slow */
  struct isolate_line ready, later; /* later: those that were slow, or have had many turns */
  size_t isolates, memory;
  struct isolate *first;
};

/* A file that it has required, in the order in which they were. */
struct required {
  struct required *next;
  struct value *text; /* NULL: of the library that ships */
  char *name;
  char hash[SOURCE_HASH_SIZE];
  char path[];
};

struct isolate {
  struct isolate *next, **link;
  struct vm *vm;
  char *name;
  char *own_library; /* where it may require from beside the library; NULL: nowhere */
  struct required *required;
  struct value *parts; /* what it requires, by name, in the place of files; NULL: the files */
  lua_State *L;        /* the main one: host work only, never a plugin's waiting code */
  struct isolate_limits limits;
  struct pool pool;
  size_t memory, memory_peak, collect_at;
  size_t lifted;   /* bytes allowed over the hard limit just now (memory.c) */
  unsigned in_lua; /* plugin code is running: the hard limit holds */
  bool refuse;     /* a killed turn: every allocation fails, which no handler sees */
  bool killed, dead, ending, closing;
  bool stuck;        /* it was, as it could not give way */
  struct fuel fuel;  /* of a compiled one, this turn's */
  int64_t turn_ns;   /* that its turns may take just now: limits.turn_ns, but in isolate_run */
  char where[200];   /* where the killed code was */
  char refused[200]; /* grant.c: what was asked for last without being granted */
  unsigned depth;    /* host frames that still use the isolate; freed at 0 when `ending` */
  jmp_buf *fence;
  struct task *tasks, *ended, *running;
  struct task *tasks_ready, **tasks_ready_last; /* in the order in which they will run */
  struct isolate_line *in_line;                 /* of the vm's; NULL: none of its tasks is ready */
  struct isolate *line_next, **line_link;
  struct task *sliced; /* gave way in its turn: until it goes on, no other task does */
  bool slow;           /* its last task was: the next begins among those that gave way */
  bool gave_way;       /* a coroutine of the running task, and who resumed it does not know yet */
  int enclosed;        /* so many coroutines of it were resumed where nothing can yield */
  lua_State *spare;    /* a stack that a task is through with, for the next; NULL: none */
  int spare_ref;
  uint64_t tired; /* the pass in which it was slow: its next turn is in a later one */
  uint64_t turns_pass, turns_before; /* the pass of its last turn; its turns before that one */
  unsigned settling;                 /* ended tasks are being told of: who that wakes is queued */
  struct handle *handles;
  size_t task_count, handle_count;
  uint64_t turns, kills, errors, log_suppressed;
  double log_tokens; /* bind_log.c's bucket */
  int64_t log_refilled_ns;
  uint64_t log_unreported;
  int ref_body, ref_explain, ref_udata,
      ref_read; /* functions made once, so that a protected call allocates nothing */
  int ref_collector;
  struct task_watch collecting; /* its task */
  int cycles;                   /* that are behind it */
  int ref_fuel;                 /* `fuel` as the plugin's code sees it */
  char callers[250];            /* who called what raised last, for the fault */
};

/* chunk.c: as luaL_loadbufferx, of source alone, with the checks of fuel.h where the isolate is
 * compiled. */
int chunk_load(lua_State *L, const char *text, size_t length, const char *name);

static inline bool fuel_is_spent(const struct isolate *iso) {
  return iso->limits.compiled && iso->fuel.left < iso->fuel.floor;
}

/* vm.c: has tasks_run called in the loop's next turn. */
void vm_wake(struct vm *vm);
void vm_rest(struct vm *vm, int ms); /* the same, that much later; `rest` is active meanwhile */

/* due.c: a time that something waits for, embedded in what waits; `fire` is set by its owner. A
 * due_stop for each due_start that was 0, whether it fired or not. Nothing is due in less than 1
 * ms.
 */
void due_open(struct vm *vm);
int due_start(struct vm *vm, struct alarm *a, int64_t ns); /* from now; 0 or -ENOMEM */
void due_stop(struct vm *vm, struct alarm *a);

/* memory.c */
size_t memory_most_at_once(const struct isolate *iso); /* for one piece, to the plugin */
void *memory_account(void *isolate, void *p, size_t old_size, size_t new_size);
void memory_settle(struct isolate *iso); /* after a turn: collects over the soft limit */
int memory_step(lua_State *L); /* a lua_CFunction: a step of that; whether it was the last */

/* isolate.c */
void isolate_hold(struct isolate *iso);
void isolate_release(struct isolate *iso); /* may free it */
/* Fills `f` for what lies on top of L after it failed with `status`; returns f's errno. */
int isolate_explain(struct isolate *iso, lua_State *L, int status, bool killed, struct fault *f);
/* lua_resume behind the fence, as a turn; *killed: the turn's limit ended it. */
int isolate_resume(struct isolate *iso, lua_State *L, int arguments, struct turn_share *share,
                   bool *killed);
/* isolate_enter in a task's turn. */
int isolate_enter_slice(struct isolate *iso, int (*body)(lua_State *L, void *arg), void *arg,
                        struct turn_share *share, struct fault *f);
/* Calls the function of this reference as a turn of `turn_ns`: 0, with its one result on top of the
 * stack, or as isolate_enter. What a pick costs begins here. */
int isolate_run(struct isolate *iso, int reference, int64_t turn_ns, struct fault *f);
/* lua_call of plugin code from host code that is protected: the plugin's memory limit holds. */
void isolate_call(lua_State *L, int arguments, int results);

/* Fill a fresh state; run protected. */
void sandbox_open(lua_State *L);    /* sandbox.c */
void string_bound(lua_State *L);    /* strings.c: in place of what cannot be interrupted */
void namespaces_open(lua_State *L); /* vm/namespaces.c, which knows what the other rooms have */

/* library.c: lua/perigee/, read once a vm. */
int library_load(struct vm *vm, const char *directory, struct fault *f);
void library_free(struct vm *vm);
/* Pushes NAME.lua as a function; `as_plugins`: it counts as the plugin's own code does. */
void library_push(lua_State *L, const char *name, bool as_plugins);
/* Calls it with two of the stack's tables: what plugins get, and what they must not have. */
void library_call(lua_State *L, const char *name, int perigee, int host);
/* The same with the table on top of L as the second, and no first. */
void library_run(lua_State *L, const char *name);
/* Pushes LuaJIT's ffi, for the host's own code. */
void library_push_ffi(lua_State *L);

/* task.c: beside task.h. A task is counted by references: one while it lives, one for each watch,
 * one for its udata. Its results stay on its stack for as long as it is there. */
enum task_pace {
  TASK_WAITS,  /* it begins in the loop's next turn, and may wait */
  TASK_PROMPT, /* it begins at once, and does not wait: it only gives way */
  TASK_WHOLE,  /* nor gives way: it has ended when it has begun */
  TASK_CARES /* the host's, before anything else of the isolate: it gives way, as often as it likes
              */
};
struct task_start {
  struct task *parent; /* ends it when it ends; NULL: the host's own */
  const char *subject; /* the address of the instance it is about, which its children have too.
                          NULL: none; must last as long as the task */
  int64_t deadline_ns; /* 0: none, else from now */
  enum task_pace pace;
};
/* Makes a task of the function and its `arguments` on top of L, which it pops; it runs in the
 * loop's next turn, but a prompt one in task_begin. Raises for memory. NULL, with nothing popped:
 * too many tasks. */
struct task *task_spawn(lua_State *L, int arguments, const struct task_start *start);
/* Runs the first slice of one that does not wait: it may have ended when this returns. Not while
 * isolate_busy. */
void task_begin(struct task *t);
/* Ends it, with its children. One that is running ends when it comes back to the loop. */
void task_end(struct task *t, int status, const char *text);
bool task_ended(const struct task *t);
/* Of an ended one: 0, or negative errno with words. */
int task_status(const struct task *t, const char **text);
lua_State *
task_stack(const struct task *t); /* of one whose status is 0: all on it are its results */
int task_push_results(lua_State *L, const struct task *t); /* pushes them; how many */
struct task *task_running(lua_State *L);
struct isolate *isolate_of_task(const struct task *t);
const char *task_subject(lua_State *L); /* of the running task; NULL: none */
bool task_may_wait(lua_State *L);       /* there is a running task, and it is no prompt one */
bool task_can_slice(lua_State *L);      /* may be yielded here by a hook, and resumed as it was */
void task_slice(lua_State *L);          /* it is about to be */
/* For what takes long in C, in a lua_CFunction that calls no Lua:
 *     if (task_should_give_way(L)) return task_give_way(L, go_on);
 * All that is on its stack become the arguments of go_on, in the task's next
 * slice, which may give way again; what that returns, the call returns. What it raises, ends the
 * task. */
bool task_should_give_way(lua_State *L);
int task_give_way(lua_State *L, lua_CFunction go_on);
/* Once, for who resumed L: it has not yielded by itself, but was made to give way. */
bool task_gave_way(lua_State *L);
/* A coroutine is resumed where nothing can yield (1), and comes back from there (-1). */
void task_enclose(lua_State *L, int by);
bool task_outermost(lua_State *L); /* L is the running task itself, not a coroutine it made */
struct task *task_ref(struct task *t);
void task_unref(struct task *t);
void tasks_end(struct isolate *iso);
/* Those that begin a turn now, then those that have had a slice or were slow the last time, until a
 * one is slow: so that whoever is woken waits for one slice, however many go on and on. Then those
 * of the second kind rest for as long as the slice was, so that they have half of the thread, and
 * it is no hog to the kernel. */
void tasks_run(struct vm *vm);
bool tasks_ready(const struct vm *vm); /* there is something to run now */

void task_watch(struct task *t, struct task_watch *w);
void task_unwatch(struct task_watch *w); /* idempotent */

extern const char
    task_host_yield; /* its address is what a wait yields; see lua/perigee/coroutine.lua */

/* handle.c */
void handles_end(struct isolate *iso);
int handle_udata(lua_State *L); /* a lua_CFunction, for isolate.c to keep */

int border_read(lua_State *L); /* border.c: a lua_CFunction, for isolate.c to keep */

/* log_budget.c */
bool log_budget_take(struct isolate *iso);   /* whether another line is in it */
void log_budget_settle(struct isolate *iso); /* tells how many lines were left out, if any */
