/* spec_bench: what one test of a plugin works with, outside of Lua: the plugin, its uses, the sets
 * that it fills. The owner is spec.c; bind_spec.c is what the test reaches it by. */
#pragma once

#include "vm/plugin.h"

struct sets;
struct set_binding;

enum { BENCH_USES_MAX = 100, BENCH_SETS_MAX = 100 };

struct spec_bench {
  struct plugin *plugin;
  struct attachment *uses[BENCH_USES_MAX];
  size_t use_count;
  struct sets *sets; /* in no catalog; made when first asked for */
  struct set_binding *bindings[BENCH_SETS_MAX];
  size_t set_count;
};
