#include "agent/configure.h"

#include "agent/checks.h"
#include "agent/hooks/hooks.h"
#include "agent/parts.h"
#include "agent/plans/choosers.h"
#include "agent/plans/plans.h"
#include "agent/plugins/plugins.h"
#include "agent/policies/policies.h"
#include "agent/registries/registrars.h"
#include "agent/routes/routes.h"
#include "agent/watches/watches.h"
#include "base/fault.h"
#include "base/value.h"
#include "config/config.h"
#include "registry/embedded.h"

#include <string.h>

size_t configure_verify(struct plugins *plugins, const struct config *config,
                        struct findings *findings) {
  const struct balancer_host host = plans_host(config, plugins);
  return checks_verify(plugins, config, findings) + policies_verify(plugins, config, findings) +
         plans_verify(plugins, config, findings) +
         choosers_verify(plugins, config, &host, findings) +
         hooks_verify(plugins, config, findings) + routes_verify(plugins, config, findings) +
         watches_verify(plugins, config, findings) + plugins_verify(plugins, findings);
}

/* The first failure is the one that is told. */
static void note(int rc, const struct fault *why, int *first, struct fault *f) {
  if (rc != 0 && *first == 0) {
    *first = rc;
    *f = *why;
  }
}

/* The watches before the registrations: they say whose sets the embedded registry feeds. */
int configure_parts(struct agent *a, const struct config *config, struct fault *f) {
  const struct balancer_host host = plans_host(config, a->plugins);
  struct fault why = {0};
  int first = 0;
  const struct value *limits = value_get(config->root, "limits");
  server_admit(a->server, (unsigned)value_as_number(value_get(limits, "http_max_conns"), 0),
               (unsigned)value_as_number(value_get(limits, "http_max_conns_per_client"), 0));
  note(plans_configure(a->plans, config, &why), &why, &first, f);
  note(choosers_configure(a->choosers, config, &host, &why), &why, &first, f);
  note(hooks_configure(a->hooks, config, &why), &why, &first, f);
  note(routes_configure(a->routes, config, &why), &why, &first, f);
  note(watches_configure(a->watches, config, &why), &why, &first, f);
  note(registrars_configure(a->registrars, config, &why), &why, &first, f);
  note(policies_configure(a->policies, config, &why), &why, &first, f);
  return first;
}

int configure_services(struct agent *a, const struct config *config, struct fault *f) {
  int rc = embedded_configure(a->embedded, config->services, config->service_count);
  policies_settle(a->policies);
  return rc == 0 ? 0
                 : fault_set(f, rc, "cannot register the configured services: %s", strerror(-rc));
}
