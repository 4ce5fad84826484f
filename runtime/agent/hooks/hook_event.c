#include "agent/hooks/hook_event.h"

#include "agent/hooks/roster.h"
#include "vm/plugin/plugin.h"
#include "watch/set.h"

#include <lauxlib.h>
#include <string.h>

const char *const event_names[EVENT_KINDS] = {"change", "status", "reload", "start", "stop"};
const char *const event_functions[EVENT_KINDS] = {"on.change", "on.status", "on.reload", "on.start",
                                                  "on.stop"};

/* event.endpoints is made when it is first asked for: ten thousand tables are nothing to hand to a
 * hook that only wants to know the service's name. Upvalue 1: the sets. */
static int event_index(lua_State *L) {
  const char *key = lua_tostring(L, 2);
  if (!key || strcmp(key, "endpoints") != 0)
    return 0;
  lua_getfield(L, 1, "service");
  const char *service = lua_tostring(L, -1);
  push_rows(L, service ? sets_find(lua_touserdata(L, lua_upvalueindex(1)), service) : NULL);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, -2);
  lua_rawset(L, 1);
  return 1;
}

static void push_event_metatable(lua_State *L, struct sets *sets) {
  if (!luaL_newmetatable(L, "event"))
    return;
  lua_pushlightuserdata(L, sets);
  lua_pushcclosure(L, event_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "event");
  lua_setfield(L, -2, "__metatable");
}

static void set_text(lua_State *L, const char *field, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, field);
}

/* What the check says that made the status what it is. */
static const char *output_of(const struct registration_state *s) {
  for (uint32_t i = 0; i < s->registration->check_count; i++)
    if (s->checks[i].status == s->status)
      return s->checks[i].output;
  return "";
}

static void push_status(lua_State *L, const struct event *e) {
  const struct instance *in = e->state->registration->instance;
  set_text(L, "id", in->id);
  set_text(L, "from", status_name(e->from));
  set_text(L, "to", status_name(e->state->status));
  set_text(L, "output", output_of(e->state));
  push_instance(L, in);
  lua_setfield(L, -2, "instance");
}

void push_event(lua_State *L, const struct event *e, struct sets *sets) {
  lua_createtable(L, 0, 8);
  set_text(L, "event", event_names[e->kind]);
  if (e->service)
    set_text(L, "service", e->service);
  if (e->kind == EVENT_CHANGE)
    roster_push_changes(L, e->before, e->now);
  if (e->kind == EVENT_STATUS)
    push_status(L, e);
  if (e->kind == EVENT_RELOAD || e->kind == EVENT_STOP) {
    lua_pushboolean(L, e->ok);
    lua_setfield(L, -2, e->kind == EVENT_RELOAD ? "ok" : "leaving");
  }
  if (e->kind == EVENT_RELOAD)
    set_text(L, "message", e->message ? e->message : "");
  push_event_metatable(L, sets);
  lua_setmetatable(L, -2);
}
