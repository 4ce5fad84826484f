/* border: plain data from Lua to C and back. What crosses is copied, so that neither side keeps a
 * pointer into the other. Control thread only. */
#pragma once

#include <lua.h>

struct fault;
struct instance;
struct set;
struct value;

/* What cannot be plain data is -EINVAL. read_value never raises; depth <= 100. */
int read_value(lua_State *L, int index, struct value **out, struct fault *f);
/* These raise for memory: call them under protection. */
void push_value(lua_State *L, const struct value *v);
/* A table: id, service, address, zone, port (nil if none), ports, tags, meta, weight, and the
 * methods of lua/perigee/instance.lua. */
void push_instance(lua_State *L, const struct instance *in);
/* A list of the instances of `s` (NULL: none), each with its `status`. */
void push_rows(lua_State *L, struct set *s);
