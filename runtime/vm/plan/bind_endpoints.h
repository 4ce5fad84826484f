/* bind_endpoints: a balancer's `plan`, run over a service's endpoints. Control thread only. */
#pragma once

#include "base/fault.h"
#include "watch/plan.h"

#include <lua.h>

struct attachment;
struct call;
struct now;

int open_endpoints(lua_State *L); /* pushes the endpoints' methods */

/* One run, whose owner keeps it, zeroed but for what it says itself, for as long as that goes on.
 * `rows` is what the stages before it made of them, and what this one edits; those that `hidden`
 * says are not shown to it (NULL: all are). */
struct plan_run {
  const struct plan_question *question; /* may become a copy of itself while the run goes on */
  struct plan_row *rows;
  const bool *hidden;
  void (*over)(void *arg); /* told when it is, by itself or as its use ends; NULL: nobody */
  void *arg;
  /* Once it is over. Code 0: a plan. -ENODATA: it said nil and a reason: what it made is not
   * wanted. -ERANGE: a weight that is none; the text names the endpoint. Else as of
   * attachment_call, or of a call_result. */
  struct fault fault;
  /* bind_endpoints.c's */
  struct attachment *attachment;
  struct call *call;
  struct now *now;
};

/* Begins it, at once: most are over when this returns. What takes longer than a slice goes on in
 * later turns of the loop, as tasks do; but `whole`: not, and others wait for it. Not while the
 * plugin's isolate is busy (isolate_busy). */
void plan_begin(struct plan_run *run, struct attachment *a, bool whole);
bool plan_goes_on(const struct plan_run *run);
void plan_cancel(struct plan_run *run); /* where it is; idempotent, and `over` is not told */
