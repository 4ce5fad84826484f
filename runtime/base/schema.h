/* schema: what a table of options may hold, and the one check for all of them: the configuration,
 * and each plugin's `options`. Short forms as DESIGN.md has them: `name = "string"`,
 * `{ "number", 0.5, min = 0, max = 1 }`, `"secret"`, `"duration"`, lists, nested tables; no default
 * = required. */
#pragma once

#include <stddef.h>

struct value;
struct buf;
struct schema; /* immutable once made; one owner */

/* From a value in the short forms (what a plugin's `options` is, or a literal in C made with
 * schema_parse of Lua text is not needed: config/ builds its own with value_*). */
struct fault;
int schema_new(const struct value *declaration, struct schema **out, struct fault *f);
void schema_free(struct schema *s);

/* One finding. `path` is like `services.web.check.interval`. */
struct finding {
  char *path, *file;
  int line;
  char *text; /* what was found, what was expected, and "did you mean ...?" */
};
struct findings {
  struct finding *items;
  size_t count;
};
void findings_add(struct findings *all, const struct value *where, const char *path,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
void findings_free(struct findings *all);
/* One line each: `FILE:LINE: PATH: TEXT`. */
void findings_print(const struct findings *all, struct buf *out);

/* Checks `options` whole, adds every finding, and returns in `*out` a new value with defaults filled
 * in and durations as numbers of seconds (NULL when there were findings). Returns the number of
 * findings added. */
size_t schema_check(const struct schema *s, const struct value *options, const char *path,
                    struct findings *all, struct value **out);

/* The known word nearest to `word` by edit distance, or NULL when none is near. */
const char *nearest_word(const char *word, const char *const *known, size_t count);
