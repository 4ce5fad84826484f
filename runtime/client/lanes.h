/* lanes: the page on which this process counts its calls (catalog/feedback.h), one for each struct
 * perigee, and the lanes that its handles write. Made when first needed, handed to the agent when
 * there is one, kept through the agent's restarts; a child that was forked makes its own. */
#pragma once

#include "catalog/feedback.h"

#include <stdbool.h>
#include <sys/types.h>

struct perigee_service;

struct lanes {                          /* under the perigee's lock, but for a look at `page` */
  _Atomic(struct feedback_page *) page; /* NULL: none yet, or none can be had */
  int fd, socket;                       /* the page's, and the agent's; -1: none */
  uint32_t taken;                       /* a bit for each lane that a handle has */
  bool counted;                         /* an agent has been given the page */
  ino_t agent;                          /* which one: its catalog's inode */
  int64_t tried_ns;                     /* when the agent was last looked for */
};

/* Gives the handle a lane; NULL: no page can be had. Its thread. */
struct feedback_lane *lanes_join(struct perigee_service *s);
/* From now on the handle writes the shared lane, because another thread reports for it too: what it
 * has in flight goes there as well, so that each pick is where its report comes. */
struct feedback_lane *lanes_share(struct perigee_service *s);
/* The shared lane, for a report from any thread; NULL: no page can be had. */
struct feedback_lane *lanes_shared(struct perigee_service *s);
/* The handle ends, and another may have its lane. Its picks are no longer in flight; those in the
 * shared lane, where they are not known from others', are until they are forgotten. */
void lanes_leave(struct perigee_service *s);
/* Hands the page to the agent, or wakes an agent that has it and does not read just now. At most
 * one connection attempt a second. Makes system calls. */
void lanes_tell(struct perigee_service *s);
/* A connection to the agent whose catalog this is, or -errno. */
int lanes_dial(const char *catalog);
/* In a child: the page is the parent's. Under the lock. */
void lanes_forget(struct lanes *l);
void lanes_end(struct lanes *l);
