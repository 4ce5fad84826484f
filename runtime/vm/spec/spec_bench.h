/* spec_bench: what one test of a plugin works with, outside of Lua: the plugin, its uses, and a
 * catalog in a directory of its own, which its picks read. The owner is spec.c; bind_spec.c is what
 * the test reaches it by. */
#pragma once

#include "vm/plugin/plugin.h"

#include <lua.h>

struct catalog_writer;
struct sets;
struct set_binding;

enum { BENCH_USES_MAX = 100, BENCH_SETS_MAX = 100 };

struct spec_bench {
  struct vm *vm;
  struct plugin *plugin;
  struct attachment *uses[BENCH_USES_MAX];
  size_t use_count;
  char *directory; /* of the catalog; all three are made when first asked for */
  struct catalog_writer *catalog;
  struct sets *sets;
  struct set_binding *bindings[BENCH_SETS_MAX];
  size_t set_count;
};

/* The sets, published in the test's catalog by sets_flush. NULL and `f` where that cannot be. */
struct sets *bench_sets(struct spec_bench *b, struct fault *f);
/* Ends and forgets all of it but the vm. */
void bench_clear(struct spec_bench *b);

/* The use of that number, as the argument at `index` gives it; raises where there is none. */
struct attachment *bench_use(lua_State *L, int index);
void open_spec(lua_State *L, int host); /* bind_spec.c: adds to the host's table at this index */
int spec_plan(lua_State *L);            /* bind_spec_plan.c */
