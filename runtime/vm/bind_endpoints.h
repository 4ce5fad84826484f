/* bind_endpoints: a balancer's `plan`, run over a service's endpoints. Control thread only. */
#pragma once

#include "watch/plan.h"

struct attachment;
struct fault;

/* Of one run. `rows` is what the stages before it made of them, and what this one edits; those that
 * `hidden` says are not shown to it (NULL: all are). */
struct plan_run {
  const struct plan_question *question;
  struct plan_row *rows;
  const bool *hidden;
};

/* Runs it, and looks at what it made. 0: done. -ENODATA: it said nil and a reason, which is in
 * `f`: what it made is not wanted. -EINVAL: a weight that is none; `f` names the endpoint. Else as
 * attachment_run says, where -EAGAIN is no failure. */
int plan_run(struct attachment *a, const struct plan_run *run, struct fault *f);
