/* shape: what a configuration's table may hold, declared in the short forms of base/schema.h.
 * Internal to config/. */
#pragma once

struct schema;

struct shape {
  struct schema *file;     /* the whole table */
  struct schema *settings; /* what is said of any check, beside its own options */
  struct schema *ttl;      /* the options of a ttl check, which the host carries out itself */
};

int shape_new(struct shape *out); /* 0 or -ENOMEM */
void shape_clear(struct shape *s);
