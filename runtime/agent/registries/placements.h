/* placements: where each instance of the configuration is registered. Control thread only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct config;
struct fault;
struct value;

/* Where an instance of the configuration is registered. */
struct placement {
  char *service, *id;
  struct value *registries; /* a list of names: a reference */
};

/* By id. */
struct placements {
  struct placement *items;
  size_t count;
};

/* Of `config`, whose texts are copied. 0 or -ENOMEM. */
int placements_of(const struct config *config, struct placements *out, struct fault *f);
void placements_free(struct placements *all);

const struct placement *placement_find(const struct placements *all, const char *id);
bool placement_names(const struct placement *p, const char *registry); /* `p` NULL: no */
bool placements_name(const struct placements *all, const char *registry);
