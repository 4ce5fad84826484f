/* endpoints: what a plan gets and edits.
 *
 *     for e in endpoints:each() do e.weight = tonumber(e.meta.capacity) or 1 end
 *     endpoints:share("v2", 0.05)
 *
 * An endpoint in Lua is a cursor into the run's array. These cursors, and the tables of tags and
 * metadata that somebody asked for, are kept from run to run for as long as the service has the
 * same instances, so that a plan that runs every second makes no garbage. They are of use while a
 * plan runs on these instances, and raise at any other time. */
#include "vm/plan/bind_endpoints.h"

#include "base/fault.h"
#include "vm/bind/bindings.h"
#include "vm/plan/endpoints_inside.h"
#include "vm/plugin/plugin_inside.h"

#include <errno.h>
#include <float.h>
#include <lauxlib.h>
#include <stdlib.h>

static const char NOW_KEY[] = "planning", ROSTERS[] = "rosters", ROSTER_TYPE[] = "endpoints",
                  CURSOR_NAME[] = "endpoint";

struct roster *roster_check(lua_State *L) {
  const struct now *now = now_of(L);
  struct roster *r = luaL_checkudata(L, 1, ROSTER_TYPE);
  if (!now->run || r->epoch != now->epoch)
    raise_over(L, "the endpoints of a plan that is over");
  return r;
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
  if (!r->instances || r->count != q->count)
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
    raise_over(L, "out of memory");
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
static struct roster *push_roster(lua_State *L, int ref_ctx) {
  lua_getfield(L, LUA_REGISTRYINDEX, ROSTERS);
  lua_rawgeti(L, LUA_REGISTRYINDEX, ref_ctx);
  lua_rawget(L, -2);
  struct roster *r = lua_touserdata(L, -1);
  if (!r) {
    lua_pop(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref_ctx);
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

static int push_endpoints(lua_State *L, void *arg) {
  struct plan_run *run = arg;
  const struct attachment *a = run->attachment;
  lua_getfield(L, LUA_REGISTRYINDEX, NOW_KEY);
  struct now *now = lua_touserdata(L, -1);
  lua_pop(L, 1);
  struct roster *roster = push_roster(L, a->uses[NOW].ref_ctx);
  if (!same_instances(roster, run->question))
    roster_renew(L, roster, run->question, now);
  run->now = now;
  now->run = run;
  now->epoch = roster->epoch;
  now->changes = plugin_changes(a->plugin);
  return 1;
}

/* Nothing, or true: a plan. nil and a reason: none. */
static int take_outcome(const struct call_result *result, struct fault *f) {
  if (result->results == 0 || lua_toboolean(result->L, -result->results))
    return 0;
  const char *why = call_text(result, 2);
  return fault_set(f, -ENODATA, "%s", why ? why : "it gave no reason");
}

static int check_weights(const struct plan_run *run, struct fault *f) {
  for (size_t i = 0; i < run->question->count; i++)
    if (!(run->rows[i].weight >= 0 && run->rows[i].weight <= DBL_MAX))
      return fault_set(f, -ERANGE,
                       "it gives %.200s the weight %g: a weight is a finite number, not below 0",
                       run->question->rows[i].instance->id, run->rows[i].weight);
  return 0;
}

/* What is planned has been planned; the isolate lasts until the call has been told of. */
static void let_go(struct plan_run *run) {
  if (run->now)
    run->now->run = NULL;
  run->now = NULL;
  run->call = NULL;
}

static void on_over(void *arg, const struct call_result *result) {
  struct plan_run *run = arg;
  let_go(run);
  if (result->status != 0)
    run->fault = *result->fault;
  else if (take_outcome(result, &run->fault) == 0)
    check_weights(run, &run->fault);
  if (run->over)
    run->over(run->arg);
}

void plan_begin(struct plan_run *run, struct attachment *a, bool whole) {
  const struct call_start how = {.place = NOW,
                                 .pace = whole ? TASK_WHOLE : TASK_PROMPT,
                                 .name = "plan",
                                 .push = push_endpoints,
                                 .done = on_over,
                                 .arg = run};
  run->attachment = a;
  run->fault = (struct fault){0};
  if (call_start(a, &how, &run->call, &run->fault) != 0)
    let_go(run);
}

bool plan_goes_on(const struct plan_run *run) {
  return run->call != NULL;
}

void plan_cancel(struct plan_run *run) {
  struct call *call = run->call;
  let_go(run);
  if (call)
    call_cancel(call);
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
  push_fields(L);
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
  luaL_getmetatable(L, ROSTER_TYPE);
  lua_getfield(L, -1, "__index");
  lua_replace(L, now);
  lua_settop(L, now);
  return 1;
}
