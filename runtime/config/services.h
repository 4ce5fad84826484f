/* services: the checked `services` and `watches` tables → registrations and watches. Internal to
 * config/. */
#pragma once

#include "config/config.h"
#include "config/shape.h"

/* Both add to `c`, or add findings. `services` is the section as the schema gave it. */
void services_read(struct config *c, const struct shape *shape, const struct value *services,
                   struct findings *findings);
void watches_read(struct config *c, const struct value *watches, struct findings *findings);

/* Whether there is a finding about `path` or what is below it: then what is missing there was
 * written, but wrong. */
bool is_flawed(const struct findings *findings, const char *path);

/* One check as configured → `out`, whose strings are malloc'd; check_definition_clear frees them.
 * `number` is its place among the instance's checks, 0 when it is the only one. 0, or findings were
 * added. */
int check_read(const struct shape *shape, const struct value *declared, const char *path,
               const char *service, const char *instance_id, unsigned number,
               struct check_definition *out, struct findings *findings);
