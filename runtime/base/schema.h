/* schema: what a table of options may hold, and the one check for all of them: the configuration,
 * and each plugin's `options`. Immutable once made; any thread may check with it.
 *
 * A declaration is a table of named options, each in one of these forms:
 *
 *     "string"                                  no default = required
 *     { "number", 0.5, min = 0, max = 1 }       type, default, bounds (inclusive)
 *     { "integer", 8, min = 1 }                 a number without a fraction
 *     "boolean"
 *     { "duration", "2s", min = "100ms" }       Go's text → a number of seconds
 *     { "size", "16MiB" }                       text or bytes → a number of bytes
 *     "address"                                 "127.0.0.1:80", "[::1]:80", ":80"
 *     "server"                                  "h1", "h1:2379", "https://h1:2379"
 *     "certificate", "key"                      a file of PEM → its path from the root
 *     { "key", of = "cert" }                    neither without the other, which may be in one file
 *     "secret"                                  text, { file = "..." } or { env = "..." } → text
 *     { "choice", "GET", of = { "GET", "PUT" } }
 *     { "list", of = FORM, single = true }      `single`: a lone value stands for a list of one
 *     { "map", of = FORM }                      free keys
 *     { host = "string", port = "integer" }     a nested table; as { "table", of = { ... } } too
 *     "any"                                     kept as it is
 *
 * In every form with braces: `optional = true` (may be absent, and then is), `main = true` (a plain
 * value in place of the whole table is this option's), `off = true` (false is accepted, and kept),
 * `about = "..."` (for people). For text and lists `min` and `max` bound the length. A nested table
 * that is absent is checked as an empty one, so that its defaults appear. Unknown keys are refused,
 * with the nearest known one suggested. */
#pragma once

#include "base/findings.h"
#include "base/text.h"

#include <stddef.h>

struct value;
struct fault;
struct schema; /* one owner */

/* From a declaration as above, whoever built it: a plugin's `options` as read from its Lua state,
 * or config's own, which is Lua text as well. NULL or an empty table: no option is known. -EINVAL:
 * the fault names the option, with file and line if the declaration has places. */
int schema_new(const struct value *declaration, struct schema **out, struct fault *f);
void schema_free(struct schema *s);

/* `words`, ended by NULL, may be written among the options, and are taken out by who reads them
 * before these are checked: they are suggested as options are. They outlive the schema. */
void schema_beside(struct schema *s, const char *const *words);

/* Checks `options` whole, adds every finding with `path` before the option's own ("" = none), and
 * returns in `*out` a new value with defaults filled in (NULL when there were findings). NULL
 * options, and `true`, are an empty table; what else is no table is the main option: the one marked
 * so, or else the only one that is required. It may also come first in a table, before the others'
 * names: { "/healthz", method = "HEAD" }. Returns the number of findings, at least 1 when memory
 * ran out. */
size_t schema_check(const struct schema *s, const struct value *options, const char *path,
                    struct findings *all, struct value **out);

/* The same, but what passed is in `*out` even when there were findings, without what did not: for a
 * caller that has more to check, so that everything is told at once. */
size_t schema_check_partly(const struct schema *s, const struct value *options, const char *path,
                           struct findings *all, struct value **out);

/* What the option is where nothing is said of it, as declared; NULL: nothing, or there is no such
 * option. Until the schema's end. */
const struct value *schema_default(const struct schema *s, const char *option);

/* The value that `text` stands for where an option can only be written as text: a boolean's is
 * true, false, 1 or 0, and "" is true; a number's is its digits; a list's has commas. What it
 * cannot stand for stays text, for schema_check to refuse. The caller's; NULL: out of memory. */
struct value *schema_value_of_text(const struct schema *s, const char *option, const char *text);

/* The file that a secret is written as, { file = "..." }: in `path`, a relative name beside the
 * file that says so; the name alone where that is too long. NULL: it is not written as one. */
const char *secret_file(const struct value *v, char *path, size_t size);
