/* The tries of one call, for lua/perigee/call.lua: perigee_tries_* of the client, whose rules hold
 * here as they hold in C.
 *
 *     begin(service, options)  → an object, or nil, message, code
 *     ids(service)             → { [id] = true, ... }; nil: they cannot be read just now
 *     version(service)         → a number that moves when they do; 0: there is no such service
 *     object:next()            → number, endpoint, seconds left: try it now
 *                                false, seconds: ask again then, or when a try has ended
 *                                nil, message, code: it is over
 *     object:done(number, outcome[, seconds[, message]]) */
#include "vm/bind/bind_io.h"
#include "vm/pick/bind_pick.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/inside.h"

#include "base/clock.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>

#define TRIES_TYPE "tries"

struct call {
  struct task_watch watch; /* of the caller, while a try is open */
  struct perigee_tries tries;
  struct perigee_pick_options pick; /* its texts are kept by the object's environment */
  struct perigee_service **handle;  /* NULL in it: the service's handle was collected first */
  struct owned owned;
};

static const char *const outcomes[] = {"success",         "server_error", "timeout",
                                       "connect_failure", "abandoned",    NULL};

static void abandon(struct call *c) {
  for (uint32_t i = 0; *c->handle && i < c->tries.count; i++)
    if (c->tries.tries[i].outcome == -1)
      perigee_tries_done(&c->tries, i, PERIGEE_ABANDONED, 0, NULL);
}

/* A caller that was ended reports nothing, and its tries have ended with it. */
static void on_caller_ended(struct task_watch *w, struct task *t) {
  (void)t;
  abandon((struct call *)w);
}

/* Nor does one that was left by an error, as where no task can be started. */
static void call_give_back(struct owned *o) {
  struct call *c = (struct call *)((char *)o - offsetof(struct call, owned));
  task_unwatch(&c->watch);
  abandon(c);
}

static int call_collect(lua_State *L) {
  struct call *c = lua_touserdata(L, 1);
  owned_end(&c->owned);
  return 0;
}

/* A duration, 0 when it is not given; the longest there is where it is longer than that. */
static uint32_t ms_of(lua_State *L, int index, const char *name) {
  uint64_t ms = option_ms(L, index, name, 0);
  return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static struct perigee_call_options options_of(lua_State *L, int index) {
  return (struct perigee_call_options){
      .size = sizeof(struct perigee_call_options),
      .flags = option_flag(L, index, "idempotent") ? PERIGEE_IDEMPOTENT : 0,
      .tries = (uint32_t)option_integer(L, index, "tries", 1, PERIGEE_TRIES_MAX, 0),
      .timeout_ms = ms_of(L, index, "timeout"),
      .backoff_ms = ms_of(L, index, "backoff"),
      .backoff_most_ms = ms_of(L, index, "backoff_most"),
      .hedge_ms = ms_of(L, index, "hedge"),
  };
}

static int tries_call(lua_State *L) {
  static const char *const known[] = {"key",          "port",  "tries",      "timeout", "backoff",
                                      "backoff_most", "hedge", "idempotent", NULL};
  const char *name = luaL_checkstring(L, 1);
  options_check(L, 2, known);
  struct perigee_call_options options = options_of(L, 2);
  if (options.hedge_ms && !(options.flags & PERIGEE_IDEMPOTENT))
    return luaL_error(L, "hedge: only what is idempotent may be done twice: idempotent = true");
  struct perigee_service *s = NULL;
  lua_newtable(L); /* what the object keeps */
  int kept = lua_gettop(L), r = picked_service(L, name, &s);
  if (r != 0)
    return push_error(L, r, "%.255s: %s", name, pick_reason(r));
  struct perigee_service **handle = lua_touserdata(L, -1);
  lua_rawseti(L, kept, 1);
  lua_settop(L, kept);
  struct call *c = lua_newuserdata(L, sizeof *c);
  memset(c, 0, sizeof *c);
  c->watch.ended = on_caller_ended;
  c->handle = handle;
  c->pick =
      (struct perigee_pick_options){.size = sizeof c->pick, .port = option_text(L, 2, "port")};
  c->pick.key = push_key(L, 2, &c->pick.key_length);
  lua_rawseti(L, kept, 2);
  lua_pushvalue(L, 2);
  lua_rawseti(L, kept, 3);
  options.pick = &c->pick;
  perigee_tries_begin(&c->tries, s, &options);
  lua_pushvalue(L, kept);
  lua_setfenv(L, -2);
  luaL_getmetatable(L, TRIES_TYPE);
  lua_setmetatable(L, -2);
  owned_begin(L, &c->owned, call_give_back);
  return 1;
}

static int push_over(lua_State *L, const struct call *c, int r) {
  char text[2048];
  perigee_tries_text(&c->tries, text, sizeof text);
  switch (r) {
  case -ETIMEDOUT:
    return push_error(L, r, "no answer in time%s%s", *text ? ": " : "", text);
  case -EDQUOT:
    return push_error(L, r, "no retry, this host retries enough: %s", text);
  case -EREMOTEIO:
    return push_error(L, r, "%s", text);
  default:
    return push_error(L, r, "%s", pick_reason(r));
  }
}

static int next_call(lua_State *L) {
  struct call *c = luaL_checkudata(L, 1, TRIES_TYPE);
  char id[256] = "";
  int r = perigee_tries_next(&c->tries);
  if (r < 0)
    return push_over(L, c, r);
  if (r > 0) {
    lua_pushboolean(L, 0);
    lua_pushnumber(L, (double)c->tries.wait_ns / 1e9);
    return 2;
  }
  if (c->tries.open == 1)
    task_watch(task_running(L), &c->watch);
  const struct perigee_endpoint *e = &c->tries.endpoints[c->tries.count - 1];
  perigee_endpoint_text(*c->handle, e, "id", id, sizeof id); /* "" when it has left meanwhile */
  int64_t left_ns = (int64_t)c->tries.deadline_ns - clock_now_ns();
  lua_pushinteger(L, (lua_Integer)c->tries.count);
  push_endpoint(L, e, id);
  lua_pushnumber(L, left_ns > 0 ? (double)left_ns / 1e9 : 0);
  return 3;
}

static int done_call(lua_State *L) {
  struct call *c = luaL_checkudata(L, 1, TRIES_TYPE);
  lua_Integer i = luaL_checkinteger(L, 2);
  int outcome = luaL_checkoption(L, 3, NULL, outcomes);
  lua_Number seconds = luaL_optnumber(L, 4, 0);
  uint64_t ns = seconds > 0 && seconds < 1e9 ? (uint64_t)(seconds * 1e9) : 0;
  int r = perigee_tries_done(&c->tries, (uint32_t)(i - 1), outcome, ns, luaL_optstring(L, 5, NULL));
  luaL_argcheck(L, r == 0, 2, "no try of that number is open");
  if (c->tries.open == 0)
    task_unwatch(&c->watch);
  return 0;
}

/* The ids of all its endpoints now, as keys; none when it is not there. */
static int ids_call(lua_State *L) {
  struct perigee_service *s = NULL;
  int r = picked_service(L, luaL_checkstring(L, 1), &s),
      room = r == 0 ? perigee_list(s, NULL, 0) : r;
  lua_newtable(L);
  if (room == 0 || room == -ENOENT)
    return 1;
  if (room < 0)
    return 0;
  int table = lua_gettop(L);
  struct perigee_endpoint *all = lua_newuserdata(L, (size_t)room * sizeof *all);
  int count = perigee_list(s, all, room);
  if (count < 0 || count > room)
    return 0;
  for (int i = 0; i < count; i++) {
    char id[256];
    if (perigee_endpoint_text(s, &all[i], "id", id, sizeof id) < 0)
      continue;
    lua_pushboolean(L, 1);
    lua_setfield(L, table, id);
  }
  lua_settop(L, table);
  return 1;
}

static int version_call(lua_State *L) {
  struct perigee_service *s = NULL;
  int r = picked_service(L, luaL_checkstring(L, 1), &s);
  lua_pushnumber(L, r == 0 ? (double)perigee_version(s) : 0);
  return 1;
}

int open_tries(lua_State *L) {
  static const struct luaL_Reg methods[] = {{"next", next_call}, {"done", done_call}, {NULL, NULL}};
  luaL_newmetatable(L, TRIES_TYPE);
  lua_pushcfunction(L, call_collect);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, TRIES_TYPE);
  lua_setfield(L, -2, "__metatable");
  lua_newtable(L);
  luaL_register(L, NULL, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushcfunction(L, tries_call);
  lua_setfield(L, -2, "begin");
  lua_pushcfunction(L, ids_call);
  lua_setfield(L, -2, "ids");
  lua_pushcfunction(L, version_call);
  lua_setfield(L, -2, "version");
  return 1;
}
