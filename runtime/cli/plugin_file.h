/* plugin_file: from a path to a plugin's kind and name. */
#pragma once

#include <stdbool.h>

struct fault;

struct plugin_file { /* texts are its own */
  char *path, *kind, *name;
  bool ships; /* it is one of perigee's own, in `library` */
};

extern const char *const plugin_kinds[]; /* ends with NULL */

/* The plugin that NAME_spec.lua is about: NAME.lua beside it. Its kind is what its source says, or
 * else its directory's name. 0, -ENOENT, -EINVAL, -ENOMEM. To be freed in any case. */
int plugin_file_of_spec(const char *spec, const char *library, struct plugin_file *out,
                        struct fault *f);
void plugin_file_free(struct plugin_file *p);
