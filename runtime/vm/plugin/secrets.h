/* secrets: the files that options say their secrets are in, as they were when they were read. What
 * is looked at is a file's time, size and number, not its text. Control thread only. */
#pragma once

#include <stdbool.h>

struct value;
struct secrets;

/* Those that `options`, as written, name. To be called before they are read: what changes in
 * between has changed. `*out` is NULL where there are none. 0 or -ENOMEM. */
int secrets_note(const struct value *options, struct secrets **out);
bool secrets_changed(const struct secrets *s); /* NULL: never */
void secrets_free(struct secrets *s);
