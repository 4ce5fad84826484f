/* task_inside: what task.c (what a task is, from its start to its end) and task_line.c (when it
 * runs) share. Not for others. */
#pragma once

#include "vm/isolate/inside.h"

struct task_wait {
  struct task *task;
  void *operation;
  task_cancel_fn cancel;
  bool active;
};

struct deadline {
  struct alarm alarm; /* first: on_deadline gets it */
  struct task *task;
  int64_t ns;
};

struct task {
  struct task *next, **link; /* the isolate's: of those that live, or of those that ended */
  struct task *call;         /* the host's that it is a part of: itself, or a reference */
  unsigned opened;           /* of that: handles that it has opened and not closed yet */
  struct isolate *isolate;   /* NULL once that has ended */
  lua_State *L;
  int ref; /* keeps L */
  unsigned references;
  enum { TASK_WAITING, TASK_RUNNING, TASK_ENDED } state; /* waiting, too, for its turn */
  enum task_pace pace;
  bool ending;   /* to end when it comes back: `status` and `text` are set */
  int arguments; /* on L's top, for its next resumption */
  struct turn_share share;
  const char *subject;
  struct task_wait wait;
  int kept;        /* what it keeps while it waits */
  lua_State *work; /* what goes on in C, with its arguments; NULL: nothing */
  int work_ref;
  bool at_work; /* it does just now */
  struct task *children, *sibling, **sibling_link;
  struct task_watch *watches;
  struct deadline *deadline;
  struct task *ready_next, **ready_link; /* in the line of its isolate; NULL: it is not */
  int status;
  char *text;
};

/* task.c */
void task_finish(struct task *t); /* the one end of a task, whatever it was */
/* For isolate_enter_slice: what it is to go on with in C. */
int task_work_on(lua_State *L, void *task);

/* task_line.c. Behind those of its isolate that are to run already. */
void task_queue_new(struct task *t);
void task_unqueue(struct task *t); /* if it is in the line */
/* An isolate that was slow, or had many turns in this pass, is not among the first; and while one
 * task is sliced the others wait, so that nothing of a plugin happens between two lines of it that
 * do not wait. */
bool isolate_must_queue(const struct isolate *iso);
void task_run(struct task *t); /* a turn of it, now */
