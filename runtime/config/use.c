#include "config/use.h"

#include "base/fault.h"
#include "base/value.h"

#include <errno.h>

/* { "a" } and { "a", option = ... } are one use; { "a", "b" } and { { "a" } } are lists. */
static bool is_list(const struct value *written) {
  return value_kind(written) == VALUE_TABLE && value_fields(written) == 0 &&
         (value_length(written) != 1 || value_kind(value_at(written, 0)) == VALUE_TABLE);
}

size_t uses_count(const struct value *written) {
  return is_list(written) ? value_length(written) : 1;
}

const struct value *uses_at(const struct value *written, size_t i) {
  return is_list(written) ? value_at(written, i) : written;
}

const char *use_name(const struct value *use) {
  size_t length = value_length(use);
  if (value_kind(use) == VALUE_TABLE && length != 1 && length != 2)
    return NULL;
  return value_as_text(value_kind(use) == VALUE_TABLE ? value_at(use, 0) : use, NULL);
}

int use_options(const struct value *use, struct value **out) {
  *out = NULL;
  if (value_fields(use) == 0) {
    *out = value_length(use) == 2 ? value_ref(value_at(use, 1)) : NULL;
    return 0;
  }
  struct value *options = value_table();
  int r = options ? 0 : -ENOMEM;
  if (r == 0 && value_length(use) == 2)
    r = value_append(options, value_ref(value_at(use, 1)));
  for (size_t i = 0; r == 0 && i < value_fields(use); i++) {
    const char *key;
    const struct value *v = value_field(use, i, &key);
    r = value_set(options, key, value_ref(v));
  }
  if (r != 0) {
    value_unref(options);
    return r;
  }
  value_place(options, value_file(use), value_line(use));
  *out = options;
  return 0;
}

int uses_check(const struct value *written, const char *what, struct fault *f) {
  bool right = uses_count(written) > 0;
  for (size_t i = 0; right && i < uses_count(written); i++)
    right = use_name(uses_at(written, i)) != NULL;
  return right ? 0
               : fault_set(f, -EINVAL,
                           "expected the name of a %s, or { NAME, OPTION = ... }, or a list of "
                           "these",
                           what);
}
