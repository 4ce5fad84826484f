/* places: on which line of a Lua file each part of the table that it returns was written.
 *
 * A Lua value does not remember where it was made, so the file's tokens are read a second time, as
 * text: table constructors, `local t = { ... }`, `t.key = ...` and `return`. What is computed (in a
 * loop, by a function) has no place of its own and takes the one of what holds it. A wrong guess
 * costs a wrong line in a message, nothing else. No Lua state, no globals; reads any bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct places;
struct place_node;
struct value;

/* A cursor that goes down the returned table as its reader does. Valid while `places` is. */
struct place_cursor {
  const struct places *places;
  struct place_node *node; /* NULL: nothing is known below here */
  int line;                /* 1-based; that of what holds it where its own is unknown */
  bool literal; /* the way here is nothing but tables written in the `return`: no guess */
};

/* NULL: no memory. `source` is not kept. */
struct places *places_read(const char *source, size_t length);
void places_free(struct places *p);

struct place_cursor
places_root(const struct places *p); /* the file's last return; line 1 without one */
struct place_cursor place_field(struct place_cursor at, const char *key);
struct place_cursor place_item(struct place_cursor at, size_t i); /* 1-based, as Lua counts */
/* The first field that is written here and that `table` is without: what it was given was nil.
 * NULL: none, or that is not certain. */
const char *place_without_value(struct place_cursor at, const struct value *table);
