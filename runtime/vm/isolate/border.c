#include "vm/isolate/border.h"
#include "base/value.h"
#include "vm/isolate/inside.h"
#include "watch/instance.h"
#include "watch/set.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>

/* How many values cross at once: a table that holds another twice, and so on 30 times over, is
 * small for the plugin and a billion values for the host. */
enum { DEPTH_MAX = 100, VALUES_MAX = 1000 * 1000 };
enum { LIST_TYPE = 3 }; /* where the metatable of perigee.json.array is while a value is read */

struct reading {
  struct value *value;
  int code;
  struct fault *fault;
  size_t count, bytes, bytes_most;
  bool named; /* the fault says where */
};

void push_value(lua_State *L, const struct value *v) {
  luaL_checkstack(L, 4, "value");
  switch (value_kind(v)) {
  case VALUE_NIL:
    lua_pushnil(L);
    break;
  case VALUE_BOOLEAN:
    lua_pushboolean(L, value_as_boolean(v, false));
    break;
  case VALUE_NUMBER:
    lua_pushnumber(L, value_as_number(v, 0));
    break;
  case VALUE_TEXT:
    lua_pushlstring(L, value_as_text(v, ""), value_text_length(v));
    break;
  case VALUE_TABLE:
    lua_createtable(L, (int)value_length(v), (int)value_fields(v));
    for (size_t i = 0; i < value_length(v); i++) {
      push_value(L, value_at(v, i));
      lua_rawseti(L, -2, (int)i + 1);
    }
    for (size_t i = 0; i < value_fields(v); i++) {
      const char *key;
      push_value(L, value_field(v, i, &key));
      lua_setfield(L, -2, key);
    }
  }
}

static struct value *read_one(lua_State *L, int index, int depth, struct reading *r);

static struct value *refuse(struct reading *r, const char *what) {
  if (r->code == 0)
    r->code = fault_set(r->fault, -EINVAL, "%s cannot be handed over", what);
  return NULL;
}

/* What is refused is in a field: a.b.c. */
static void name_refused(struct reading *r, const char *key) {
  struct fault was;
  if (r->code != -EINVAL || !r->fault)
    return;
  was = *r->fault;
  fault_set(r->fault, -EINVAL, "%.100s%s%.300s", key, r->named ? "." : ": ", was.text);
  r->named = true;
}

static struct value *read_table(lua_State *L, int index, int depth, struct reading *r) {
  int count = (int)lua_objlen(L, index), top = lua_gettop(L);
  struct value *table = value_table();
  if (table && lua_getmetatable(L, index)) {
    if (lua_rawequal(L, -1, LIST_TYPE))
      value_be_list(table);
    lua_pop(L, 1);
  }
  if (depth >= DEPTH_MAX)
    refuse(r, "a table nested more than 100 deep");
  for (int i = 1; i <= count && r->code == 0; i++) {
    lua_rawgeti(L, index, i);
    if (value_append(table, read_one(L, lua_gettop(L), depth + 1, r)) != 0 && r->code == 0)
      r->code = fault_set(r->fault, -ENOMEM, "out of memory");
    lua_pop(L, 1);
  }
  lua_pushnil(L);
  while (r->code == 0 && lua_next(L, index)) {
    int key = lua_gettop(L) - 1; /* above it, what was refused leaves keys of its own */
    double n = lua_type(L, key) == LUA_TNUMBER ? lua_tonumber(L, key) : 0;
    if (lua_type(L, key) == LUA_TSTRING) {
      struct value *v = read_one(L, key + 1, depth + 1, r);
      if (value_set(table, lua_tostring(L, key), v) != 0 && r->code == 0)
        r->code = fault_set(r->fault, -ENOMEM, "out of memory");
      name_refused(r, lua_tostring(L, key));
    } else if (n < 1 || n > count || n != floor(n)) {
      refuse(r, "a table with a key that is neither a name nor in its list");
    }
    lua_settop(L, key);
  }
  lua_settop(L, top); /* what is refused leaves the key that it was at */
  if (r->code == 0)
    return table;
  value_unref(table);
  return NULL;
}

static struct value *read_one(lua_State *L, int index, int depth, struct reading *r) {
  size_t length;
  const char *text;
  if (++r->count > VALUES_MAX)
    return refuse(r, "more than a million values");
  if (turn_is_over())
    return refuse(r, "what takes longer than the turn");
  switch (lua_type(L, index)) {
  case LUA_TNIL:
    return value_nil();
  case LUA_TBOOLEAN:
    return value_boolean(lua_toboolean(L, index));
  case LUA_TNUMBER:
    return value_number(lua_tonumber(L, index));
  case LUA_TSTRING:
    text = lua_tolstring(L, index, &length);
    if ((r->bytes += length) > r->bytes_most)
      return refuse(r, "more text than the plugin's memory limit");
    return value_text(text, length);
  case LUA_TTABLE:
    return read_table(L, index, depth, r);
  case LUA_TLIGHTUSERDATA:
    if (!lua_touserdata(L, index))
      return value_nil(); /* perigee.json.null */
    return refuse(r, "a userdata");
  default:
    return refuse(r, luaL_typename(L, index));
  }
}

/* After the first lines nothing here raises: raw accesses only, on a stack that has the room. */
int border_read(lua_State *L) {
  luaL_checkstack(L, DEPTH_MAX * 3 + 10, "value");
  struct reading *r = lua_touserdata(L, 2);
  luaL_getmetatable(L, "json array"); /* at LIST_TYPE */
  r->value = read_one(L, 1, 0, r);
  if (!r->value && r->code == 0)
    r->code = fault_set(r->fault, -ENOMEM, "out of memory");
  return 0;
}

int read_value(lua_State *L, int index, struct value **out, struct fault *f) {
  struct reading r = {.fault = f, .bytes_most = isolate_of(L)->limits.memory_hard};
  if (index < 0)
    index = lua_gettop(L) + index + 1;
  lua_rawgeti(L, LUA_REGISTRYINDEX, isolate_of(L)->ref_read);
  lua_pushvalue(L, index);
  lua_pushlightuserdata(L, &r);
  if (lua_pcall(L, 2, 0, 0) != 0) {
    lua_pop(L, 1);
    return fault_set(f, -ENOMEM, "out of memory");
  }
  *out = r.value;
  return r.code;
}

static void set_text(lua_State *L, const char *name, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}

void push_instance(lua_State *L, const struct instance *in) {
  luaL_checkstack(L, 5, "instance");
  lua_createtable(L, 0, 9);
  set_text(L, "id", in->id);
  set_text(L, "service", in->service);
  set_text(L, "address", in->address);
  set_text(L, "zone", in->zone);
  lua_pushnumber(L, in->weight);
  lua_setfield(L, -2, "weight");
  if (in->port) {
    lua_pushinteger(L, in->port);
    lua_setfield(L, -2, "port");
  }
  lua_createtable(L, 0, in->port_count);
  for (unsigned i = 0; i < in->port_count; i++) {
    lua_pushinteger(L, in->ports[i].port);
    lua_setfield(L, -2, in->ports[i].name);
  }
  lua_setfield(L, -2, "ports");
  lua_createtable(L, in->tag_count, 0);
  for (int i = 0; i < in->tag_count; i++) {
    lua_pushstring(L, in->tags[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "tags");
  lua_createtable(L, 0, in->meta_count);
  for (unsigned i = 0; i < in->meta_count; i++)
    set_text(L, in->meta[i].key, in->meta[i].value);
  lua_setfield(L, -2, "meta");
  lua_getfield(L, LUA_REGISTRYINDEX, "instance");
  lua_setmetatable(L, -2);
}

void push_rows(lua_State *L, struct set *s) {
  const struct set_row *rows = s ? set_rows(s) : NULL;
  size_t count = s ? set_count(s) : 0;
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    push_instance(L, rows[i].instance);
    set_text(L, "status", status_name(rows[i].status));
    lua_rawseti(L, -2, (int)i + 1);
  }
}
