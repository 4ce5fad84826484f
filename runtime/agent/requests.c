#include "agent/requests.h"

#include "agent/consoles.h"
#include "agent/explain.h"
#include "agent/metrics.h"
#include "agent/operations.h"
#include "agent/parts.h"
#include "agent/plugins/plugins.h"
#include "agent/policies/policies.h"
#include "agent/routes/routes.h"
#include "agent/watches/watches.h"
#include "agent/watches/wraps.h"
#include "base/buf.h"
#include "base/fault.h"
#include "registry/embedded.h"
#include "serve/json/decode_registration.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef void (*reply_fn)(void *to, int status, const char *text);

/* The registry answers through the same two values, so its `done` is the reply itself; what it
 * refuses at once is answered here. */
static void answer_refusal(int r, reply_fn reply, void *to) {
  if (r != 0)
    reply(to, r, NULL);
}

static void do_register(void *arg, struct registration *r, reply_fn reply, void *to) {
  struct agent *a = arg;
  answer_refusal(policies_register(a->policies, r, reply, to), reply, to);
}

static void do_deregister(void *arg, const char *id, reply_fn reply, void *to) {
  struct agent *a = arg;
  answer_refusal(embedded_deregister(a->embedded, id, reply, to), reply, to);
}

static void do_renew(void *arg, const char *id, reply_fn reply, void *to) {
  struct agent *a = arg;
  answer_refusal(embedded_renew(a->embedded, id, reply, to), reply, to);
}

static void do_check(void *arg, const char *check_id, enum status s, const char *output,
                     reply_fn reply, void *to) {
  struct agent *a = arg;
  answer_refusal(embedded_check_update(a->embedded, check_id, s, output, reply, to), reply, to);
}

static void do_resolve(void *arg, const char *service, reply_fn reply, void *to) {
  struct agent *a = arg;
  watches_ask(a->watches, service, reply, to);
}

static void answer_text(struct agent *a, void (*write)(struct agent *a, struct buf *out),
                        reply_fn reply, void *to) {
  struct buf text = {0};
  write(a, &text);
  reply(to, text.failed ? -ENOMEM : 0, text.data);
  buf_free(&text);
}

static void do_metrics(void *arg, reply_fn reply, void *to) {
  answer_text(arg, agent_metrics, reply, to);
}

static void do_status(void *arg, reply_fn reply, void *to) {
  answer_text(arg, agent_status, reply, to);
}

static void write_plugins(struct agent *a, struct buf *out) {
  plugins_show(a->plugins, a->choosers, out);
}

static void do_plugins(void *arg, reply_fn reply, void *to) {
  answer_text(arg, write_plugins, reply, to);
}

static void do_explain(void *arg, const char *service, reply_fn reply, void *to) {
  struct buf text = {0};
  struct fault f = {0};
  int r = explain_service(arg, service, &text, &f);
  if (r == 0 && text.failed)
    r = -ENOMEM;
  reply(to, r, r == 0 ? text.data : f.text);
  buf_free(&text);
}

static void do_operate(void *arg, const char *verb, const char *body, reply_fn reply, void *to) {
  operations_run(arg, verb, body, reply, to);
}

static void do_operate_gone(void *arg, void *to) {
  struct agent *a = arg;
  consoles_abandon(a->consoles, to);
}

static void write_policies(struct agent *a, struct buf *out) {
  policies_show(a->policies, out);
}

static void do_policies(void *arg, reply_fn reply, void *to) {
  answer_text(arg, write_policies, reply, to);
}

static void do_visit(void *arg, const struct visit *v, void *to) {
  struct agent *a = arg;
  routes_visit(a->routes, v, to);
}

static void do_visit_room(void *arg, void *to) {
  struct agent *a = arg;
  routes_room(a->routes, to);
}

static void do_visit_gone(void *arg, void *to) {
  struct agent *a = arg;
  routes_gone(a->routes, to);
}

/* ---- from plugins ---- */

static int refused(int r, struct fault *f) {
  return r == 0 ? 0 : fault_set(f, r, "%s", strerror(-r));
}

static int plugin_registers(void *arg, const char *json, size_t length, char **id, vm_reply reply,
                            void *to, struct fault *f) {
  struct agent *a = arg;
  const struct registration_asked asked = {.node = view_node(a->view), .origin = ORIGIN_LUA};
  struct registration *r;
  int status = registration_from_json(json, length, &asked, &r, f);
  if (status != 0)
    return f->code ? f->code : fault_set(f, -EINVAL, "refused with status %d", status);
  *id = strdup(r->instance->id);
  int code = refused(*id ? policies_register(a->policies, r, reply, to) : -ENOMEM, f);
  registration_unref(r);
  return code;
}

static int plugin_deregisters(void *arg, const char *id, vm_reply reply, void *to,
                              struct fault *f) {
  struct agent *a = arg;
  return refused(embedded_deregister(a->embedded, id, reply, to), f);
}

static int plugin_renews(void *arg, const char *id, vm_reply reply, void *to, struct fault *f) {
  struct agent *a = arg;
  return refused(embedded_renew(a->embedded, id, reply, to), f);
}

static int plugin_watches(void *arg, const char *target, const struct isolate *by,
                          void (*told)(void *to, const struct set_published *what), void *to,
                          void **watch, struct fault *f) {
  return wraps_watch(((struct agent *)arg)->watches, target, by, told, to, watch, f);
}

static const char *service_of(void *arg, const char *id) {
  const struct registration_state *s = embedded_find(((struct agent *)arg)->embedded, id);
  return s ? s->registration->instance->service : NULL;
}

static unsigned own_port(void *arg) {
  const struct agent *a = arg;
  return a->server ? server_port(a->server) : 0;
}

struct vm_registry agent_registry(struct agent *a) {
  return (struct vm_registry){.arg = a,
                              .add = plugin_registers,
                              .remove = plugin_deregisters,
                              .renew = plugin_renews,
                              .service_of = service_of,
                              .port = own_port,
                              .watch = plugin_watches,
                              .unwatch = wraps_unwatch};
}

const struct server_requests agent_requests = {
    .do_register = do_register,
    .do_deregister = do_deregister,
    .do_renew = do_renew,
    .do_check = do_check,
    .do_metrics = do_metrics,
    .do_status = do_status,
    .do_plugins = do_plugins,
    .do_policies = do_policies,
    .do_visit = do_visit,
    .do_visit_room = do_visit_room,
    .do_visit_gone = do_visit_gone,
    .do_resolve = do_resolve,
    .do_operate = do_operate,
    .do_operate_gone = do_operate_gone,
    .do_explain = do_explain,
};
