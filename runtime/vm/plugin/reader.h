/* reader: a Lua table → a value with places, of a configuration and of a plugin's options. */
#pragma once

#include "base/places.h"

#include <lua.h>

struct findings;
struct value;

struct reader {
  const char *file;
  struct findings *findings;
  size_t count; /* values so far; the tree of a table that is shared many times may be huge */
};

/* Reads what is at the top of the stack, a table, into `into`, which the caller owns: it may raise
 * a Lua error for memory half way. What is no data (functions, NaN, holes, tables inside
 * themselves) is a finding. */
void reader_table(struct reader *r, lua_State *L, struct value *into, struct place_cursor at);
