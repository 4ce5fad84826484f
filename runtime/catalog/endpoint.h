/* endpoint: what of an instance the catalog shows, as handed to the writer. Plain data. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct catalog_pair {
  const char *key, *value;
};
struct catalog_port {
  const char *name;
  uint16_t port;
};

/* One endpoint as handed to the writer; everything is copied. */
struct catalog_endpoint {
  const char *id, *address, *zone;
  const char *const *tags;
  const struct catalog_pair *meta;
  const struct catalog_port *ports;
  uint32_t slot, slot_generation;
  uint16_t port, tag_count, meta_count, port_count;
  uint16_t tier;
  uint8_t status;   /* 0 passing, 1 warning, 2 critical */
  bool ejected;     /* an outlier: not picked while another healthy one is left */
  double weight;    /* >= 0, finite; 0 is never picked */
  uint64_t born_ns; /* when it came or became healthy, for slow start; 0 = long ago */
};
