/* attends: a registry plugin's `attend(conn, lease)`, held open for each registration that we have
 * there: it returns when somebody else may have changed it. What then is so, a renewal finds out.
 * Control thread only. */
#pragma once

#include <stdint.h>

struct attachment;
struct attend;
struct desired_entry;

enum { ATTENDS_MOST = 64 }; /* of a registry's: each may be a connection to it */

struct attends {
  struct attend *first;
  unsigned count;
  struct attachment *attachment; /* NULL: nothing can be attended */
  int connection;                /* a reference in its isolate */
  void (*changed)(void *arg, struct desired_entry *e);
  void *arg;
};

/* Begins with the entry's lease, unless it is attended already, or was in vain lately. */
void attends_begin(struct attends *all, struct desired_entry *e);
/* `e` has another lease from now on, or is gone. */
void attends_end(struct attends *all, const struct desired_entry *e);
void attends_clear(struct attends *all); /* ends them all */
