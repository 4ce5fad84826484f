#include "config/shape.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/schema.h"
#include "base/value.h"
#include "config/sandbox.h"

#include <errno.h>

static const char file_declaration[] =
    "local instance = {\n"
    "  id = { 'string', optional = true, min = 1, max = 255 },\n"
    "  address = { 'string', '127.0.0.1', min = 1, max = 255 },\n"
    "  port = { 'integer', optional = true, min = 1, max = 65535 },\n"
    "  ports = { 'map', optional = true, of = { 'integer', min = 1, max = 65535 } },\n"
    "  tags = { 'list', {}, of = { 'string', min = 1 } },\n"
    "  meta = { 'map', {}, of = 'string' },\n"
    "  weight = { 'number', 1, min = 0, max = 65535 },\n"
    "  zone = { 'string', optional = true, max = 63 },\n"
    "  check = { 'any', optional = true },\n"
    "  checks = { 'list', {}, of = 'any', max = 64 },\n"
    "  policy = { 'any', optional = true },\n"
    "  registry = { 'list', 'embedded', of = 'string', single = true, min = 1 },\n"
    "}\n"
    "return {\n"
    "  node = { 'string', optional = true, min = 1, max = 255 },\n"
    "  zone = { 'string', '', max = 63 },\n"
    "  datacenter = { 'string', 'dc1', min = 1, max = 63 },\n"
    "  http = { 'address', '127.0.0.1:8500', off = true },\n"
    "  dns = { 'address', optional = true, off = true },\n"
    "  run_dir = { 'string', optional = true, min = 1 },\n"
    "  data_dir = { 'string', optional = true, min = 1 },\n"
    "  include = { 'list', {}, of = 'string', single = true },\n"
    "  workers = { 'integer', optional = true, min = 1, max = 64 },\n"
    "  reload = { 'choice', 'manual', of = { 'manual', 'auto' } },\n"
    "  on_stop = { 'choice', 'keep', of = { 'keep', 'leave' } },\n"
    "  log = {\n"
    "    level = { 'choice', 'info', of = { 'debug', 'info', 'warn', 'error' }, main = true },\n"
    "    format = { 'choice', 'text', of = { 'text', 'json' } },\n"
    "  },\n"
    "  registries = { 'map', {}, of = 'any' },\n"
    "  resolve = { 'any', optional = true },\n"
    "  services = { 'map', {}, of = { 'list', single = true, min = 1, of = instance } },\n"
    "  watches = { 'map', {}, of = {\n"
    "    target = { 'string', min = 1, main = true },\n"
    "    balancer = { 'any', optional = true },\n"
    "  } },\n"
    "  plugins = { 'map', {}, of = 'any' },\n"
    "}\n";

static const char settings_declaration[] =
    "return {\n"
    "  id = { 'string', optional = true, min = 1, max = 255 },\n"
    "  name = { 'string', optional = true, min = 1, max = 255 },\n"
    "  notes = { 'string', '' },\n"
    "  interval = { 'duration', '10s', min = '100ms' },\n"
    "  timeout = { 'duration', '5s', min = '1ms' },\n"
    "  rise = { 'integer', 2, min = 1, max = 1000 },\n"
    "  fall = { 'integer', 3, min = 1, max = 1000 },\n"
    "  initial = { 'choice', 'critical', of = { 'passing', 'warning', 'critical' } },\n"
    "  deregister_after = { 'duration', optional = true, min = '10s' },\n"
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

void shape_clear(struct shape *s) {
  schema_free(s->file);
  schema_free(s->settings);
  schema_free(s->ttl);
  *s = (struct shape){0};
}
