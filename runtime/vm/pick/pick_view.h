/* pick_view: the `view` that a pick gets: a group of the snapshot's rows with their live load, read
 * by compiled code through lua/perigee/view.lua. One a picker. */
#pragma once

#include "select/select.h"
#include "vm/pick/pick_page.h"

#include <lua.h>

struct pick_asked {
  const struct select_state *state;
  const struct catalog_view *view;
  uint32_t first, count; /* the rows to choose from: count > 0 */
  uint64_t bits;         /* of the key, or random */
  const char *key;       /* NULL: none */
  size_t key_length;
};

struct pick_view {
  struct pick_page page; /* first: what the compiled code is given */
  const struct select_state *state;
  const struct catalog_view *view;
  uint64_t now_ns; /* 0: not looked at yet */
  uint32_t first;
};

/* Pushes a function that takes a `pick` and its options and returns the function to be called for
 * each pick. `v` must stay where it is for as long as the state. Raises. */
void pick_view_open(lua_State *L, struct pick_view *v);
void pick_view_begin(struct pick_view *v, const struct pick_asked *asked);
void pick_view_end(struct pick_view *v); /* there is nothing to see between two picks */
