/* /v1/status..., /v1/plugins, /v1/policies, /v1/explain, /metrics, /healthz, /readyz: how the agent
 * itself is. */
#include "serve/routes/routes.h"

#include "client/perigee.h"
#include "serve/exchange/answer.h"
#include "serve/routes/router.h"

#include <string.h>

/* Many readiness probes ask for the leader; the port is that of a Consul server's RPC. */
static void add_peer(struct buf *out, const struct view_node *node) {
  bool v6 = strchr(node->address, ':') != NULL;
  buf_text(out, v6 ? "\"[" : "\"");
  buf_text(out, node->address);
  buf_text(out, v6 ? "]:8300\"" : ":8300\"");
}

void status_leader_get(struct exchange *x) {
  add_peer(answer_body(x), view_node(x->site->view));
  answer_json(x, 200);
}

void status_peers_get(struct exchange *x) {
  struct buf *out = answer_body(x);
  buf_char(out, '[');
  add_peer(out, view_node(x->site->view));
  buf_char(out, ']');
  answer_json(x, 200);
}

static void finish_status(struct exchange *x, const struct errand *e) {
  if (e->result != 0) {
    answer_errno(x, e->result, e->text);
    return;
  }
  buf_text(answer_body(x), e->text ? e->text : "{}");
  answer_json(x, 200);
}

void status_get(struct exchange *x) {
  exchange_ask(x, errand_new(ERRAND_STATUS, NULL, NULL, finish_status));
}

void plugin_list_get(struct exchange *x) {
  exchange_ask(x, errand_new(ERRAND_PLUGINS, NULL, NULL, finish_status));
}

void policy_list_get(struct exchange *x) {
  exchange_ask(x, errand_new(ERRAND_POLICIES, NULL, NULL, finish_status));
}

void explain_get(struct exchange *x) {
  exchange_ask(x, errand_new(ERRAND_EXPLAIN, x->name, NULL, finish_status));
}

static void finish_metrics(struct exchange *x, const struct errand *e) {
  if (e->result != 0) {
    answer_errno(x, e->result, e->text);
    return;
  }
  struct buf *out = answer_body(x);
  counters_print(x->site->all_counters, *x->site->all_count, routes_count(), route_name, out);
  if (e->text)
    buf_text(out, e->text);
  if (out->failed)
    answer_text(x, 503, "Out of memory.");
  else
    answer_bytes(x, 200, "text/plain; version=0.0.4; charset=utf-8", out->data, out->length);
}

void metrics_get(struct exchange *x) {
  exchange_ask(x, errand_new(ERRAND_METRICS, NULL, NULL, finish_metrics));
}

/* Alive: this worker answers. Nothing else is looked at, so that nothing else restarts the agent.
 */
void healthz_get(struct exchange *x) {
  answer_text(x, 200, "ok\n");
}

void readyz_get(struct exchange *x) {
  if (atomic_load_explicit(x->site->ready, memory_order_acquire))
    answer_text(x, 200, "ready\n");
  else
    answer_text(x, 503, "not ready: the agent is starting, or stopping\n");
}
