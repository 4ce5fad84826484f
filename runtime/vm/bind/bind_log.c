/* perigee.log: info("text", { field = value }), and debug, warn, error. Each line carries
 * plugin=NAME; a plugin that floods is cut to its limit (log_budget.c). */
#include "base/log.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/inside.h"
#include "vm/isolate/script.h"

#include <lauxlib.h>
#include <string.h>

enum { FIELDS_MAX = 20 };

/* What the agent itself says of a line, no field of a plugin does. */
static const char *own_key(const char *key) {
  static const char *const taken[][2] = {
      {"time", "time_"}, {"level", "level_"}, {"event", "event_"}, {"plugin", "plugin_"}};
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
    if (strcmp(key, taken[i][0]) == 0)
      return taken[i][1];
  return key;
}

/* Adds the table's fields at `index`; what is neither text nor number is named by its type. */
static int read_fields(lua_State *L, int index, struct log_field *fields) {
  int count = 0;
  lua_pushnil(L);
  while (count < FIELDS_MAX && lua_next(L, index)) {
    if (lua_type(L, -2) == LUA_TSTRING) {
      struct log_field *field = &fields[count++];
      const char *key = own_key(lua_tostring(L, -2));
      switch (lua_type(L, -1)) {
      case LUA_TNUMBER:
        *field = LOG_N(key, lua_tonumber(L, -1));
        break;
      case LUA_TSTRING:
        *field = LOG_S(key, lua_tostring(L, -1));
        break;
      case LUA_TBOOLEAN:
        *field = LOG_S(key, lua_toboolean(L, -1) ? "true" : "false");
        break;
      default:
        *field = LOG_S(key, luaL_typename(L, -1));
      }
    }
    lua_pop(L, 1);
  }
  return count;
}

static int log_line(lua_State *L, enum log_level level) {
  struct isolate *iso = isolate_of(L);
  struct log_field fields[FIELDS_MAX + 3];
  const char *text = luaL_checkstring(L, 1);
  int has_fields = !lua_isnoneornil(L, 2), count = 0;
  if (has_fields)
    luaL_checktype(L, 2, LUA_TTABLE);
  if (!log_budget_take(iso))
    return 0;
  log_budget_settle(iso);
  if (scripted(L)) {
    static const char *const words[] = {"debug", "info", "warn", "error"};
    lua_settop(L, 2);
    lua_pushstring(L, words[level]);
    lua_insert(L, 1);
    script_tell(L, "log", 3, 0);
    return 0;
  }
  fields[count++] = LOG_S("plugin", iso->name);
  lua_getfield(L, lua_upvalueindex(1), "service");
  if (lua_type(L, -1) == LUA_TSTRING)
    fields[count++] = LOG_S("service", lua_tostring(L, -1));
  if (has_fields)
    count += read_fields(L, 2, fields + count);
  fields[count].key = NULL;
  log_event(level, text, fields);
  return 0;
}

static int debug_call(lua_State *L) {
  return log_line(L, LOG_LEVEL_DEBUG);
}

static int info_call(lua_State *L) {
  return log_line(L, LOG_LEVEL_INFO);
}

static int warn_call(lua_State *L) {
  return log_line(L, LOG_LEVEL_WARN);
}

static int error_call(lua_State *L) {
  return log_line(L, LOG_LEVEL_ERROR);
}

/* Pushes a log whose lines carry service=NAME when the table on top, which it pops, has one. */
static void push_log(lua_State *L) {
  static const struct luaL_Reg functions[] = {{"debug", debug_call},
                                              {"info", info_call},
                                              {"warn", warn_call},
                                              {"error", error_call},
                                              {NULL, NULL}};
  lua_newtable(L);
  lua_insert(L, -2);
  luaL_openlib(L, NULL, functions, 1);
}

void push_service_log(lua_State *L, const char *service) {
  lua_newtable(L);
  if (service) {
    lua_pushstring(L, service);
    lua_setfield(L, -2, "service");
  }
  push_log(L);
}

int open_log(lua_State *L) {
  push_service_log(L, NULL);
  return 1;
}
