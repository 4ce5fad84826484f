/* ring: a doubly linked list whose head is one of its links. A link that is in no list points at
 * itself, so that removing it twice is harmless. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct ring {
  struct ring *next, *before;
};

static inline void ring_init(struct ring *r) {
  r->next = r->before = r;
}

static inline bool ring_empty(const struct ring *r) {
  return r->next == r;
}

static inline void ring_remove(struct ring *r) {
  r->before->next = r->next;
  r->next->before = r->before;
  ring_init(r);
}

static inline void ring_append(struct ring *head, struct ring *r) {
  r->before = head->before;
  r->next = head;
  head->before->next = r;
  head->before = r;
}

/* Moves everything from `from` to the empty `to`. */
static inline void ring_take(struct ring *to, struct ring *from) {
  ring_init(to);
  if (ring_empty(from))
    return;
  *to = *from;
  to->next->before = to;
  to->before->next = to;
  ring_init(from);
}

#define ring_item(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))
