/* mailbox: letters from any thread to the thread of one loop, in the order they were posted. */
#pragma once

#include <stdbool.h>
#include <uv.h>

struct letter { /* what is posted begins with this */
  struct letter *next;
};

struct mailbox {
  uv_mutex_t lock;
  struct letter *first, *last;
  bool closed;
  uv_async_t bell;
  void (*deliver)(void *arg, struct letter *letter);
  void *arg;
};

/* The loop's thread, before others know of it. `deliver` is called on the loop for each letter,
 * and once with NULL after each wake-up. 0 or negative errno. */
int mailbox_open(struct mailbox *m, uv_loop_t *loop,
                 void (*deliver)(void *arg, struct letter *letter), void *arg);
/* Any thread; never blocks for long. The letter is the receiver's from here on; false: the mailbox
 * is closed, and the letter still the caller's. */
bool mailbox_post(struct mailbox *m, struct letter *letter);
void mailbox_wake(struct mailbox *m); /* any thread: delivers NULL */
/* The loop's thread; letters still inside are delivered first. `closed` may be NULL. */
void mailbox_close(struct mailbox *m, uv_close_cb closed);
/* After the loop ran the close callbacks, and when nobody may post any more. */
void mailbox_free(struct mailbox *m);
