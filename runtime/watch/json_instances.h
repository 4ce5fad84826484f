/* json_instances: a registry's whole answer → instances, by a json_map, without anything between
 * them but one instance's fields. Control thread only. */
#pragma once

#include "watch/instances.h"

#include "base/fault.h"

struct json_map;

enum { JSON_INSTANCES_MOST = 1000000 };

struct json_answer {
  const char *bytes; /* JSON_PADDING more can be read behind them */
  size_t length;
  const struct json_map *map;
  const char *service;
  bool lenient; /* what is no instance is left out, and counted */
};

struct json_left_out {
  size_t count;
  struct fault first; /* why */
};

/* Adds them to `out`, sorted by id, each id once: where several have the same, what the map says
 * about `within` goes before it, "NODE/ID". 0, or as json_walk says, or -EINVAL: something is no
 * instance, or there is no list where one should be. Then `out` has to be cleared. */
int json_instances(const struct json_answer *answer, struct instances *out,
                   struct json_left_out *left_out, struct fault *f);
