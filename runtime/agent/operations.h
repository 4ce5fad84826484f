/* operations: what operates the agent, verb by verb: POST /v1/operate/VERB over the unix socket.
 * A verb is a row of the table in operations.c and a file operate_NAME.c. Control thread only. */
#pragma once

#include "serve/server.h"

struct agent;

/* `body` is what was sent, "" when nothing was; JSON unless the verb says otherwise. `reply` is
 * called exactly once, then or later: 0 and a JSON text; or a negative errno and a sentence for
 * the operator (-EINVAL: the body is at fault). */
struct operation {
  const char *verb;
  void (*run)(struct agent *a, const char *body, server_reply reply, void *to);
};

/* operate_plans.c */
void operate_override(struct agent *a, const char *body, server_reply reply, void *to);
void operate_freeze(struct agent *a, const char *body, server_reply reply, void *to);
void operate_promote(struct agent *a, const char *body, server_reply reply, void *to);
void operate_plan_rollback(struct agent *a, const char *body, server_reply reply, void *to);

/* operate_drain.c */
void operate_drain(struct agent *a, const char *body, server_reply reply, void *to);
void operate_drained(struct agent *a, const char *body, server_reply reply, void *to);

/* operate_reload.c */
void operate_reload(struct agent *a, const char *body, server_reply reply, void *to);
void operate_diff(struct agent *a, const char *body, server_reply reply, void *to);
void operate_rollback(struct agent *a, const char *body, server_reply reply, void *to);

/* -ENOSYS to `reply` where there is no such verb, with the nearest that is there. */
void operations_run(struct agent *a, const char *verb, const char *body, server_reply reply,
                    void *to);

/* operate_NAME.c: the verbs, as in `operation`. */
void operate_eval(struct agent *a, const char *body, server_reply reply, void *to);
void operate_eval_complete(struct agent *a, const char *body, server_reply reply, void *to);
void operate_eval_cancel(struct agent *a, const char *body, server_reply reply, void *to);
void operate_eval_end(struct agent *a, const char *body, server_reply reply, void *to);
