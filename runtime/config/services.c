#include "config/services.h"

#include "base/fault.h"
#include "base/value.h"
#include "config/source_address.h"
#include "config/use.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool is_flawed(const struct findings *findings, const char *path) {
  size_t length = strlen(path);
  for (size_t i = 0; i < findings->count; i++) {
    const char *found = findings->items[i].path;
    if (strncmp(found, path, length) == 0 && (!found[length] || strchr(".[", found[length])))
      return true;
  }
  return false;
}

/* One service's instance while it is read. */
struct reading {
  struct config *config;
  const struct shape *shape;
  const struct value *declared; /* the instance, as the schema gave it */
  const char *service, *path;
  struct findings *findings;
  bool governed; /* a policy is said somewhere in its service */
};

enum { CHECKS_MAX = REGISTRATION_CHECKS_MAX };

/* A path is a socket's; else an ip or a name, without a port. */
static void check_address(struct reading *r, const char *address) {
  const struct value *where = value_get(r->declared, "address");
  char path[700];
  struct in6_addr six;
  snprintf(path, sizeof path, "%s.address", r->path);
  if (address[0] == '/') {
    if (value_get(r->declared, "port") || value_get(r->declared, "ports"))
      findings_add(r->findings, where, path, "a unix socket has no port");
  } else if (strpbrk(address, " \t\r\n/[]") ||
             (strchr(address, ':') && inet_pton(AF_INET6, address, &six) != 1)) {
    findings_add(r->findings, where, path,
                 "expected an IP address, a name or a socket's path; the port goes to `port`, and "
                 "IPv6 has no brackets here: \"%.100s\"",
                 address);
  } else if (address_is_any(address)) {
    findings_add(r->findings, where, path,
                 "one listens on %s, and nobody reaches it: give the address that others call, or "
                 "leave it out",
                 address);
  } else if (!value_get(r->declared, "port") && !value_get(r->declared, "ports")) {
    findings_add(r->findings, r->declared, r->path, "missing: expected port, or ports");
  }
}

/* The default port: `port`, or the only one of `ports`. */
static uint16_t default_port(struct reading *r) {
  const struct value *port = value_get(r->declared, "port"),
                     *ports = value_get(r->declared, "ports");
  if (!port && value_fields(ports) == 1)
    port = value_field(ports, 0, NULL);
  if (!port && ports)
    findings_add(r->findings, ports, r->path,
                 "several ports: `port` says which one a pick gives, as in port = %.14g",
                 value_as_number(value_field(ports, 0, NULL), 0));
  return (uint16_t)value_as_number(port, 0);
}

/* Its k-th registry's table in `registries`; NULL for the embedded one, and past the last. */
static const struct value *registry_at(const struct reading *r, size_t k, const char **name) {
  *name = value_as_text(value_at(value_get(r->declared, "registry"), k), NULL);
  return *name ? value_get(value_get(r->config->root, "registries"), *name) : NULL;
}

/* Its registries are there, and those that other hosts read get an address that those can reach. */
static void check_registries(struct reading *r, const char *address) {
  const struct value *names = value_get(r->declared, "registry");
  char path[700];
  for (size_t i = 0; i < value_length(names); i++) {
    const char *name;
    const struct value *registry = registry_at(r, i, &name);
    bool embedded = !name || strcmp(name, "embedded") == 0;
    if (!embedded && !registry) {
      snprintf(path, sizeof path, "%s.registry", r->path);
      findings_add(r->findings, value_at(names, i), path,
                   "there is no registry \"%s\" in `registries`", name);
    } else if (!embedded && address_is_loopback(address) && !registry_is_local(registry)) {
      snprintf(path, sizeof path, "%s.address", r->path);
      findings_add(r->findings, r->declared, path,
                   "other hosts read the registry \"%s\", and cannot reach %s: give the address "
                   "that they reach this host by",
                   name, address);
    }
  }
}

/* As configured, or the one by which the first registry's readers reach this host. */
static const char *address_of(const struct reading *r, char *out, size_t size) {
  const char *address = value_as_text(value_get(r->declared, "address"), NULL), *name;
  if (address)
    return address;
  snprintf(out, size, "127.0.0.1");
  for (size_t k = 0; registry_at(r, k, &name) || name; k++)
    if (strcmp(name, "embedded") != 0) {
      source_address(registry_at(r, k, &name), out, size);
      break;
    }
  return out;
}

/* What is said of whoever registers under this name, where no instance is: a policy alone. */
static bool is_rule(const struct value *declared) {
  static const char *const of_instance[] = {"port", "ports", "address", "id", "check"};
  bool alone = value_get(declared, "policy") != NULL;
  for (size_t i = 0; i < sizeof of_instance / sizeof *of_instance; i++)
    alone = alone && !value_get(declared, of_instance[i]);
  return alone && !value_length(value_get(declared, "checks"));
}

static void check_policy(struct reading *r) {
  const struct value *policy = value_get(r->declared, "policy");
  char path[700];
  struct fault f;
  snprintf(path, sizeof path, "%s.policy", r->path);
  if (policy && uses_check(policy, "policy", &f) != 0)
    findings_add(r->findings, policy, path, "%s", f.text);
}

static bool is_governed(const struct value *list) {
  for (size_t i = 0; i < value_length(list); i++)
    if (value_get(value_at(list, i), "policy"))
      return true;
  return false;
}

/* `id` NULL: of all that register under the name. */
static void add_policy(struct reading *r, const char *id) {
  struct config *c = r->config;
  struct config_policy *more = realloc(c->policies, (c->policy_count + 1) * sizeof *more);
  if (!more) {
    r->findings->failed = 1;
    return;
  }
  c->policies = more;
  more[c->policy_count++] = (struct config_policy){
      .service = r->service,
      .id = id,
      .policy = value_get(r->declared, "policy"),
      .min_registered = (uint32_t)value_as_number(value_get(r->declared, "min_registered"), 1)};
}

const struct config_policy *config_policy(const struct config *c, const char *service,
                                          const char *id) {
  const struct config_policy *common = NULL;
  for (size_t i = 0; i < c->policy_count; i++) {
    const struct config_policy *p = &c->policies[i];
    if (strcmp(p->service, service) != 0)
      continue;
    if (p->id && strcmp(p->id, id) == 0)
      return p->policy ? p : NULL;
    if (p->policy && !common)
      common = p;
  }
  return common;
}

static size_t read_checks(struct reading *r, const char *id, struct check_definition *out) {
  const struct value *one = value_get(r->declared, "check"),
                     *all = value_get(r->declared, "checks");
  char path[700];
  size_t count = 0;
  if (one && value_length(all))
    findings_add(r->findings, one, r->path, "both check and checks: move it into checks");
  for (size_t i = 0; i < (one ? 1 : value_length(all)) && i < CHECKS_MAX; i++) {
    unsigned number = one || value_length(all) == 1 ? 0 : (unsigned)i + 1;
    if (one)
      snprintf(path, sizeof path, "%s.check", r->path);
    else
      snprintf(path, sizeof path, "%s.checks[%zu]", r->path, i + 1);
    if (check_read(r->shape, one ? one : value_at(all, i), path, r->service, id, number,
                   &out[count], r->findings) == 0)
      count++;
  }
  return count;
}

static struct instance *read_instance(struct reading *r, const char *id, const char *address,
                                      uint16_t port) {
  const struct value *d = r->declared, *tags = value_get(d, "tags"), *meta = value_get(d, "meta"),
                     *ports = value_get(d, "ports");
  size_t tag_count = value_length(tags), meta_count = value_fields(meta),
         port_count = value_fields(ports);
  const char **tag_list = calloc(tag_count + 1, sizeof *tag_list);
  struct catalog_pair *meta_list = calloc(meta_count + 1, sizeof *meta_list);
  struct catalog_port *port_list = calloc(port_count + 1, sizeof *port_list);
  struct instance *in = NULL;
  if (tag_list && meta_list && port_list) {
    for (size_t i = 0; i < tag_count; i++)
      tag_list[i] = value_as_text(value_at(tags, i), "");
    for (size_t i = 0; i < meta_count; i++)
      meta_list[i].value = value_as_text(value_field(meta, i, &meta_list[i].key), "");
    for (size_t i = 0; i < port_count; i++)
      port_list[i].port = (uint16_t)value_as_number(value_field(ports, i, &port_list[i].name), 0);
    in = instance_new(&(struct instance_draft){
        .id = id,
        .service = r->service,
        .address = address,
        .zone = value_as_text(value_get(d, "zone"), r->config->zone),
        .port = port,
        .weight = value_as_number(value_get(d, "weight"), 1),
        .tags = tag_list,
        .tag_count = (uint16_t)tag_count,
        .meta = meta_list,
        .meta_count = (uint16_t)meta_count,
        .ports = port_list,
        .port_count = (uint16_t)port_count,
    });
  }
  free(tag_list);
  free(meta_list);
  free(port_list);
  return in;
}

static void add_service(struct reading *r, struct registration *made) {
  struct fault f = {0};
  if (made && registration_check(made, &f) < 0) {
    findings_add(r->findings, r->declared, r->path, "%s", f.text);
    registration_unref(made);
    return;
  }
  struct config *c = r->config;
  struct registration **more =
      made ? realloc(c->services, (c->service_count + 1) * sizeof *more) : NULL;
  if (more)
    c->services = more;
  const struct value **names =
      more ? realloc(c->service_registries, (c->service_count + 1) * sizeof *names) : NULL;
  if (!names) {
    r->findings->failed = 1;
    registration_unref(made);
    return;
  }
  c->service_registries = names;
  names[c->service_count] = value_get(r->declared, "registry");
  c->services[c->service_count++] = made;
  if (r->governed)
    add_policy(r, made->instance->id);
}

static void read_one(struct reading *r) {
  const struct value *d = r->declared;
  bool flawed = is_flawed(r->findings, r->path);
  size_t before = r->findings->count;
  char own[64];
  const char *address = address_of(r, own, sizeof own);
  const char *id = value_as_text(value_get(d, "id"), NULL);
  if (!flawed)
    check_address(r, address);
  check_registries(r, address);
  uint16_t port = flawed ? 0 : default_port(r);
  char *made_id = NULL;
  if (!id)
    id = (port ? asprintf(&made_id, "%s-%s-%u", r->service, address, port)
               : asprintf(&made_id, "%s-%s", r->service, address)) < 0
             ? ""
             : made_id;
  struct check_definition *checks = calloc(CHECKS_MAX, sizeof *checks);
  size_t count = checks ? read_checks(r, id, checks) : 0;
  if (!flawed && r->findings->count == before && checks) {
    struct instance *in = read_instance(r, id, address, port);
    add_service(r, in ? registration_new(&(struct registration){.origin = ORIGIN_CONFIGURATION,
                                                                .instance = in,
                                                                .checks = checks,
                                                                .check_count = (uint32_t)count,
                                                                .weight_warning = 1})
                      : NULL);
    instance_unref(in);
  }
  r->findings->failed |= !checks;
  for (size_t i = 0; i < count; i++)
    check_definition_clear(&checks[i]);
  free(checks);
  free(made_id);
}

/* What must be unique on the agent, with where it was said. */
struct claim {
  const char *id, *what;
  const struct value *where;
  const char *service;
};

static int compare_claims(const void *a, const void *b) {
  const struct claim *x = a, *y = b;
  int by_kind = strcmp(x->what, y->what), by_id = by_kind ? by_kind : strcmp(x->id, y->id);
  if (by_id)
    return by_id;
  return value_line(x->where) - value_line(y->where);
}

static void find_duplicates(struct claim *claims, size_t count, struct findings *findings) {
  qsort(claims, count, sizeof *claims, compare_claims);
  for (size_t i = 1; i < count; i++) {
    const struct claim *a = &claims[i - 1], *b = &claims[i];
    if (strcmp(a->id, b->id) != 0 || strcmp(a->what, b->what) != 0)
      continue;
    char path[600];
    snprintf(path, sizeof path, "services.%s", b->service);
    findings_add(findings, b->where, path,
                 "the %s \"%s\" is also in %s:%d (services.%s); give one of them an id", b->what,
                 b->id, value_file(a->where), value_line(a->where), a->service);
  }
}

/* `from[i]` is what service i was read from. */
static void claim_ids(const struct config *c, const struct value *const *from,
                      struct findings *findings) {
  size_t total = 0, n = 0;
  for (size_t i = 0; i < c->service_count; i++)
    total += 1 + c->services[i]->check_count;
  struct claim *claims = calloc(total + 1, sizeof *claims);
  if (!claims) {
    findings->failed = 1;
    return;
  }
  for (size_t i = 0; i < c->service_count; i++) {
    const struct registration *r = c->services[i];
    const char *service = r->instance->service;
    claims[n++] = (struct claim){r->instance->id, "id", from[i], service};
    for (uint32_t k = 0; k < r->check_count; k++)
      claims[n++] = (struct claim){r->checks[k].id, "check id", from[i], service};
  }
  find_duplicates(claims, n, findings);
  free(claims);
}

void services_read(struct config *c, const struct shape *shape, const struct value *services,
                   struct findings *findings) {
  size_t total = 0;
  for (size_t i = 0; i < value_fields(services); i++)
    total += value_length(value_field(services, i, NULL));
  const struct value **from = calloc(total + 1, sizeof *from);
  if (!from) {
    findings->failed = 1;
    return;
  }
  for (size_t i = 0; i < value_fields(services); i++) {
    const char *name;
    const struct value *list = value_field(services, i, &name);
    char path[600];
    snprintf(path, sizeof path, "services.%.300s", name);
    if (!name_valid(name, strlen(name)))
      findings_add(findings, list, path,
                   "a service's name is 1 to 255 bytes of UTF-8 without control characters");
    for (size_t k = 0; k < value_length(list); k++) {
      if (value_length(list) > 1)
        snprintf(path, sizeof path, "services.%.300s[%zu]", name, k + 1);
      struct reading one = {c, shape, value_at(list, k), name, path, findings, is_governed(list)};
      from[c->service_count] = one.declared;
      check_policy(&one);
      if (is_rule(one.declared))
        add_policy(&one, NULL);
      else
        read_one(&one);
    }
  }
  claim_ids(c, from, findings);
  free(from);
}
