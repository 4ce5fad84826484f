#include "vm/plugin/reader.h"

#include "base/buf.h"
#include "base/findings.h"
#include "base/value.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 100, VALUES_MAX = 2000000 };

/* The way down to a table, on the C stack. */
struct level {
  const struct level *up;
  const void *table; /* lua_topointer, to find a table inside itself */
  const char *key;   /* NULL: an item of a list */
  size_t index;
  int depth;
};

static void write_path(const struct level *at, struct buf *out) {
  if (!at->up)
    return;
  write_path(at->up, out);
  if (at->key)
    buf_format(out, "%s%.100s", out->length ? "." : "", at->key);
  else
    buf_format(out, "[%zu]", at->index);
}

static void find(struct reader *r, const struct level *at, int line, const char *text) {
  struct buf path = {0};
  struct value *where = value_nil();
  value_place(where, r->file, line);
  write_path(at, &path);
  findings_add(r->findings, where, path.data, "%s", text);
  value_unref(where);
  buf_free(&path);
}

static void read_table(struct reader *r, lua_State *L, struct value *into, struct place_cursor at,
                       const struct level *here);

/* Whether the table at the top may be read: not inside itself, not too deep. */
static bool may_enter(struct reader *r, lua_State *L, const struct level *here, int line) {
  const void *table = lua_topointer(L, -1);
  for (const struct level *l = here->up; l; l = l->up)
    if (l->table == table) {
      find(r, here, line, "the table is inside itself");
      return false;
    }
  if (here->depth > DEPTH_MAX) {
    find(r, here, line, "more than 100 tables inside each other");
    return false;
  }
  return true;
}

/* The value at the top, as a child of `into`. It is attached before it is filled, so that nothing
 * is lost when Lua raises. */
static void read_item(struct reader *r, lua_State *L, struct value *into, struct place_cursor at,
                      struct level *here) {
  struct value *v = NULL;
  size_t length;
  const char *text;
  char what[40];
  if (r->count++ == VALUES_MAX)
    find(r, here, at.line, "more than two million values");
  if (r->count > VALUES_MAX)
    return;
  switch (lua_type(L, -1)) {
  case LUA_TBOOLEAN:
    v = value_boolean(lua_toboolean(L, -1));
    break;
  case LUA_TNUMBER:
    if (isnan(lua_tonumber(L, -1))) {
      find(r, here, at.line, "not a number, as 0/0 is");
      return;
    }
    v = value_number(lua_tonumber(L, -1));
    break;
  case LUA_TSTRING:
    text = lua_tolstring(L, -1, &length);
    v = value_text(text, length);
    break;
  case LUA_TTABLE:
    if (!may_enter(r, L, here, at.line))
      return;
    v = value_table();
    break;
  case LUA_TFUNCTION:
    find(r, here, at.line, "a function: expected data; call it, or leave it out");
    return;
  default:
    snprintf(what, sizeof what, "a %s: expected data", luaL_typename(L, -1));
    find(r, here, at.line, what);
    return;
  }
  value_place(v, r->file, at.line);
  if (here->key ? value_set(into, here->key, v) : value_append(into, v))
    luaL_error(L, "not enough memory");
  if (value_kind(v) == VALUE_TABLE)
    read_table(r, L, v, at, here);
}

/* Whether the key under the top is a field's name; what is neither that nor of the list is told. */
static bool is_name(struct reader *r, lua_State *L, const struct level *here, int line,
                    size_t list_length) {
  if (lua_type(L, -2) == LUA_TNUMBER) {
    double n = lua_tonumber(L, -2);
    char text[100];
    if (n >= 1 && n <= (double)list_length && floor(n) == n)
      return false; /* read with the list */
    snprintf(text, sizeof text, "the index %.14g: a list counts from 1 and has no holes", n);
    find(r, here, line, text);
    return false;
  }
  size_t length;
  const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &length) : NULL;
  if (name && strlen(name) == length)
    return true;
  find(r, here, line,
       name ? "a name with a NUL byte in it" : "a key that is neither a name nor a number");
  return false;
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Lua's order changes from run to run: fields are read by name. The table keeps the names alive,
 * and Lua the list of them, which is left on the stack. */
static const char **sorted_names(struct reader *r, lua_State *L, const struct level *here, int line,
                                 size_t list_length, size_t *count) {
  size_t room = 0;
  lua_pushnil(L);
  for (; lua_next(L, -2); lua_pop(L, 1))
    room++;
  const char **names = lua_newuserdata(L, (room + 1) * sizeof *names);
  *count = 0;
  lua_pushnil(L);
  for (; lua_next(L, -3); lua_pop(L, 1))
    if (is_name(r, L, here, line, list_length))
      names[(*count)++] = lua_tostring(L, -2);
  qsort(names, *count, sizeof *names, compare_names);
  return names;
}

static void read_table(struct reader *r, lua_State *L, struct value *into, struct place_cursor at,
                       const struct level *way) {
  struct level here = *way;
  here.table = lua_topointer(L, -1);
  luaL_checkstack(L, 6, "too deep");
  size_t length = lua_objlen(L, -1), count;
  for (size_t i = 1; i <= length; i++) {
    struct level next = {.up = &here, .index = i, .depth = here.depth + 1};
    lua_rawgeti(L, -1, (int)i);
    if (lua_isnil(L, -1))
      find(r, &next, at.line, "a hole in the list");
    else
      read_item(r, L, into, place_item(at, i), &next);
    lua_pop(L, 1);
  }
  const char **names = sorted_names(r, L, &here, at.line, length, &count);
  for (size_t i = 0; i < count; i++) {
    struct level next = {.up = &here, .key = names[i], .depth = here.depth + 1};
    lua_pushstring(L, names[i]);
    lua_rawget(L, -3);
    read_item(r, L, into, place_field(at, names[i]), &next);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

void reader_table(struct reader *r, lua_State *L, struct value *into, struct place_cursor at) {
  struct level root = {.depth = 1};
  value_place(into, r->file, at.line);
  read_table(r, L, into, at, &root);
}
