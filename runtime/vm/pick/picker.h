/* picker: a thread's own isolates that run `pick`, one a rule (pick_rules.h), and how its catalog
 * handles come to ask them. All of one `struct pickers` is one thread's. */
#pragma once

#include "vm/isolate/isolate.h"

struct perigee_service;
struct pick_rules;
struct pickers;

struct pickers_with {
  struct pick_rules *rules; /* outlives the pickers */
  unsigned thread;          /* its number: which of a rule's counts are its own */
  uv_loop_t *loop;          /* of this thread */
  const char *library;      /* the directory that holds lua/; copied */
  struct vm *vm;            /* this thread's; NULL: one is made when the first rule comes */
};
/* Anywhere, before its thread begins. NULL: no memory. */
struct pickers *pickers_new(const struct pickers_with *with);
/* On its thread, before its loop ends: ends the isolates. What is bound to a handle stays valid,
 * and has the balancer pick. */
void pickers_end(struct pickers *all);
void pickers_free(struct pickers *all); /* after the handles; ended before, if its thread began */

/* Moves when handles must be bound anew. Cheap. */
uint64_t pickers_version(const struct pickers *all);
/* Has the service's rule, if there is one, pick for this handle. */
void pickers_bind(struct pickers *all, const char *service, struct perigee_service *handle);
