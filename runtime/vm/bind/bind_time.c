/* perigee.time: the host's clocks. */
#include "base/clock.h"
#include "vm/bind/bindings.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* now(): Unix time in seconds, with a fraction. */
static int now_call(lua_State *L) {
  lua_pushnumber(L, (double)clock_wall_us() / 1e6);
  return 1;
}

/* monotonic(): seconds since some point; for intervals. */
static int monotonic_call(lua_State *L) {
  lua_pushnumber(L, (double)clock_now_ns() / 1e9);
  return 1;
}

/* iso([seconds]): "2026-11-21T21:09:45.123Z" of a Unix time; now, when none is given. */
static int iso_call(lua_State *L) {
  double seconds = luaL_optnumber(L, 1, (double)clock_wall_us() / 1e6);
  luaL_argcheck(L, fabs(seconds) < 2e11, 1, "out of range");
  double whole = floor(seconds);
  int milliseconds = (int)((seconds - whole) * 1000);
  time_t t = (time_t)whole;
  struct tm utc;
  char date[40], text[60];
  gmtime_r(&t, &utc);
  strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
  snprintf(text, sizeof text, "%s.%03dZ", date, milliseconds);
  lua_pushstring(L, text);
  return 1;
}

/* parse("2026-11-21T21:09:45.123Z", or with +01:00): Unix seconds, or nil, message, code. */
static int parse_call(lua_State *L) {
  const char *text = luaL_checkstring(L, 1);
  struct tm utc;
  memset(&utc, 0, sizeof utc);
  const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
  double fraction = 0;
  int used = 0, hours = 0, minutes = 0;
  char sign = 'Z';
  if (rest && *rest == '.') {
    double unit = 0.1;
    for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
      fraction += unit * (*rest - '0');
  }
  if (rest && (*rest == '+' || *rest == '-') &&
      sscanf(rest, "%c%2d:%2d%n", &sign, &hours, &minutes, &used) == 3)
    rest += used;
  else if (rest && *rest == 'Z')
    rest++;
  else
    rest = NULL;
  if (!rest || *rest) {
    lua_pushnil(L);
    lua_pushfstring(L, "not a time of RFC 3339: \"%s\"", text);
    lua_pushliteral(L, "EINVAL");
    return 3;
  }
  double offset = hours * 3600 + minutes * 60;
  lua_pushnumber(L, (double)timegm(&utc) + fraction + (sign == '-' ? offset : -offset));
  return 1;
}

int open_time(lua_State *L) {
  static const struct luaL_Reg functions[] = {{"now", now_call},
                                              {"monotonic", monotonic_call},
                                              {"iso", iso_call},
                                              {"parse", parse_call},
                                              {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
