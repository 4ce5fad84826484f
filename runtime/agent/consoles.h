/* consoles: where an operator's code is evaluated: the isolate of a plugin, or one of its own that
 * may do all but ffi, kept by name from line to line. Control thread only. */
#pragma once

#include "vm/plugin/console.h"

#include <stdbool.h>

struct consoles;
struct plugins;
struct vm;

enum { CONSOLES_MAX = 8, CONSOLE_IDLE_S = 600 };

struct consoles *consoles_new(struct vm *vm, struct plugins *plugins);
void consoles_free(struct consoles *all); /* before the plugins; answers what is pending */

struct console_question {
  const char *code;
  const char *plugin; /* "KIND/NAME", or its NAME where one kind has it; NULL: none */
  const char
      *session; /* names the evaluation for consoles_cancel, and the isolate; NULL: neither */
  bool keep;    /* the isolate lasts for the session's next question */
  int64_t deadline_ns;
  const void *asker; /* names it for consoles_abandon */
};
/* As evaluation_start; -ENOENT: no such plugin is loaded; -EBUSY: the session's last evaluation
 * goes on. `done` is called once after a 0. */
int consoles_evaluate(struct consoles *all, const struct console_question *q, evaluated_fn done,
                      void *arg, struct fault *f);
/* Ends the session's evaluation; its `done` is told -ECANCELED. -ENOENT: there is none. */
int consoles_cancel(struct consoles *all, const char *session, struct fault *f);
/* The same by who asked; nothing of his goes on: that is fine. */
void consoles_abandon(struct consoles *all, const void *asker);
/* The session is over: its isolate ends. One that is not there is fine. */
void consoles_end(struct consoles *all, const char *session);
size_t consoles_count(const struct consoles *all);
int consoles_complete(struct consoles *all, const struct console_question *q, struct buf *out,
                      struct fault *f);
