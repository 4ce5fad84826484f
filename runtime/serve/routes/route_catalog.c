/* GET /v1/catalog/...: Consul's catalog reads. The one node is this agent's. */
#include "serve/routes/routes.h"

#include "serve/exchange/answer.h"
#include "serve/json/consul_json.h"
#include "serve/exchange/consul_query.h"
#include "serve/view/view_sorted.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void empty_list_get(struct exchange *x) {
  buf_text(answer_body(x), "[]");
  answer_json(x, 200);
}

static int by_text(const void *a, const void *b) {
  const char *const *x = a, *const *y = b;
  return strcmp(*x, *y);
}

/* The tags of all its instances, each once. False: out of memory. */
static bool add_all_tags(struct buf *out, const struct view_service *s) {
  size_t count = 0, room = 0;
  for (uint32_t i = 0; i < s->count; i++)
    room += s->rows[i].instance->tag_count;
  const char **tags = malloc((room + 1) * sizeof *tags);
  if (!tags)
    return false;
  for (uint32_t i = 0; i < s->count; i++)
    for (unsigned k = 0; k < s->rows[i].instance->tag_count; k++)
      tags[count++] = s->rows[i].instance->tags[k];
  qsort(tags, count, sizeof *tags, by_text);
  const char *last = NULL;
  for (size_t i = 0; i < count; i++) {
    if (last && strcmp(last, tags[i]) == 0)
      continue;
    if (last)
      buf_char(out, ',');
    buf_json_text(out, tags[i]);
    last = tags[i];
  }
  free(tags);
  return true;
}

void catalog_services_get(struct exchange *x) {
  size_t count;
  const struct view_service **all = services_sorted(x->root, &count);
  bool whole = all != NULL;
  struct buf *out = answer_body(x);
  buf_char(out, '{');
  for (size_t i = 0; whole && i < count && consul_node_matches(x); i++) {
    if (i)
      buf_char(out, ',');
    buf_json_text(out, all[i]->name);
    buf_text(out, ":[");
    whole = add_all_tags(out, all[i]);
    buf_char(out, ']');
  }
  buf_char(out, '}');
  free(all);
  if (whole)
    answer_json(x, 200);
  else
    answer_text(x, 503, "Out of memory.");
}

void catalog_service_get(struct exchange *x) {
  const struct view_service *s = consul_service_of(x);
  const struct view_node *node = view_node(x->site->view);
  struct buf *out = answer_body(x);
  bool first = true;
  buf_char(out, '[');
  for (uint32_t i = 0; s && i < s->count; i++) {
    if (!consul_tags_match(x, s->rows[i].instance))
      continue;
    struct consul_endpoint e = consul_endpoint_of(node, x->root, s, &s->rows[i]);
    if (!first)
      buf_char(out, ',');
    first = false;
    consul_catalog_service(out, &e);
  }
  buf_char(out, ']');
  answer_json(x, 200);
}

void catalog_nodes_get(struct exchange *x) {
  struct buf *out = answer_body(x);
  buf_char(out, '[');
  if (consul_node_matches(x))
    consul_node(out, view_node(x->site->view));
  buf_char(out, ']');
  answer_json(x, 200);
}

/* A map from instance id to service: of what is registered here, as Consul's nodes have it. */
void catalog_node_get(struct exchange *x) {
  const struct view_node *node = view_node(x->site->view);
  if (!x->name_length) {
    answer_text(x, 400, "Missing node name");
    return;
  }
  struct buf *out = answer_body(x);
  if (strcasecmp(x->name, node->name) != 0) {
    buf_text(out, "null");
    answer_json(x, 200);
    return;
  }
  size_t count;
  const struct registration_state **all = registrations_sorted(x->root, &count);
  if (!all) {
    answer_text(x, 503, "Out of memory.");
    return;
  }
  buf_text(out, "{\"Node\":");
  consul_node(out, node);
  buf_text(out, ",\"Services\":{");
  for (size_t i = 0; i < count; i++) {
    struct consul_endpoint e = {.node = node,
                                .instance = all[i]->registration->instance,
                                .state = all[i],
                                .status = all[i]->status};
    if (i)
      buf_char(out, ',');
    buf_json_text(out, e.instance->id);
    buf_char(out, ':');
    consul_health_service(out, &e);
  }
  buf_text(out, "}}");
  free(all);
  answer_json(x, 200);
}

void catalog_datacenters_get(struct exchange *x) {
  struct buf *out = answer_body(x);
  buf_char(out, '[');
  buf_json_text(out, view_node(x->site->view)->datacenter);
  buf_char(out, ']');
  answer_json(x, 200);
}
