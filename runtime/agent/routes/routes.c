#include "agent/routes/routes.h"

#include "agent/plugins/plugins.h"
#include "agent/plugins/uses.h"
#include "agent/routes/answering.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/metric.h"
#include "base/value.h"
#include "config/config.h"
#include "config/use.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 100 }; /* requests that one route answers */

static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"};
enum { METHODS = sizeof methods / sizeof *methods };

struct route {
  char *name; /* of /v1/x/NAME */
  struct value *use;
  struct answerings answerings;
};

struct routes {
  uv_loop_t *loop;
  struct plugins *plugins;
  struct route **items;
  size_t count;
  uint64_t unknown, busy, quarantined; /* requests that no plugin was asked */
};

struct routes *routes_new(uv_loop_t *loop, struct plugins *plugins) {
  struct routes *all = calloc(1, sizeof *all);
  if (all)
    *all = (struct routes){.loop = loop, .plugins = plugins};
  return all;
}

static void route_free(struct route *r) {
  if (!r)
    return;
  answerings_end(&r->answerings, false);
  attachment_free(r->answerings.attachment);
  value_unref(r->use);
  free(r->name);
  free(r);
}

void routes_free(struct routes *all) {
  if (!all)
    return;
  for (size_t i = 0; i < all->count; i++)
    route_free(all->items[i]);
  free(all->items);
  free(all);
}

/* ---- the configuration ---- */

static int attach(struct plugins *plugins, const char *name, const struct value *use,
                  struct attachment **out, struct findings *findings) {
  char path[300];
  snprintf(path, sizeof path, "routes.%.250s", name);
  const char *plugin = value_length(use) ? use_name(use) : name;
  if (value_kind(use) != VALUE_TABLE || !plugin)
    findings_add(findings, use, path,
                 "expected a table: the options of the route plugin of that name, or { PLUGIN, "
                 "OPTION = ... }");
  else if (!*name || strchr(name, '/'))
    findings_add(findings, use, path, "a route's name has no /, and is not empty");
  else
    return use_attach(plugins, "route", plugin, use, path, out, findings);
  return -EINVAL;
}

size_t routes_verify(struct plugins *plugins, const struct config *config,
                     struct findings *findings) {
  const struct value *list = value_get(config->root, "routes");
  size_t before = findings->count;
  for (size_t i = 0; i < value_fields(list); i++) {
    const char *name;
    const struct value *use = value_field(list, i, &name);
    struct attachment *a = NULL;
    if (attach(plugins, name, use, &a, findings) == 0)
      attachment_free(a);
  }
  return findings->count - before;
}

static struct route *route_new(const struct routes *all, const char *name, const struct value *use,
                               struct findings *findings) {
  struct attachment *a = NULL;
  struct route *r = NULL;
  if (attach(all->plugins, name, use, &a, findings) != 0)
    return NULL;
  r = calloc(1, sizeof *r);
  if (!r || !(r->name = strdup(name))) {
    free(r);
    attachment_free(a);
    return NULL;
  }
  r->use = value_ref(use);
  r->answerings = (struct answerings){.loop = all->loop, .plugins = all->plugins, .attachment = a};
  return r;
}

static struct route *take(struct route **items, size_t count, const char *name,
                          const struct value *use) {
  for (size_t i = 0; i < count; i++)
    if (items[i] && strcmp(items[i]->name, name) == 0 && value_equal(items[i]->use, use)) {
      struct route *r = items[i];
      items[i] = NULL;
      return r;
    }
  return NULL;
}

int routes_configure(struct routes *all, const struct config *config, struct fault *f) {
  const struct value *list = value_get(config->root, "routes");
  struct route **items = calloc(value_fields(list) + 1, sizeof *items), **old = all->items;
  struct findings findings = {0};
  size_t old_count = all->count, count = 0;
  if (!items)
    return fault_set(f, -ENOMEM, "out of memory");
  for (size_t i = 0; i < value_fields(list); i++) {
    const char *name;
    const struct value *use = value_field(list, i, &name);
    struct route *r = take(old, old_count, name, use);
    if (r || (r = route_new(all, name, use, &findings)))
      items[count++] = r;
  }
  for (size_t i = 0; i < old_count; i++)
    route_free(old[i]);
  free(old);
  all->items = items;
  all->count = count;
  int rc = findings.count ? fault_set(f, -EINVAL, "%s", findings.items[0].text) : 0;
  findings_free(&findings);
  return rc;
}

/* ---- requests ---- */

static struct route *find(const struct routes *all, const char *name) {
  for (size_t i = 0; i < all->count; i++)
    if (strcmp(all->items[i]->name, name) == 0)
      return all->items[i];
  return NULL;
}

/* HEAD is a GET whose body is left out, where the plugin does not say otherwise. */
static const char *function_for(const struct plugin *p, const char *method) {
  if (strcmp(method, "HEAD") == 0 && !plugin_provides(p, method))
    method = "GET";
  return plugin_provides(p, method) ? method : NULL;
}

static void answer_methods(const struct plugin *p, const struct visit *v, void *to) {
  char allow[100] = "Allow: OPTIONS";
  for (size_t i = 0; i < METHODS; i++)
    if (plugin_provides(p, methods[i])) {
      size_t length = strlen(allow);
      snprintf(allow + length, sizeof allow - length, ", %s", methods[i]);
    }
  snprintf(allow + strlen(allow), sizeof allow - strlen(allow), "\r\n");
  answer_sentence(to, 405, allow, "The route %s does not answer %s.\n", v->route, v->method);
}

void routes_visit(struct routes *all, const struct visit *v, void *to) {
  struct route *r = find(all, v->route);
  if (!r) {
    all->unknown++;
    answer_sentence(to, 404, NULL, "There is no route \"%.100s\": `routes` has them.\n", v->route);
    return;
  }
  struct plugin *p = attachment_plugin(r->answerings.attachment);
  const char *function = function_for(p, v->method);
  if (!function) {
    answer_methods(p, v, to);
  } else if (r->answerings.stats.under_way >= AT_ONCE) {
    all->busy++;
    answer_sentence(to, 503, "Retry-After: 1\r\n", "The route %s answers %d requests already.\n",
                    r->name, AT_ONCE);
  } else if (!plugins_allows(all->plugins, p)) {
    all->quarantined++;
    answer_sentence(to, 503, "Retry-After: 10\r\n",
                    "The route %s kept failing, and is not asked for a while.\n", r->name);
  } else {
    answering_begin(&r->answerings, function, v, to);
  }
}

static struct answering *find_answering(const struct routes *all, void *to) {
  struct answering *a = NULL;
  for (size_t i = 0; !a && i < all->count; i++)
    a = answering_find(&all->items[i]->answerings, to);
  return a;
}

void routes_room(struct routes *all, void *to) {
  struct answering *a = find_answering(all, to);
  if (a)
    answering_room(a);
}

void routes_gone(struct routes *all, void *to) {
  struct answering *a = find_answering(all, to);
  if (a)
    answering_gone(a);
}

void routes_stop(struct routes *all) {
  for (size_t i = 0; i < all->count; i++)
    answerings_end(&all->items[i]->answerings, true);
}

/* ---- metrics ---- */

void routes_metrics(const struct routes *all, struct buf *out) {
  struct answering_stats sum = {0};
  for (size_t i = 0; i < all->count; i++) {
    const struct answering_stats *s = &all->items[i]->answerings.stats;
    sum.under_way += s->under_way;
    sum.answered += s->answered;
    sum.failed += s->failed;
    sum.late += s->late;
    sum.gone += s->gone;
  }
  const struct {
    const char *name;
    uint64_t value;
  } outcomes[] = {{"answered", sum.answered},       {"failed", sum.failed},    {"late", sum.late},
                  {"client_gone", sum.gone},        {"unknown", all->unknown}, {"busy", all->busy},
                  {"quarantined", all->quarantined}};
  metric_gauge(out, "perigee_routes_under_way", "Requests that route plugins answer now.",
               (double)sum.under_way);
  metric_family(out, "perigee_route_requests_total", "counter",
                "Requests under /v1/x/, by how they ended.");
  for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
    metric_sample(out, "perigee_route_requests_total", "outcome", outcomes[i].name,
                  (double)outcomes[i].value);
}
