/* field: reads typed fields of a JSON object as Consul's decoder does: keys without regard to
 * case and underscores, null as if it were absent; and says which field is wrong, and how. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct fault;

/* One object, and where it is: "Checks[1]." (with the dot), or "". */
struct field_place {
  json_t *object;
  const char *path;
  struct fault *f; /* filled by the first thing that is wrong */
};

/* The text as a tree at most 32 deep, or NULL and the fault with line and column. */
json_t *json_read(const char *json, size_t length, struct fault *f);

/* All take the name as Consul writes it ("ServiceID"), for the match and for messages. They leave
 * `*out` alone when the field is absent or null, and return false when it is of another type. The
 * strings are the tree's. */
json_t *field_find(const struct field_place *at, const char *name); /* NULL: absent or null */
bool field_text(const struct field_place *at, const char *name, const char **out);
bool field_flag(const struct field_place *at, const char *name, bool *out);
bool field_whole(const struct field_place *at, const char *name, int64_t low, int64_t high,
                 int64_t *out);
/* A duration: Go's text form ("10s"), or a number of nanoseconds; never negative. */
bool field_duration(const struct field_place *at, const char *name, int64_t *ns);
/* An object or a list of at most `most` items. */
bool field_object(const struct field_place *at, const char *name, json_t **out);
bool field_list(const struct field_place *at, const char *name, size_t most, json_t **out);
/* Says that `what` (after the place's path) is not `expected`. Returns false. */
bool field_mismatch(const struct field_place *at, const char *what, const char *expected,
                    const json_t *found);
