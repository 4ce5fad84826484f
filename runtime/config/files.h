/* files: the configuration file and those that it includes → one table, and the hash of all that
 * was read. Internal to config/. */
#pragma once

#include <stdbool.h>

struct findings;
struct value;

/* The merged table, not checked yet, in `hash` the sha256 (hex, 65 bytes), and appended to the list
 * `read` each file that was read and each pattern of `include`. NULL with findings. `file` NULL: an
 * empty table.
 *
 * An included file returns a table of the same shape with `services`, `watches`, `registries` and
 * `plugins`, whose entries are added; a name in two files is a finding that names both places. A
 * pattern that matches nothing is fine, a plain name that is not there is not. Patterns are
 * relative to the file, and match in the order of the names. */
/* `text`: what is read in the place of the file itself; NULL: nothing is. */
struct value *files_read(const char *file, const char *text, char *hash, struct value *read,
                         struct findings *findings);
