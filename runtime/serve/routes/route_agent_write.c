/* PUT /v1/agent/...: what changes something. Checked here, done by the control thread, answered
 * when it is durable. */
#include "serve/routes/routes.h"

#include "base/fault.h"
#include "serve/exchange/answer.h"
#include "serve/json/decode_registration.h"

#include <errno.h>
#include <string.h>

enum { OUTPUT_MAX = 4096 }; /* bytes of a check's output that are kept */

static void finish_plain(struct exchange *x, const struct errand *e) {
  if (e->result == 0 && e->text && *e->text)
    answer_text(x, 200, "%s", e->text);
  else if (e->result == 0)
    answer_empty(x, 200);
  else
    answer_errno(x, e->result, e->text);
}

/* ?lease=30s, ?owner=PID: for clients that cannot add to the body. The body's object "Perigee" has
 * them as "Lease" and "Owner"; the query wins. */
void agent_service_register_put(struct exchange *x) {
  struct fault f = {0};
  struct registration *r;
  struct registration_asked asked = {.node = view_node(x->site->view),
                                     .origin = x->may_operate ? ORIGIN_CLI : ORIGIN_HTTP,
                                     .lease = exchange_param(x, "lease"),
                                     .owner = exchange_param(x, "owner")};
  const struct buf *body = x->request_body;
  int status = registration_from_json(body->data, body->length, &asked, &r, &f);
  if (status != 0) {
    answer_text(x, status, "%s", f.text);
    return;
  }
  struct errand *e = errand_new(ERRAND_REGISTER, NULL, NULL, finish_plain);
  if (e)
    e->registration = r;
  else
    registration_unref(r);
  exchange_ask(x, e);
}

static void finish_deregister(struct exchange *x, const struct errand *e) {
  if (e->result == -ENOENT)
    answer_text(x, 404,
                "Unknown service ID \"%.255s\". Ensure that the service ID is passed, not the "
                "service name.",
                e->id);
  else
    finish_plain(x, e);
}

void agent_service_deregister_put(struct exchange *x) {
  if (!x->name_length)
    answer_text(x, 400, "Missing service ID");
  else
    exchange_ask(x, errand_new(ERRAND_DEREGISTER, x->name, NULL, finish_deregister));
}

/* perigee's own: the lease of a registration starts anew. */
void agent_service_renew_put(struct exchange *x) {
  if (!x->name_length)
    answer_text(x, 400, "Missing service ID");
  else
    exchange_ask(x, errand_new(ERRAND_RENEW, x->name, NULL, finish_deregister));
}

static void finish_check(struct exchange *x, const struct errand *e) {
  if (e->result == -ENOENT)
    answer_text(x, 404,
                "Unknown check ID \"%.255s\". Ensure that the check ID is passed, not the check "
                "name.",
                e->id);
  else if (e->result == -EINVAL)
    answer_text(x, 500, "CheckID \"%.255s\" does not have associated TTL", e->id);
  else
    finish_plain(x, e);
}

static void check_put(struct exchange *x, enum status status, const char *output) {
  if (!x->name_length) {
    answer_text(x, 400, "Missing check ID");
    return;
  }
  struct errand *e = errand_new(ERRAND_CHECK, x->name, output ? output : "", finish_check);
  if (e) {
    e->status = status;
    if (strlen(e->output) > OUTPUT_MAX)
      e->output[OUTPUT_MAX] = 0;
  }
  exchange_ask(x, e);
}

void agent_check_pass_put(struct exchange *x) {
  check_put(x, STATUS_PASSING, exchange_param(x, "note"));
}

void agent_check_warn_put(struct exchange *x) {
  check_put(x, STATUS_WARNING, exchange_param(x, "note"));
}

void agent_check_fail_put(struct exchange *x) {
  check_put(x, STATUS_CRITICAL, exchange_param(x, "note"));
}

void agent_check_update_put(struct exchange *x) {
  struct fault f = {0};
  struct check_update update;
  const struct buf *body = x->request_body;
  int status = check_update_from_json(body->data, body->length, &update, &f);
  if (status != 0) {
    answer_text(x, status, "%s", f.text);
    return;
  }
  check_put(x, update.status, update.output);
  check_update_free(&update);
}
