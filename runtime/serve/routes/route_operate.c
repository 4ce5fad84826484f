/* /v1/operate/VERB: what operates the agent, over the unix socket only. The verbs are the control
 * thread's. */
#include "serve/exchange/answer.h"
#include "serve/routes/routes.h"

#include <errno.h>

static void finish_operate(struct exchange *x, const struct errand *e) {
  if (e->result == -ENOSYS)
    answer_text(x, 404, "%s", e->text ? e->text : "There is no such verb.");
  else if (e->result == -EINVAL)
    answer_text(x, 400, "%s", e->text ? e->text : "The agent does not understand that.");
  else if (e->result != 0)
    answer_errno(x, e->result, e->text);
  else {
    buf_text(answer_body(x), e->text ? e->text : "{}");
    answer_json(x, 200);
  }
}

void operate_post(struct exchange *x) {
  const struct buf *body = x->request_body;
  exchange_ask(x,
               errand_new(ERRAND_OPERATE, x->name, body->data ? body->data : "", finish_operate));
}
