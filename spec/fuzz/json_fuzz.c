/* A registry's answer, as somebody between us and the registry may have made it: it is refused, or
 * all it became are instances that are fit, sorted by id and there once. Nothing behind its end is
 * taken for a part of it: what lies there is no JSON. */
#include "base/value.h"
#include "watch/json_instances.h"
#include "watch/json_map.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(struct value *table, const char *key, const char *text) {
  struct value *v = value_text(text, strlen(text));
  if ((key ? value_set(table, key, v) : value_append(table, v)) != 0)
    abort();
}

/* As lua/perigee/consul/map.lua has it, with each form of every field. */
static const struct json_map *the_map(void) {
  static struct json_map *map;
  if (map)
    return map;
  struct value *top = value_table(), *status = value_table(), *weight = value_table(),
               *ports = value_table(), *zone = value_table(), *address = value_table();
  add(top, "id", "Service.ID");
  add(top, "within", "Node.Node");
  add(address, NULL, "Service.Address");
  add(address, NULL, "Service.SocketPath");
  add(address, NULL, "Node.Address");
  add(top, "port", "Service.Port");
  add(top, "tags", "Service.Tags");
  add(top, "meta", "Service.Meta");
  add(zone, NULL, "Service.Meta.zone");
  add(zone, NULL, "Node.Meta.zone");
  add(ports, NULL, "Service.Ports");
  add(ports, "name", "Name");
  add(ports, "port", "Port");
  add(weight, NULL, "Service.Weights.Passing");
  add(weight, "warning", "Service.Weights.Warning");
  add(status, NULL, "Checks.Status");
  add(status, "UP", "passing");
  value_set(top, "address", address);
  value_set(top, "zone", zone);
  value_set(top, "ports", ports);
  value_set(top, "weight", weight);
  value_set(top, "status", status);
  if (json_map_new(top, &map, NULL) != 0)
    abort();
  value_unref(top);
  return map;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *body = malloc(size + JSON_PADDING);
  struct instances list = {0};
  struct json_left_out left_out;
  struct json_answer wanted = {.length = size, .map = the_map(), .service = "web"};
  if (!body)
    return 0;
  memcpy(body, data, size);
  memset(body + size, '"', JSON_PADDING);
  wanted.bytes = body;
  wanted.lenient = size % 2;
  int rc = json_instances(&wanted, &list, &left_out, NULL);
  for (size_t i = 0; rc == 0 && i < list.count; i++)
    if (!list.items[i]->fit || (i > 0 && strcmp(list.items[i - 1]->id, list.items[i]->id) >= 0))
      abort();
  instances_free(&list);
  free(body);
  return 0;
}
