/* endpoints_inside: what the files of a plan's endpoints share: bind_endpoints.c (all of them, and
 * a run), bind_endpoint.c (one), bind_share.c (dividing picks). Not for others. */
#pragma once

#include "vm/plan/bind_endpoints.h"
#include "vm/isolate/inside.h"

/* The isolate's: what is being planned just now. */
struct now {
  const struct plan_run *run; /* NULL: nothing is */
  uint64_t epoch;             /* of the run's roster */
  uint64_t epochs;            /* given out */
  unsigned changes;           /* what the plugin says it sets */
};

/* An attachment's: the instances of the last run, and in its environment what Lua has of them, in
 * [1] the cursors, in [2] the tags, in [3] the metadata. */
struct roster {
  uint64_t epoch;
  size_t count;
  struct instance **instances; /* references */
};

struct cursor {
  uint64_t epoch;
  uint32_t row;
};

enum { CURSORS = 1, TAGS, META };

/* Upvalues of every function here: the isolate's `now`, the metatable of cursors, the fields. */
enum { STATE = 1, CURSOR_TYPE, FIELDS };

static inline struct now *now_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(STATE));
}

static inline const struct set_row *facts_of(lua_State *L, uint32_t row) {
  return &now_of(L)->run->question->rows[row];
}

static inline struct plan_live live_of(lua_State *L, uint32_t row) {
  const struct plan_question *q = now_of(L)->run->question;
  return q->live ? q->live(q->live_arg, &q->rows[row]) : (struct plan_live){0};
}

static inline bool shown(const struct plan_run *run, size_t row) {
  return !run->hidden || !run->hidden[row];
}

/* bind_endpoints.c: the roster at index 1, or raises. */
struct roster *roster_check(lua_State *L);

/* bind_endpoint.c. The value at index 1 is the roster, or one of its cursors. */
void push_cursor(lua_State *L, const struct roster *r, uint32_t row);
/* Raises: it is used when no plan is run on it. */
_Noreturn void raise_over(lua_State *L, const char *what);
/* The endpoint at `index`, or raises. */
struct plan_row *row_check(lua_State *L, int index, uint32_t *row);
/* Raises where the plugin does not say that it sets this. */
void may_set(lua_State *L, unsigned change, const char *name);
/* Pushes what endpoints have by name: numbers of fields. */
void push_fields(lua_State *L);
int cursor_index(lua_State *L);
int cursor_newindex(lua_State *L);
int cursor_has(lua_State *L);

/* bind_share.c */
int roster_share(lua_State *L);
