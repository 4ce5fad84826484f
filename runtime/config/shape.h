/* shape: what a configuration's table may hold, declared in the short forms of base/schema.h.
 */
#pragma once

struct schema;
struct value;

struct shape {
  struct schema *file;     /* the whole table */
  struct schema *settings; /* what is said of any check, beside its own options */
  struct schema *ttl;      /* the options of a ttl check, which the host carries out itself */
};

int shape_new(struct shape *out); /* 0 or -ENOMEM */
void shape_clear(struct shape *s);

/* Each option of a configuration, for people: its path ("services.NAME.port") and its form, which
 * has `about`. What help and the man page print is what is checked. */
typedef void (*shape_explain_fn)(void *arg, const char *path, const struct value *form);
void shape_explain(shape_explain_fn each, void *arg);
