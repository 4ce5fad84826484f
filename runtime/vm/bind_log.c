/* perigee.log: info("text", { field = value }), and debug, warn, error. Each line carries
 * plugin=NAME. A plugin that floods is cut to its limit; how many lines that left out is told with
 * its next line, or at its end. */
#include "base/clock.h"
#include "base/log.h"
#include "vm/bindings.h"
#include "vm/inside.h"
#include "vm/script.h"

#include <lauxlib.h>
#include <string.h>

enum { FIELDS_MAX = 20 };

void log_settle(struct isolate *iso) {
  if (!iso->log_unreported)
    return;
  log_warn("lines left out: the plugin logs too much", LOG_S("plugin", iso->name),
           LOG_I("lines", iso->log_unreported));
  iso->log_unreported = 0;
}

/* A bucket that holds one second's worth. */
static bool log_allowed(struct isolate *iso) {
  int64_t now = clock_now_ns();
  double rate = iso->limits.log_lines_per_s;
  if (iso->log_refilled_ns)
    iso->log_tokens += (double)(now - iso->log_refilled_ns) / 1e9 * rate;
  iso->log_refilled_ns = now;
  if (iso->log_tokens > rate)
    iso->log_tokens = rate;
  if (iso->log_tokens < 1) {
    iso->log_suppressed++;
    iso->log_unreported++;
    return false;
  }
  iso->log_tokens -= 1;
  return true;
}

/* Adds the table's fields at `index`; what is neither text nor number is named by its type. */
static int read_fields(lua_State *L, int index, struct log_field *fields) {
  int count = 0;
  lua_pushnil(L);
  while (count < FIELDS_MAX && lua_next(L, index)) {
    if (lua_type(L, -2) == LUA_TSTRING) {
      struct log_field *field = &fields[count++];
      const char *key = lua_tostring(L, -2);
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
  if (!log_allowed(iso))
    return 0;
  log_settle(iso);
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
