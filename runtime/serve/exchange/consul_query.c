#include "serve/exchange/consul_query.h"

#include "serve/exchange/answer.h"
#include "serve/exchange/blocking.h"
#include "serve/exchange/route.h"

#include <string.h>
#include <strings.h>

static bool default_only(struct exchange *x, const char *key) {
  const char *value = exchange_param(x, key);
  if (!value || !*value || strcmp(value, "default") == 0)
    return true;
  answer_text(x, 400, "Invalid query parameter: \"%s\": this agent has only the default one", key);
  return false;
}

static uint64_t list_index(const struct view_root *root, const char *service) {
  (void)service;
  return view_list_index(root);
}

static uint64_t whole_index(const struct view_root *root, const char *service) {
  (void)service;
  return view_index(root);
}

/* Of what is asked for, so that who waits for its next one is not woken by others. */
static parking_state index_of(const struct route *route) {
  return route->flags & ROUTE_SERVICE ? view_service_index
         : route->flags & ROUTE_LIST  ? list_index
                                      : whole_index;
}

bool consul_filter_absent(struct exchange *x) {
  const char *filter = exchange_param(x, "filter");
  if (!filter || !*filter)
    return true;
  answer_text(x, 501,
              "This version of perigee has no ?filter: ask without it, and use ?tag= or "
              "?passing where they do.");
  return false;
}

bool consul_query_check(struct exchange *x) {
  const char *dc = exchange_param(x, "dc");
  bool stale = exchange_param(x, "stale") != NULL;
  struct blocking b;
  if (!blocking_read(x, &b))
    return false;
  if (stale && exchange_param(x, "consistent")) {
    answer_text(x, 400, "Cannot specify ?stale with ?consistent, conflicting semantics.");
    return false;
  }
  if (dc && *dc && strcmp(dc, view_node(x->site->view)->datacenter) != 0) {
    answer_text(x, 500, "No path to datacenter");
    return false;
  }
  if (!default_only(x, "ns") || !default_only(x, "partition"))
    return false;
  if (!consul_filter_absent(x))
    return false;
  bool of_service = x->route->flags & ROUTE_SERVICE;
  if (of_service && !x->name_length) {
    answer_text(x, 400, "Missing service name");
    return false;
  }
  if (of_service && consul_query_passing(x) < 0)
    return false;
  x->stale_allowed = stale;
  const char *service = of_service ? x->name : NULL;
  parking_state index = index_of(x->route);
  x->index = index(x->root, service);
  return x->index > b.index || !blocking_wait(x, &b, service, index);
}

int consul_query_passing(struct exchange *x) {
  const char *value = exchange_param(x, "passing");
  if (!value || strcmp(value, "0") == 0 || strcmp(value, "false") == 0)
    return 0;
  if (!*value || strcmp(value, "1") == 0 || strcmp(value, "true") == 0)
    return 1;
  answer_text(x, 400, "Invalid value for ?passing");
  return -1;
}

static bool has_tag(const struct instance *in, const char *tag) {
  for (unsigned i = 0; i < in->tag_count; i++)
    if (strcasecmp(in->tags[i], tag) == 0) /* as Consul compares them */
      return true;
  return false;
}

bool consul_tags_match(const struct exchange *x, const struct instance *in) {
  size_t at = 0;
  const char *tag;
  while ((tag = params_next(&x->site->params, "tag", &at)))
    if (*tag && !has_tag(in, tag))
      return false;
  return true;
}

/* The one node has the one metadata that Consul gives every node. */
bool consul_node_matches(const struct exchange *x) {
  const struct params *p = &x->site->params;
  const char *peer = params_get(p, "peer"), *pair;
  size_t at = 0;
  if (peer && *peer)
    return false;
  while ((pair = params_next(p, "node-meta", &at)))
    if (*pair && strcmp(pair, "consul-network-segment:") != 0)
      return false;
  return true;
}

const struct view_service *consul_service_of(struct exchange *x) {
  const struct view_service *s = view_service(x->root, x->name);
  if (s)
    x->known_leader = !s->stale;
  return s && consul_node_matches(x) ? s : NULL;
}
