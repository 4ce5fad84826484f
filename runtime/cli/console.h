/* console: an operator's Lua, sent to the running agent: what `eval` and `repl` share. */
#pragma once

#include "base/buf.h"
#include "cli/arguments.h"

#include <jansson.h>

enum { CODE_MOST = 512 << 10 }; /* bytes; an agent takes no more in one request */

struct console {
  const struct arguments *arguments;
  const char *plugin; /* --plugin, or NULL */
  double timeout_s;   /* --timeout */
  char session[40];   /* names this process's isolate; used where `keep` */
  bool keep;          /* the isolate lasts until console_end */
};

/* The options that both have, for their tables. */
#define CONSOLE_OPTIONS                                                                            \
  {"plugin", 'p', "PLUGIN",                                                                        \
   "in the isolate of this plugin, KIND/NAME or NAME (default: a fresh one that may do all but "   \
   "ffi)",                                                                                         \
   false},                                                                                         \
  {                                                                                                \
    "timeout", 't', "DURATION", "end it after this long (default 20s)", false                      \
  }

/* EXIT_DONE, or EXIT_USAGE after a sentence. From here on SIGINT stops an evaluation, and nothing
 * else. */
int console_begin(struct console *c, const struct arguments *a);
void console_end(struct console *c); /* the agent may forget the session */

struct console_answer { /* to be freed by console_answer_free in any case */
  const char *text;     /* what it printed and returned; "" for nothing */
  const char *error;    /* why it failed; NULL: it did not */
  bool incomplete;      /* more lines are to come */
  json_t *all;
};
/* EXIT_DONE when the agent answered; EXIT_STOPPED: SIGINT came, and the evaluation was ended; else
 * EXIT_FAILED after a sentence. */
int console_evaluate(struct console *c, const char *code, struct console_answer *out);
void console_answer_free(struct console_answer *out);

/* The names that `text` may become, one a line; nothing where the agent does not say. */
void console_complete(struct console *c, const char *text, struct buf *names);
