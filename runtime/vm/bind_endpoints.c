/* endpoints: what a plan gets and edits.
 *
 *     for e in endpoints:each() do e.weight = tonumber(e.meta.capacity) or 1 end
 *     endpoints:share("v2", 0.05)
 *
 * An endpoint in Lua is a cursor into the run's array. These cursors, and the tables of tags and
 * metadata that somebody asked for, are kept from run to run for as long as the service has the
 * same instances, so that a plan that runs every second makes no garbage. They are of use while a
 * plan runs on these instances, and raise at any other time. */
#include "vm/bind_endpoints.h"

#include "base/fault.h"
#include "vm/bindings.h"
#include "vm/inside.h"
#include "vm/plugin.h"
#include "watch/balancer.h"

#include <errno.h>
#include <float.h>
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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
  PORT,
  INDEX
};
static const char *const field_names[] = {
    [ID] = "id",           [WEIGHT] = "weight",       [TIER] = "tier",       [DROP] = "drop",
    [STATUS] = "status",   [ZONE] = "zone",           [FIELD_TAGS] = "tags", [FIELD_META] = "meta",
    [AGE] = "age",         [IN_FLIGHT] = "in_flight", [LATENCY] = "latency", [EJECTED] = "ejected",
    [ADDRESS] = "address", [PORT] = "port",           [INDEX] = "index"};

static const char NOW_KEY[] = "planning", ROSTERS[] = "rosters", ROSTER_TYPE[] = "endpoints",
                  CURSOR_NAME[] = "endpoint";

static struct now *now_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(STATE));
}

/* ---- one endpoint ---- */

static struct plan_row *row_check(lua_State *L, int index, uint32_t *row) {
  const struct now *now = now_of(L);
  const struct cursor *p = lua_touserdata(L, index);
  if (!p || !lua_getmetatable(L, index) || !lua_rawequal(L, -1, lua_upvalueindex(CURSOR_TYPE)))
    luaL_typerror(L, index, CURSOR_NAME);
  lua_pop(L, 1);
  if (!now->run || p->epoch != now->epoch)
    luaL_error(L, "an endpoint of a plan that is over");
  *row = p->row;
  return &now->run->rows[p->row];
}

static const struct set_row *facts_of(lua_State *L, uint32_t row) {
  return &now_of(L)->run->question->rows[row];
}

static struct plan_live live_of(lua_State *L, uint32_t row) {
  const struct plan_question *q = now_of(L)->run->question;
  return q->live ? q->live(q->live_arg, &q->rows[row]) : (struct plan_live){0};
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
  case PORT:
    lua_pushinteger(L, in->port);
    break;
  default:
    lua_pushinteger(L, (lua_Integer)row + 1);
  }
}

static int unknown_field(lua_State *L) {
  return luaL_error(L, "an endpoint has no field \"%s\"",
                    lua_isstring(L, 2) ? lua_tostring(L, 2) : luaL_typename(L, 2));
}

static int cursor_index(lua_State *L) {
  uint32_t row;
  const struct plan_row *p = row_check(L, 1, &row);
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(FIELDS));
  if (lua_type(L, -1) != LUA_TNUMBER)
    return lua_isnil(L, -1) ? unknown_field(L) : 1; /* a method */
  push_field(L, (enum field)lua_tointeger(L, -1), p, row);
  return 1;
}

static void may_set(lua_State *L, unsigned change, const char *name) {
  if (!(now_of(L)->changes & change))
    luaL_error(L, "the plugin does not set %s, by its `sets`", name);
}

static int cursor_newindex(lua_State *L) {
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
    p->drop = lua_toboolean(L, 3);
    break;
  default:
    return luaL_error(L, "a plan sets weight, tier and drop, not %s",
                      lua_isstring(L, 2) ? lua_tostring(L, 2) : luaL_typename(L, 2));
  }
  p->by = PLAN_BALANCER;
  return 0;
}

static bool has_tag(const struct instance *in, const char *tag) {
  for (int i = 0; i < in->tag_count; i++)
    if (strcmp(in->tags[i], tag) == 0)
      return true;
  return false;
}

static int cursor_has(lua_State *L) {
  uint32_t row;
  row_check(L, 1, &row);
  lua_pushboolean(L, has_tag(facts_of(L, row)->instance, luaL_checkstring(L, 2)));
  return 1;
}

/* ---- all of them ---- */

static struct roster *roster_check(lua_State *L) {
  const struct now *now = now_of(L);
  struct roster *r = luaL_checkudata(L, 1, ROSTER_TYPE);
  if (!now->run || r->epoch != now->epoch)
    luaL_error(L, "the endpoints of a plan that is over");
  return r;
}

static void push_cursor(lua_State *L, const struct roster *r, uint32_t row) {
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

static bool shown(const struct plan_run *run, size_t row) {
  return !run->hidden || !run->hidden[row];
}

static int roster_next(lua_State *L) {
  const struct roster *r = roster_check(L);
  uint32_t row = 0;
  if (!lua_isnoneornil(L, 2)) {
    row_check(L, 2, &row);
    row++;
  }
  while (row < r->count && !shown(now_of(L)->run, row))
    row++;
  if (row >= r->count)
    return 0;
  push_cursor(L, r, row);
  return 1;
}

/* roster_next, the roster, nil: nothing is made for a loop. */
static int roster_each(lua_State *L) {
  roster_check(L);
  lua_pushvalue(L, lua_upvalueindex(FIELDS + 1));
  lua_pushvalue(L, 1);
  return 2;
}

static int roster_length(lua_State *L) {
  const struct roster *r = roster_check(L);
  lua_Integer count = 0;
  for (size_t i = 0; i < r->count; i++)
    count += shown(now_of(L)->run, i);
  lua_pushinteger(L, count);
  return 1;
}

/* share(test, fraction): of the picks that a tier gets, those endpoints get `fraction` that `test`
 * is true of: a tag, or a function of one endpoint. Among themselves they keep their proportions,
 * and so do the others. Only what can be picked is counted, so that the fraction holds while some
 * are critical; where only one side can be, it has all. Returns how many can be picked that the
 * test is true of. */
struct side {
  double sum; /* of the weights of a tier's, over the largest weight */
  double factor;
};
struct part {
  uint16_t tier;
  uint32_t row;
  bool chosen, counts;
};

static int by_tier(const void *a, const void *b) {
  const struct part *x = a, *y = b;
  return x->tier != y->tier ? (x->tier < y->tier ? -1 : 1) : (x->row > y->row) - (x->row < y->row);
}

static bool passes(lua_State *L, const struct roster *r, const char *tag, uint32_t row) {
  if (tag)
    return has_tag(facts_of(L, row)->instance, tag);
  lua_pushvalue(L, 2);
  push_cursor(L, r, row);
  lua_call(L, 1, 1);
  bool passed = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return passed;
}

static bool has_weight(const struct plan_row *p) {
  return !p->drop && p->weight > 0 && p->weight <= DBL_MAX;
}

/* Fills `parts`, sorted by tier; how many. */
static uint32_t divide(lua_State *L, const struct roster *r, const char *tag, struct part *parts) {
  const struct plan_run *run = now_of(L)->run;
  uint32_t count = 0;
  bool any = false;
  for (uint32_t i = 0; i < r->count; i++) {
    if (!shown(run, i) || run->rows[i].drop)
      continue;
    bool well = facts_of(L, i)->status != STATUS_CRITICAL && !live_of(L, i).ejected;
    bool counts = well && has_weight(&run->rows[i]);
    parts[count++] = (struct part){run->rows[i].tier, i, passes(L, r, tag, i), counts};
    any = any || counts;
  }
  for (uint32_t i = 0; !any && i < count; i++) /* picks fail open */
    parts[i].counts = has_weight(&run->rows[parts[i].row]);
  qsort(parts, count, sizeof *parts, by_tier);
  return count;
}

static lua_Integer weigh(struct plan_row *rows, const struct part *parts, uint32_t count,
                         double fraction) {
  struct side sides[2] = {{0}};
  double largest = 0; /* a sum of the weights themselves may overflow */
  lua_Integer chosen = 0;
  for (uint32_t i = 0; i < count; i++)
    if (parts[i].counts && rows[parts[i].row].weight > largest)
      largest = rows[parts[i].row].weight;
  for (uint32_t i = 0; i < count; i++)
    if (parts[i].counts) {
      sides[parts[i].chosen].sum += rows[parts[i].row].weight / largest;
      chosen += parts[i].chosen;
    }
  if (!(sides[0].sum > 0 && sides[1].sum > 0))
    return chosen;
  double all = sides[0].sum + sides[1].sum;
  sides[0].factor = (1 - fraction) * all / sides[0].sum;
  sides[1].factor = fraction * all / sides[1].sum;
  for (uint32_t i = 0; i < count; i++) {
    rows[parts[i].row].weight *= sides[parts[i].chosen].factor;
    rows[parts[i].row].by = PLAN_BALANCER;
  }
  return chosen;
}

static int roster_share(lua_State *L) {
  const struct roster *r = roster_check(L);
  const char *tag = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
  double fraction = luaL_checknumber(L, 3);
  lua_Integer chosen = 0;
  may_set(L, PLAN_WEIGHT, "weight");
  if (!tag)
    luaL_checktype(L, 2, LUA_TFUNCTION);
  luaL_argcheck(L, fraction >= 0 && fraction <= 1, 3, "a number from 0 to 1 is expected");
  struct part *parts = lua_newuserdata(L, (r->count + 1) * sizeof *parts);
  uint32_t count = divide(L, r, tag, parts);
  for (uint32_t i = 0, next; i < count; i = next) {
    for (next = i; next < count && parts[next].tier == parts[i].tier;)
      next++;
    chosen += weigh(now_of(L)->run->rows, parts + i, next - i, fraction);
  }
  lua_pushinteger(L, chosen);
  return 1;
}

/* ---- rosters ---- */

static void roster_empty(struct roster *r) {
  for (size_t i = 0; i < r->count; i++)
    instance_unref(r->instances[i]);
  free(r->instances);
  r->instances = NULL;
  r->count = 0;
}

static int roster_collect(lua_State *L) {
  roster_empty(lua_touserdata(L, 1));
  return 0;
}

static bool same_instances(const struct roster *r, const struct plan_question *q) {
  if (r->epoch == 0 || r->count != q->count)
    return false;
  for (size_t i = 0; i < q->count; i++)
    if (r->instances[i] != q->rows[i].instance)
      return false;
  return true;
}

/* The roster on L's top is of these instances from now on. */
static void roster_renew(lua_State *L, struct roster *r, const struct plan_question *q,
                         struct now *now) {
  roster_empty(r);
  r->epoch = ++now->epochs;
  r->instances = malloc((q->count ? q->count : 1) * sizeof(struct instance *));
  if (!r->instances)
    luaL_error(L, "out of memory");
  for (; r->count < q->count; r->count++)
    r->instances[r->count] = instance_ref(q->rows[r->count].instance);
  lua_createtable(L, META, 0);
  for (int list = CURSORS; list <= META; list++) {
    lua_newtable(L);
    lua_rawseti(L, -2, list);
  }
  lua_setfenv(L, -2);
}

/* The attachment's roster, which lasts as long as its ctx. */
static struct roster *push_roster(lua_State *L, int ctx) {
  lua_getfield(L, LUA_REGISTRYINDEX, ROSTERS);
  lua_pushvalue(L, ctx);
  lua_rawget(L, -2);
  struct roster *r = lua_touserdata(L, -1);
  if (!r) {
    lua_pop(L, 1);
    lua_pushvalue(L, ctx);
    r = lua_newuserdata(L, sizeof *r);
    *r = (struct roster){0};
    luaL_getmetatable(L, ROSTER_TYPE);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_insert(L, -3);
    lua_rawset(L, -4);
  }
  lua_remove(L, -2);
  return r;
}

/* ---- a run ---- */

struct running {
  const struct plan_run *run;
  unsigned changes;
  struct now *now; /* of the isolate that runs it; NULL until it does */
  struct fault *f;
};

static int push_endpoints(lua_State *L, int ctx, void *arg) {
  struct running *r = arg;
  lua_getfield(L, LUA_REGISTRYINDEX, NOW_KEY);
  struct now *now = lua_touserdata(L, -1);
  lua_pop(L, 1);
  struct roster *roster = push_roster(L, ctx);
  if (!same_instances(roster, r->run->question))
    roster_renew(L, roster, r->run->question, now);
  r->now = now;
  now->run = r->run;
  now->epoch = roster->epoch;
  now->changes = r->changes;
  return 1;
}

/* Nothing, or true: a plan. nil and a reason: none. */
static int take_outcome(lua_State *L, int results, void *arg) {
  struct running *r = arg;
  if (results == 0 || lua_toboolean(L, -results))
    return 0;
  const char *reason =
      results >= 2 && lua_type(L, 1 - results) == LUA_TSTRING ? lua_tostring(L, 1 - results) : NULL;
  return fault_set(r->f, -ENODATA, "%s", reason ? reason : "it gave no reason");
}

static int check_weights(const struct plan_run *run, struct fault *f) {
  for (size_t i = 0; i < run->question->count; i++)
    if (!(run->rows[i].weight >= 0 && run->rows[i].weight <= DBL_MAX))
      return fault_set(f, -EINVAL,
                       "it gives %.200s the weight %g: a weight is a finite number, not below 0",
                       run->question->rows[i].instance->id, run->rows[i].weight);
  return 0;
}

int plan_run(struct attachment *a, const struct plan_run *run, struct fault *f) {
  struct running r = {run, plugin_changes(attachment_plugin(a)), NULL, f};
  const struct attachment_turn turn = {push_endpoints, take_outcome, &r};
  int code = attachment_run(a, "plan", &turn, f);
  if (r.now)
    r.now->run = NULL;
  return code ? code : check_weights(run, f);
}

/* ---- once an isolate ---- */

static void push_function(lua_State *L, lua_CFunction fn, int now, int cursor, int fields) {
  lua_pushvalue(L, now);
  lua_pushvalue(L, cursor);
  lua_pushvalue(L, fields);
  lua_pushcclosure(L, fn, 3);
}

static void set_function(lua_State *L, const char *name, lua_CFunction fn, int now, int cursor,
                         int fields) {
  push_function(L, fn, now, cursor, fields);
  lua_setfield(L, -2, name);
}

static void lock(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__metatable");
}

int open_endpoints(lua_State *L) {
  struct now *state = lua_newuserdata(L, sizeof *state);
  int now = lua_gettop(L), cursor = now + 1, fields = now + 2;
  *state = (struct now){0};
  lua_pushvalue(L, now);
  lua_setfield(L, LUA_REGISTRYINDEX, NOW_KEY);
  luaL_newmetatable(L, CURSOR_NAME);
  lua_newtable(L);
  for (int i = ID; i <= INDEX; i++) {
    lua_pushinteger(L, i);
    lua_setfield(L, fields, field_names[i]);
  }
  set_function(L, "has", cursor_has, now, cursor, fields);
  lua_pushvalue(L, cursor);
  set_function(L, "__index", cursor_index, now, cursor, fields);
  set_function(L, "__newindex", cursor_newindex, now, cursor, fields);
  lock(L, CURSOR_NAME);

  luaL_newmetatable(L, ROSTER_TYPE);
  lua_newtable(L);
  lua_pushvalue(L, now);
  lua_pushvalue(L, cursor);
  lua_pushvalue(L, fields);
  push_function(L, roster_next, now, cursor, fields);
  lua_pushcclosure(L, roster_each, 4);
  lua_setfield(L, -2, "each");
  set_function(L, "share", roster_share, now, cursor, fields);
  lua_setfield(L, -2, "__index");
  set_function(L, "__len", roster_length, now, cursor, fields);
  lua_pushcfunction(L, roster_collect);
  lua_setfield(L, -2, "__gc");
  lock(L, ROSTER_TYPE);

  lua_newtable(L); /* by ctx, weakly */
  lua_newtable(L);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, ROSTERS);
  lua_settop(L, now - 1);
  return 0;
}
