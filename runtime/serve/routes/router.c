#include "serve/routes/router.h"

#include "serve/exchange/counters.h"
#include "serve/routes/routes.h"

#include <llhttp.h>
#include <stdbool.h>
#include <string.h>

enum { ANY = METHOD_GET | METHOD_PUT | METHOD_POST | METHOD_DELETE, AGENT = ROUTE_CONSUL };
enum {
  READ = ROUTE_CONSUL | ROUTE_READ,
  READ_SERVICE = READ | ROUTE_SERVICE,
  READ_LIST = READ | ROUTE_LIST
};

/* The first pattern that fits is taken; rows with the same one, for other methods, follow each
 * other. Rows at the end say 501 to what Consul has and perigee has not. A family of paths to come
 * (streams) is a file route_FAMILY.c with its handlers, and its rows here. */
static const struct route routes[] = {
    {METHOD_GET, "/v1/pick/*", pick_get, 0},
    {METHOD_GET, "/v1/services", services_get, 0},
    {METHOD_GET, "/v1/services/*", service_get, 0},

    {METHOD_GET, "/v1/health/service/*", health_service_get, READ_SERVICE},
    {METHOD_GET, "/v1/health/checks/*", health_checks_get, READ_SERVICE},
    {METHOD_GET, "/v1/health/state/*", health_state_get, READ},
    {METHOD_GET, "/v1/health/node/*", health_node_get, READ},
    {METHOD_GET, "/v1/health/connect/*", empty_list_get, READ_SERVICE},
    {METHOD_GET, "/v1/health/ingress/*", empty_list_get, READ_SERVICE},

    {METHOD_PUT, "/v1/agent/check/pass/*", agent_check_pass_put, AGENT},
    {METHOD_PUT, "/v1/agent/check/warn/*", agent_check_warn_put, AGENT},
    {METHOD_PUT, "/v1/agent/check/fail/*", agent_check_fail_put, AGENT},
    {METHOD_PUT, "/v1/agent/check/update/*", agent_check_update_put, AGENT},
    {METHOD_PUT, "/v1/agent/service/register", agent_service_register_put, AGENT},
    {METHOD_PUT, "/v1/agent/service/deregister/*", agent_service_deregister_put, AGENT},
    {METHOD_PUT, "/v1/agent/service/renew/*", agent_service_renew_put, AGENT},
    {METHOD_GET, "/v1/agent/service/*", agent_service_get, AGENT},
    {METHOD_GET, "/v1/agent/services", agent_services_get, AGENT},
    {METHOD_GET, "/v1/agent/checks", agent_checks_get, AGENT},
    {METHOD_GET, "/v1/agent/self", agent_self_get, AGENT},
    {METHOD_GET, "/v1/agent/members", agent_members_get, AGENT},

    {METHOD_GET, "/v1/catalog/services", catalog_services_get, READ_LIST},
    {METHOD_GET, "/v1/catalog/service/*", catalog_service_get, READ_SERVICE},
    {METHOD_GET, "/v1/catalog/connect/*", empty_list_get, READ_SERVICE},
    {METHOD_GET, "/v1/catalog/nodes", catalog_nodes_get, READ_LIST},
    {METHOD_GET, "/v1/catalog/node/*", catalog_node_get, READ},
    {METHOD_GET, "/v1/catalog/datacenters", catalog_datacenters_get, AGENT},
    {METHOD_GET, "/v1/status/leader", status_leader_get, AGENT},
    {METHOD_GET, "/v1/status/peers", status_peers_get, AGENT},

    {ANY | METHOD_PATCH, "/v1/x/*", visit_any, 0},
    {METHOD_GET, "/v1/status", status_get, 0},
    {METHOD_GET, "/v1/plugins", plugin_list_get, 0},
    {METHOD_GET, "/v1/explain/*", explain_get, 0},
    {METHOD_GET, "/v1/policies", policy_list_get, 0},
    {METHOD_POST, "/v1/operate/*", operate_post, ROUTE_OPERATOR},
    {METHOD_GET, "/metrics", metrics_get, 0},
    {METHOD_GET, "/healthz", healthz_get, 0},
    {METHOD_GET, "/readyz", readyz_get, 0},

    {ANY, "/v1/kv/*", absent_any, AGENT},
    {ANY, "/v1/acl/*", acl_any, AGENT},
    {ANY, "/v1/session/*", absent_any, AGENT},
    {ANY, "/v1/txn", absent_any, AGENT},
    {ANY, "/v1/event/*", absent_any, AGENT},
    {ANY, "/v1/connect/*", absent_any, AGENT},
    {ANY, "/v1/config", absent_any, AGENT},
    {ANY, "/v1/config/*", absent_any, AGENT},
    {ANY, "/v1/query", absent_any, AGENT},
    {ANY, "/v1/query/*", absent_any, AGENT},
    {ANY, "/v1/snapshot", absent_any, AGENT},
    {ANY, "/v1/operator/*", absent_any, AGENT},
    {ANY, "/v1/coordinate/*", absent_any, AGENT},
    {ANY, "/v1/catalog/*", absent_any, AGENT},
    {ANY, "/v1/agent/*", absent_any, AGENT},
};
enum { ROUTES = sizeof routes / sizeof routes[0] };
_Static_assert((int)ROUTES < (int)COUNTERS_ROUTES, "counters.h has no room for so many routes");

static unsigned method_bit(uint8_t method) {
  switch (method) {
  case HTTP_GET:
  case HTTP_HEAD:
    return METHOD_GET;
  case HTTP_PUT:
    return METHOD_PUT;
  case HTTP_POST:
    return METHOD_POST;
  case HTTP_DELETE:
    return METHOD_DELETE;
  case HTTP_PATCH:
    return METHOD_PATCH;
  default:
    return 0;
  }
}

static bool matches(const char *pattern, const char *path, size_t length, size_t *rest) {
  size_t n = strlen(pattern);
  if (pattern[n - 1] == '*') {
    *rest = n - 1;
    return length >= n - 1 && memcmp(pattern, path, n - 1) == 0;
  }
  *rest = n;
  return length == n && memcmp(pattern, path, n) == 0;
}

const struct route *route_find(uint8_t method, const char *path, size_t length, unsigned *allowed,
                               size_t *rest) {
  const struct route *r = routes, *end = routes + ROUTES;
  *allowed = 0;
  while (r < end && !matches(r->pattern, path, length, rest))
    r++;
  if (r == end)
    return NULL;
  const struct route *first = r;
  unsigned bit = method_bit(method), methods = 0;
  for (; r < end && strcmp(r->pattern, first->pattern) == 0; r++) {
    if (r->methods & bit)
      return r;
    methods |= r->methods;
  }
  *allowed = methods;
  return first;
}

unsigned routes_count(void) {
  return ROUTES + 1;
}

unsigned route_number(const struct route *route) {
  return route ? (unsigned)(route - routes) : ROUTES;
}

const char *route_name(unsigned number) {
  return number < ROUTES ? routes[number].pattern : "other";
}
