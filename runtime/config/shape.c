#include "config/shape.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/schema.h"
#include "base/value.h"
#include "config/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char file_declaration[] =
    "local instance = {\n"
    "  id = { 'string', optional = true, min = 1, max = 255, about = 'unique on this agent; "
    "SERVICE-ADDRESS-PORT when absent' },\n"
    "  address = { 'string', optional = true, min = 1, max = 255, about = 'an IP address, a name, "
    "or the path of a unix socket; when absent, the one that the registry is reached from' },\n"
    "  port = { 'integer', optional = true, min = 1, max = 65535, about = 'the one that a pick "
    "gives; needed but for a unix socket' },\n"
    "  ports = { 'map', optional = true, of = { 'integer', min = 1, max = 65535 }, about = 'named "
    "ports; with only one, it is the port' },\n"
    "  tags = { 'list', {}, of = { 'string', min = 1 }, about = 'words that balancers and clients "
    "select by' },\n"
    "  meta = { 'map', {}, of = 'string', about = 'free pairs of text' },\n"
    "  weight = { 'number', 1, min = 0, max = 65535, about = 'its share where a balancer goes by "
    "weight; 0 is never picked' },\n"
    "  zone = { 'string', optional = true, max = 63, about = 'the zone of the agent when absent' "
    "},\n"
    "  check = { 'any', optional = true, about = 'one check: { NAME = ITS OPTIONS, SETTING = ... "
    "}, as in { http = \"/healthz\", interval = \"2s\" }' },\n"
    "  checks = { 'list', {}, of = 'any', max = 64, about = 'several checks' },\n"
    "  policy = { 'any', optional = true, about = 'what decides whether it is registered: a name, "
    "{ "
    "NAME, OPTION = ... }, or a list that must agree; without port and address, for all that "
    "register "
    "under the name' },\n"
    "  min_registered = { 'integer', 1, min = 0, about = 'so many healthy instances a policy "
    "leaves "
    "registered when it withdraws' },\n"
    "  registry = { 'list', 'embedded', of = 'string', single = true, min = 1, about = 'where it "
    "is registered' },\n"
    "}\n"
    "return {\n"
    "  node = { 'string', optional = true, min = 1, max = 255, about = 'the name of this agent; "
    "the host name when absent' },\n"
    "  zone = { 'string', '', max = 63, about = 'where the host is, as zone-aware balancers see "
    "it' },\n"
    "  datacenter = { 'string', 'dc1', min = 1, max = 63, about = 'as the clients of Consul see "
    "it' },\n"
    "  http = { 'address', '127.0.0.1:8500', off = true, about = 'where HTTP is served; false for "
    "nowhere but the socket in the run directory' },\n"
    "  dns = { 'address', optional = true, off = true, about = 'where DNS will be served; checked, "
    "and not served by this build' },\n"
    "  run_dir = { 'string', optional = true, min = 1, about = 'the catalog and the socket; "
    "$PERIGEE_RUN_DIR and --run-dir come before it' },\n"
    "  data_dir = { 'string', optional = true, min = 1, about = 'what survives a restart; "
    "--data-dir comes before it' },\n"
    "  include = { 'list', {}, of = 'string', single = true, about = 'more files, as patterns "
    "relative to this one; they add services, watches, registries, hooks, routes and plugins' },\n"
    "  workers = { 'integer', optional = true, min = 1, max = 64, about = 'threads that answer "
    "HTTP' },\n"
    "  limits = {\n"
    "    http_max_conns = { 'integer', 8192, min = 1, max = 1000000, about = 'open HTTP "
    "connections "
    "in all: the next is answered 503' },\n"
    "    http_max_conns_per_client = { 'integer', 200, min = 1, max = 1000000, about = 'of one "
    "address: the next is answered 429; a perigee that watches this one has one for each service' "
    "},\n"
    "  },\n"
    "  reload = { 'choice', 'manual', of = { 'manual', 'auto' }, about = 'auto: as soon "
    "as its files or its plugins change' },\n"
    "  on_stop = { 'choice', 'keep', of = { 'keep', 'leave' }, about = 'leave deregisters "
    "everything when the agent is stopped' },\n"
    "  log = {\n"
    "    level = { 'choice', 'info', of = { 'debug', 'info', 'warn', 'error' }, main = true, about "
    "= 'what is logged; --log-level comes before it' },\n"
    "    format = { 'choice', 'text', of = { 'text', 'json' }, about = 'key=value, or one JSON "
    "object a line' },\n"
    "  },\n"
    "  registries = { 'map', {}, of = 'any', about = 'other registries, by names of your own: { "
    "adapter = ITS NAME, ttl = \"10s\" (of its leases), retry = \"20s\" (the longest wait before "
    "what failed is tried again), and what the adapter takes }' },\n"
    "  resolve = {\n"
    "    registry = { 'string', optional = true, min = 1, main = true, about = 'the registry in "
    "which a name that nobody configured is watched when it is first asked for' },\n"
    "    forget = { 'duration', '10m', min = '1s', about = 'and no more, when nobody has asked for "
    "it for so long' },\n"
    "  },\n"
    "  services = { 'map', {}, about = 'what this agent registers: one instance, or a list of "
    "several',\n"
    "    of = { 'list', single = true, min = 1, of = instance } },\n"
    "  watches = { 'map', {}, about = 'what this agent watches, by the name that it is picked by', "
    "of = {\n"
    "    target = { 'string', min = 1, main = true, about = 'embedded:///SERVICE, or "
    "static:///HOST:PORT,...' },\n"
    "    balancer = { 'any', optional = true, about = 'an algorithm, { NAME, OPTION = ... }, or a "
    "list: modifiers and balancer plugins, then the algorithm' },\n"
    "    fallback = { 'string', optional = true, min = 1, about = 'another target, for when this "
    "one "
    "has fewer than min_endpoints, or is stale for longer than stale_after' },\n"
    "    also = { 'string', optional = true, min = 1, about = 'a second target, merged with the "
    "first' },\n"
    "    merge = { 'choice', optional = true, of = { 'union', 'prefer', 'compare' }, about = 'with "
    "`also`: union, both (that it is, when nothing is said); prefer, the second only for want of "
    "the first; compare, only tell how they differ' },\n"
    "    min_endpoints = { 'integer', 1, min = 1, about = 'fewer count as none' },\n"
    "    on_empty = { 'choice', optional = true, of = { 'keep', 'fallback', 'empty' }, about = "
    "'what none is answered with: the last that were enough, the other target, or no endpoint; "
    "fallback where there is one, else empty' },\n"
    "    hold = { 'duration', '30s', min = '0s', about = 'a sudden loss of more than half, and of "
    "three "
    "at least, is believed after so long, or as soon as an endpoint refuses connections' },\n"
    "    stale_after = { 'duration', optional = true, min = '1s', about = 'unreachable for so long "
    "counts as none; 30s with merge = \\\"prefer\\\", else never: the last known stay' },\n"
    "  } },\n"
    "  hooks = { 'list', {}, of = 'any', about = 'what is told of changes: NAME, or { NAME, OPTION "
    "= "
    "... }' },\n"
    "  routes = { 'map', {}, of = 'any', about = 'what answers /v1/x/NAME: the options of the "
    "route "
    "plugin NAME, or { PLUGIN, OPTION = ... }' },\n"
    "  plugins = { 'map', {}, about = 'the host\\'s side of a plugin, by its name or as "
    "\"KIND/NAME\"', of = {\n"
    "    path = { 'string', optional = true, min = 1, about = 'its file, where that is in no "
    "directory of plugins; relative to this one' },\n"
    "    memory = { 'size', '16MiB', min = '1MiB', max = '1GiB', about = 'what its Lua state may "
    "hold' },\n"
    "    turn = { 'duration', '100ms', min = '10ms', max = '10s', about = 'CPU time without "
    "waiting, after which it is killed' },\n"
    "    grant = {\n"
    "      connect = { 'list', {}, of = 'string', single = true, about = 'hosts, as in "
    "\"db.example.org:5432\", \"*.example.org\", \"unix:/run/x.sock\", or \"self\": the "
    "instance\\'s own address, which every check has' },\n"
    "      listen = { 'list', {}, of = 'string', single = true, about = 'addresses it may listen "
    "on' },\n"
    "      read = { 'list', {}, of = 'string', single = true, about = 'files; one that ends with / "
    "is all below it' },\n"
    "      write = { 'list', {}, of = 'string', single = true, about = 'files it may write' },\n"
    "      run = { 'list', {}, of = 'string', single = true, about = 'programs it may run, as it "
    "names them' },\n"
    "      env = { 'list', {}, of = 'string', single = true, about = 'variables of the agent\\'s "
    "environment, which it may see and hand on' },\n"
    "      register = { 'list', {}, of = 'string', single = true, about = 'services whose "
    "instances it may register and take back' },\n"
    "      ffi = { 'boolean', false, about = 'LuaJIT\\'s ffi: it can do anything then' },\n"
    "    },\n"
    "  } },\n"
    "}\n";

static const char settings_declaration[] =
    "return {\n"
    "  id = { 'string', optional = true, min = 1, max = 255, about = 'unique on this agent; "
    "service:ID or service:ID:N when absent' },\n"
    "  name = { 'string', optional = true, min = 1, max = 255, about = 'for people' },\n"
    "  notes = { 'string', '', about = 'for people' },\n"
    "  interval = { 'duration', '10s', min = '100ms', about = 'between two runs' },\n"
    "  timeout = { 'duration', '5s', min = '1ms', about = 'how long one run may take' },\n"
    "  rise = { 'integer', 2, min = 1, max = 1000, about = 'good results in a row until it passes; "
    "the first result decides at once' },\n"
    "  fall = { 'integer', 3, min = 1, max = 1000, about = 'bad results in a row until it is "
    "critical' },\n"
    "  initial = { 'choice', 'critical', of = { 'passing', 'warning', 'critical' }, about = 'the "
    "status before the first result' },\n"
    "  deregister_after = { 'duration', optional = true, min = '10s', about = 'critical for so "
    "long: the instance is deregistered' },\n"
    "}\n";

static const char ttl_declaration[] = "return { ttl = { 'duration', min = '100ms' } }\n";

static struct schema *declare(const char *text) {
  struct fault f = {0};
  struct schema *s = NULL;
  struct value *declaration = sandbox_literal(text);
  if (declaration && schema_new(declaration, &s, &f) < 0)
    log_error("a declaration of perigee's own is wrong", LOG_S("error", f.text));
  value_unref(declaration);
  return s;
}

int shape_new(struct shape *out) {
  *out = (struct shape){declare(file_declaration), declare(settings_declaration),
                        declare(ttl_declaration)};
  if (out->file && out->settings && out->ttl)
    return 0;
  shape_clear(out);
  return -ENOMEM;
}

/* What stands between a key and the forms below it, and those forms. */
static void explain(const struct value *forms, const char *path, shape_explain_fn each, void *arg);

static void explain_one(const struct value *form, const char *path, shape_explain_fn each,
                        void *arg) {
  const struct value *below = value_get(form, "of");
  char deeper[200];
  const char *kind = value_as_text(value_at(form, 0), NULL);
  if (kind)
    each(arg, path, form);
  if (!kind) {
    explain(form, path, each, arg);
  } else if (value_kind(below) == VALUE_TABLE && strcmp(kind, "choice") != 0) {
    snprintf(deeper, sizeof deeper, "%.190s%s", path, strcmp(kind, "map") == 0 ? ".NAME" : "");
    if (value_fields(below) && !value_length(below))
      explain(below, deeper, each, arg);
    else if (value_get(below, "of"))
      explain(value_get(below, "of"), deeper, each, arg);
  }
}

static void explain(const struct value *forms, const char *path, shape_explain_fn each, void *arg) {
  for (size_t i = 0; value_length(forms) == 0 && i < value_fields(forms); i++) {
    const char *key;
    char deeper[200];
    const struct value *form = value_field(forms, i, &key);
    snprintf(deeper, sizeof deeper, "%s%s%s", path, *path ? "." : "", key);
    explain_one(form, deeper, each, arg);
  }
}

void shape_explain(shape_explain_fn each, void *arg) {
  struct value *file = sandbox_literal(file_declaration),
               *settings = sandbox_literal(settings_declaration);
  explain(file, "", each, arg);
  explain(settings, "services.NAME.check", each, arg);
  value_unref(file);
  value_unref(settings);
}

void shape_clear(struct shape *s) {
  schema_free(s->file);
  schema_free(s->settings);
  schema_free(s->ttl);
  *s = (struct shape){0};
}
