/* One endpoint of a plan: its fields, and what may be set of it. */
#include "base/fault.h"
#include "vm/plan/endpoints_inside.h"
#include "watch/balancer.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum field {
  NO_FIELD,
  ID,
  WEIGHT,
  TIER,
  DROP,
  STATUS,
  ZONE,
  FIELD_TAGS,
  FIELD_META,
  AGE,
  IN_FLIGHT,
  LATENCY,
  EJECTED,
  ADDRESS,
  PORT
};
static const char *const field_names[] = {
    [ID] = "id",           [WEIGHT] = "weight",       [TIER] = "tier",       [DROP] = "drop",
    [STATUS] = "status",   [ZONE] = "zone",           [FIELD_TAGS] = "tags", [FIELD_META] = "meta",
    [AGE] = "age",         [IN_FLIGHT] = "in_flight", [LATENCY] = "latency", [EJECTED] = "ejected",
    [ADDRESS] = "address", [PORT] = "port",
};

void raise_over(lua_State *L, const char *what) {
  luaL_error(L, "%s", what);
  abort(); /* it does not return */
}

struct plan_row *row_check(lua_State *L, int index, uint32_t *row) {
  const struct now *now = now_of(L);
  const struct cursor *p = lua_touserdata(L, index);
  bool is_one =
      p && lua_getmetatable(L, index) && lua_rawequal(L, -1, lua_upvalueindex(CURSOR_TYPE));
  if (!is_one || !now->run || p->epoch != now->epoch)
    raise_over(L, is_one ? "an endpoint of a plan that is over" : "an endpoint is expected");
  lua_pop(L, 1);
  *row = p->row;
  return &now->run->rows[p->row];
}

/* What is in `list` of the roster for this row; nil: nothing yet. Leaves the list below it. */
static void push_kept(lua_State *L, int list, uint32_t row) {
  lua_getfenv(L, 1);
  lua_rawgeti(L, -1, list);
  lua_remove(L, -2);
  lua_rawgeti(L, -1, (int)row + 1);
}

static void keep(lua_State *L, uint32_t row) {
  lua_pushvalue(L, -1);
  lua_rawseti(L, -3, (int)row + 1);
}

static void push_tags(lua_State *L, uint32_t row) {
  const struct instance *in = facts_of(L, row)->instance;
  push_kept(L, TAGS, row);
  if (!lua_isnil(L, -1))
    return;
  lua_pop(L, 1);
  lua_createtable(L, in->tag_count, 0);
  for (int i = 0; i < in->tag_count; i++) {
    lua_pushstring(L, in->tags[i]);
    lua_rawseti(L, -2, i + 1);
  }
  keep(L, row);
}

static void push_meta(lua_State *L, uint32_t row) {
  const struct instance *in = facts_of(L, row)->instance;
  push_kept(L, META, row);
  if (!lua_isnil(L, -1))
    return;
  lua_pop(L, 1);
  lua_createtable(L, 0, in->meta_count);
  for (int i = 0; i < in->meta_count; i++) {
    lua_pushstring(L, in->meta[i].value);
    lua_setfield(L, -2, in->meta[i].key);
  }
  keep(L, row);
}

/* What was there before this agent is as old as can be. */
static double age_of(lua_State *L, uint32_t row) {
  int64_t born = facts_of(L, row)->born_ns, now = now_of(L)->run->question->now_ns;
  return born ? (double)(now - born) / 1e9 : HUGE_VAL;
}

static void push_field(lua_State *L, enum field field, const struct plan_row *p, uint32_t row) {
  const struct instance *in = facts_of(L, row)->instance;
  struct plan_live live = {0};
  if (field == IN_FLIGHT || field == LATENCY || field == EJECTED)
    live = live_of(L, row);
  switch (field) {
  case ID:
    lua_pushstring(L, in->id);
    break;
  case WEIGHT:
    lua_pushnumber(L, p->weight);
    break;
  case TIER:
    lua_pushinteger(L, p->tier);
    break;
  case DROP:
    lua_pushboolean(L, p->drop);
    break;
  case STATUS:
    lua_pushstring(L, status_name(facts_of(L, row)->status));
    break;
  case ZONE:
    lua_pushstring(L, in->zone);
    break;
  case FIELD_TAGS:
    push_tags(L, row);
    break;
  case FIELD_META:
    push_meta(L, row);
    break;
  case AGE:
    lua_pushnumber(L, age_of(L, row));
    break;
  case IN_FLIGHT:
    lua_pushnumber(L, live.in_flight);
    break;
  case LATENCY: /* nil: nothing was reported */
    if (live.latency_ns)
      lua_pushnumber(L, (double)live.latency_ns / 1e9);
    else
      lua_pushnil(L);
    break;
  case EJECTED:
    lua_pushboolean(L, live.ejected);
    break;
  case ADDRESS:
    lua_pushstring(L, in->address);
    break;
  default:
    if (in->port)
      lua_pushinteger(L, in->port);
    else
      lua_pushnil(L);
  }
}

static int unknown_field(lua_State *L) {
  return luaL_error(L, "an endpoint has no field \"%s\"",
                    lua_isstring(L, 2) ? lua_tostring(L, 2) : luaL_typename(L, 2));
}

int cursor_index(lua_State *L) {
  uint32_t row;
  const struct plan_row *p = row_check(L, 1, &row);
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(FIELDS));
  if (lua_type(L, -1) != LUA_TNUMBER)
    return lua_isnil(L, -1) ? unknown_field(L) : 1; /* a method */
  push_field(L, (enum field)lua_tointeger(L, -1), p, row);
  return 1;
}

void may_set(lua_State *L, unsigned change, const char *name) {
  if (!(now_of(L)->changes & change))
    luaL_error(L, "the plugin does not set %s, by its `sets`", name);
}

int cursor_newindex(lua_State *L) {
  uint32_t row;
  struct plan_row *p = row_check(L, 1, &row);
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(FIELDS));
  switch ((enum field)lua_tointeger(L, -1)) {
  case WEIGHT: /* what number it is, is looked at when the plan is whole */
    may_set(L, PLAN_WEIGHT, "weight");
    if (lua_type(L, 3) != LUA_TNUMBER)
      return luaL_error(L, "weight is a number, not a %s", luaL_typename(L, 3));
    p->weight = lua_tonumber(L, 3);
    break;
  case TIER: {
    may_set(L, PLAN_TIER, "tier");
    double tier = lua_type(L, 3) == LUA_TNUMBER ? lua_tonumber(L, 3) : -1;
    if (!(tier >= 0 && tier <= UINT16_MAX && tier == floor(tier)))
      return luaL_error(L, "tier is a whole number from 0 to %d", UINT16_MAX);
    p->tier = (uint16_t)tier;
    break;
  }
  case DROP:
    may_set(L, PLAN_DROP, "drop");
    if (lua_type(L, 3) != LUA_TBOOLEAN && !lua_isnil(L, 3)) /* "no" and 0 would be true */
      return luaL_error(L, "drop is true or false, not a %s", luaL_typename(L, 3));
    p->drop = lua_toboolean(L, 3);
    break;
  default:
    return luaL_error(L, "a plan sets weight, tier and drop, not %s",
                      lua_isstring(L, 2) ? lua_tostring(L, 2) : luaL_typename(L, 2));
  }
  p->by = PLAN_BALANCER;
  return 0;
}

int cursor_has(lua_State *L) {
  uint32_t row;
  row_check(L, 1, &row);
  lua_pushboolean(L, instance_has_tag(facts_of(L, row)->instance, luaL_checkstring(L, 2)));
  return 1;
}

void push_cursor(lua_State *L, const struct roster *r, uint32_t row) {
  push_kept(L, CURSORS, row);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    struct cursor *p = lua_newuserdata(L, sizeof *p);
    *p = (struct cursor){r->epoch, row};
    lua_pushvalue(L, lua_upvalueindex(CURSOR_TYPE));
    lua_setmetatable(L, -2);
    lua_getfenv(L, 1); /* with the roster's environment, where its tags and metadata are */
    lua_setfenv(L, -2);
    keep(L, row);
  }
  lua_remove(L, -2);
}

void push_fields(lua_State *L) {
  lua_newtable(L);
  for (int i = ID; i <= PORT; i++) {
    lua_pushinteger(L, i);
    lua_setfield(L, -2, field_names[i]);
  }
}
