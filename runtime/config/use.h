/* use: a plugin as the configuration names one where it may be used many times: "NAME",
 * { "NAME", OPTION = ... }, or { "NAME", VALUE } with its main option's value, beside which options
 * may be named as well. */
#pragma once

#include <stddef.h>

struct fault;
struct value;

/* Of one use, or of a list of them: { "A", "B" } is a list, { { "A", "B" } } one with a value. */
size_t uses_count(const struct value *written);
const struct value *uses_at(const struct value *written, size_t i);

const char *use_name(const struct value *use); /* NULL: it is none */
/* What it is given besides its name, the caller's; NULL: nothing. 0 or -ENOMEM. */
int use_options(const struct value *use, struct value **out);

/* Whether all are uses: 0, or -EINVAL and `f` says what was expected of a `what`. */
int uses_check(const struct value *written, const char *what, struct fault *f);
