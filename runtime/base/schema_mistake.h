/* schema_mistake: what is wrong with a value, and where, in words. Internal to base/. */
#pragma once

#include "base/schema_rule.h"

/* Where in the tree a check is: a chain on the C stack, written out only for a finding. */
struct spot {
  const struct spot *up; /* NULL at the root, whose name is the caller's path */
  const char *name;      /* NULL: an item of a list */
  size_t index;          /* 1-based, as Lua counts */
};

struct checking {
  struct findings *all;
  int failed; /* out of memory */
};

/* A finding at `where`, whose place in the tree is `at`. */
void mistake(struct checking *c, const struct value *where, const struct spot *at,
             const char *format, ...) __attribute__((format(printf, 4, 5)));
/* It is not what the rule expects; `found` NULL: nothing is there. */
void mismatch(struct checking *c, const struct rule *r, const struct value *where,
              const struct value *found, const struct spot *at);
