/* GET /v1/health/...: Consul's health reads. */
#include "serve/routes/routes.h"

#include "base/identity.h"
#include "serve/exchange/answer.h"
#include "serve/json/consul_json.h"
#include "serve/exchange/consul_query.h"
#include "serve/view/view_sorted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void add_checks(struct buf *out, const struct consul_endpoint *e) {
  buf_char(out, '[');
  consul_serf_health(out, e->node);
  for (uint32_t i = 0; i < consul_check_count(e); i++) {
    buf_char(out, ',');
    consul_health_check(out, e, i);
  }
  buf_char(out, ']');
}

/* With whom it came through, for agents that watch this one as a Consul: so they find a ring. */
static void answer_via(struct exchange *x, const struct view_service *s) {
  char headers[40 + VIA_MOST];
  if (s && s->via)
    snprintf(headers, sizeof headers, VIA_HEADER ": %s\r\n", s->via);
  x->more_headers = s && s->via ? headers : NULL;
  answer_json(x, 200);
  x->more_headers = NULL;
}

void health_service_get(struct exchange *x) {
  bool passing = consul_query_passing(x) > 0;
  const struct view_service *s = consul_service_of(x);
  const struct view_node *node = view_node(x->site->view);
  struct buf *out = answer_body(x);
  bool first = true;
  buf_char(out, '[');
  for (uint32_t i = 0; s && i < s->count; i++) {
    const struct view_row *row = &s->rows[i];
    if ((passing && row->status != STATUS_PASSING) || !consul_tags_match(x, row->instance))
      continue;
    struct consul_endpoint e = consul_endpoint_of(node, x->root, s, row);
    buf_text(out, first ? "{\"Node\":" : ",{\"Node\":");
    first = false;
    consul_node(out, node);
    buf_text(out, ",\"Service\":");
    consul_health_service(out, &e);
    buf_text(out, ",\"Checks\":");
    add_checks(out, &e);
    buf_char(out, '}');
  }
  buf_char(out, ']');
  answer_via(x, s);
}

/* --- lists of checks --- */

struct check_list {
  struct buf *out;
  const struct view_node *node;
  const struct view_root *root;
  int status; /* those with this one only; -1: all */
  bool any;   /* one was written */
};

static void list_service(struct check_list *l, const struct view_service *s) {
  for (uint32_t i = 0; i < s->count; i++) {
    struct consul_endpoint e = consul_endpoint_of(l->node, l->root, s, &s->rows[i]);
    for (uint32_t k = 0; k < consul_check_count(&e); k++) {
      if (l->status >= 0 && (int)consul_check_status(&e, k) != l->status)
        continue;
      if (l->any)
        buf_char(l->out, ',');
      l->any = true;
      consul_health_check(l->out, &e, k);
    }
  }
}

/* The node's own check, and those of all services in the order of their names. */
static void answer_all_checks(struct exchange *x, int status) {
  size_t count;
  const struct view_service **all = services_sorted(x->root, &count);
  if (!all) {
    answer_text(x, 503, "Out of memory.");
    return;
  }
  struct check_list l = {
      .out = answer_body(x), .node = view_node(x->site->view), .root = x->root, .status = status};
  buf_char(l.out, '[');
  if (status < 0 || status == STATUS_PASSING) {
    consul_serf_health(l.out, l.node);
    l.any = true;
  }
  for (size_t i = 0; i < count; i++)
    list_service(&l, all[i]);
  buf_char(l.out, ']');
  free(all);
  answer_json(x, 200);
}

void health_checks_get(struct exchange *x) {
  const struct view_service *s = consul_service_of(x);
  struct check_list l = {
      .out = answer_body(x), .node = view_node(x->site->view), .root = x->root, .status = -1};
  buf_char(l.out, '[');
  if (s)
    list_service(&l, s);
  buf_char(l.out, ']');
  answer_json(x, 200);
}

void health_state_get(struct exchange *x) {
  enum status status;
  if (!x->name_length)
    answer_text(x, 400, "Missing check state");
  else if (!consul_node_matches(x))
    empty_list_get(x);
  else if (strcmp(x->name, "any") == 0)
    answer_all_checks(x, -1);
  else if (status_parse(x->name, &status) == 0)
    answer_all_checks(x, (int)status);
  else
    empty_list_get(x); /* no check has such a state */
}

void health_node_get(struct exchange *x) {
  if (!x->name_length)
    answer_text(x, 400, "Missing node name");
  else if (strcasecmp(x->name, view_node(x->site->view)->name) == 0)
    answer_all_checks(x, -1);
  else
    empty_list_get(x);
}
