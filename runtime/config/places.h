/* places: on which line of a Lua file each part of the table that it returns was written.
 *
 * A Lua value does not remember where it was made, so the file's tokens are read a second time, as
 * text: table constructors, `local t = { ... }`, `t.key = ...` and `return`. What is computed (in a
 * loop, by a function) has no place of its own and takes the one of what holds it. A wrong guess
 * costs a wrong line in a message, nothing else. No Lua state, no globals; reads any bytes. */
#pragma once

#include <stddef.h>

struct places;
struct place_node;

/* A cursor that goes down the returned table as its reader does. Valid while `places` is. */
struct place {
  const struct places *places;
  const struct place_node *node; /* NULL: nothing is known below here */
  int line;                      /* 1-based; that of what holds it where its own is unknown */
};

/* NULL: no memory. `source` is not kept. */
struct places *places_read(const char *source, size_t length);
void places_free(struct places *p);

struct place places_root(const struct places *p); /* the file's last return; line 1 without one */
struct place place_field(struct place at, const char *key);
struct place place_item(struct place at, size_t i); /* 1-based, as Lua counts */
