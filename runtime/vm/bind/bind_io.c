#include "vm/bind/bind_io.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "base/fault.h"
#include "base/schema.h"
#include "base/text.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/grant.h"

unsigned options_check(lua_State *L, int index, const char *const *known) {
  if (lua_isnoneornil(L, index)) {
    lua_settop(L, index - 1);
    lua_newtable(L);
    return 0;
  }
  luaL_checktype(L, index, LUA_TTABLE);
  size_t count = 0;
  unsigned given = 0;
  while (known[count])
    count++;
  lua_pushnil(L);
  while (lua_next(L, index)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING)
      continue;
    const char *name = lua_tostring(L, -1), *near;
    size_t i = 0;
    while (i < count && strcmp(known[i], name) != 0)
      i++;
    given |= 1u << i;
    if (i < count)
      continue;
    near = nearest_word(name, known, count);
    luaL_error(L, near ? "unknown option \"%s\": did you mean \"%s\"?" : "unknown option \"%s\"",
               name, near);
  }
  if (!lua_getmetatable(L, index))
    return given;
  lua_pop(L, 1);
  return ~0u; /* what its __index has was not seen */
}

const char *option_text(lua_State *L, int index, const char *name) {
  lua_getfield(L, index, name);
  if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TSTRING)
    luaL_error(L, "%s: text expected, not a %s", name, luaL_typename(L, -1));
  size_t length = 0;
  const char *text = lua_tolstring(L, -1, &length);
  if (text && strlen(text) != length)
    luaL_error(L, "%s: text without NUL bytes expected", name);
  lua_pop(L, 1);
  return text;
}

bool option_flag(lua_State *L, int index, const char *name) {
  lua_getfield(L, index, name);
  if (!lua_isnil(L, -1) && !lua_isboolean(L, -1))
    luaL_error(L, "%s: true or false expected, not a %s", name, luaL_typename(L, -1));
  bool flag = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return flag;
}

bool option_tls(lua_State *L, int index, const char *name, struct tls_options *out) {
  enum { SERVER_NAME = TLS_FILES };
  static const char *const known[] = {"ca", "cert", "key", "server_name", "verify", NULL};
  const char **const texts[] = {&out->files[TLS_CA], &out->files[TLS_CERT], &out->files[TLS_KEY],
                                &out->server_name};
  lua_getfield(L, index, name);
  if (!lua_istable(L, -1)) {
    bool flag = option_flag(L, index, name);
    lua_pop(L, 1);
    return flag;
  }
  int tls = lua_gettop(L);
  unsigned given = options_check(L, tls, known);
  for (int i = 0; i <= SERVER_NAME; i++)
    if (given & 1u << i)
      *texts[i] = option_text(L, tls, known[i]);
  lua_getfield(L, tls, "verify");
  out->insecure = !lua_isnil(L, -1) && !option_flag(L, tls, "verify");
  lua_settop(L, tls - 1); /* the texts are the table's, which its own table keeps */
  return true;
}

bool tls_granted(lua_State *L, struct tls_options *tls) {
  for (int i = 0; i < TLS_FILES; i++)
    if (tls->files[i] && !granted_path(L, GRANT_READ, tls->files[i], &tls->roots[i]))
      return false;
  return true;
}

double option_integer(lua_State *L, int index, const char *name, double least, double most,
                      double otherwise) {
  lua_getfield(L, index, name);
  double n = otherwise;
  if (!lua_isnil(L, -1)) {
    n = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : least - 1;
    if (!(n >= least && n <= most) || n != floor(n))
      luaL_error(L, "%s: a whole number from %f to %f expected", name, least, most);
  }
  lua_pop(L, 1);
  return n;
}

uint64_t argument_ms(lua_State *L, int index, uint64_t otherwise) {
  if (lua_isnoneornil(L, index))
    return otherwise;
  int64_t ns = duration_check(L, index);
  return ns < 1000000 ? 1 : (uint64_t)(ns + 999999) / 1000000;
}

uint64_t option_ms(lua_State *L, int index, const char *name, uint64_t otherwise) {
  lua_getfield(L, index, name);
  int64_t ns = 0;
  double seconds;
  struct fault f = {0};
  switch (lua_type(L, -1)) {
  case LUA_TNIL:
    lua_pop(L, 1);
    return otherwise;
  case LUA_TNUMBER:
    seconds = lua_tonumber(L, -1);
    if (!(seconds >= 0 && seconds <= 1e9))
      luaL_error(L, "%s: seconds from 0 to 1e9 expected", name);
    ns = (int64_t)(seconds * 1e9);
    break;
  case LUA_TSTRING:
    if (duration_parse(lua_tostring(L, -1), &ns, &f) != 0 || ns < 0)
      luaL_error(L, "%s: %s", name, f.text[0] ? f.text : "a duration is not negative");
    break;
  default:
    luaL_error(L, "%s: seconds or a text like \"2s\" expected", name);
  }
  lua_pop(L, 1);
  return ns < 1000000 ? 1 : (uint64_t)(ns + 999999) / 1000000;
}

uint16_t port_check(lua_State *L, int index, int least) {
  double port = luaL_checknumber(L, index);
  luaL_argcheck(L, port >= least && port <= 65535 && port == floor(port), index,
                "a port number expected");
  return (uint16_t)port;
}

void wait_check(lua_State *L) {
  if (!task_can_wait(L))
    luaL_error(L,
               "cannot wait here: not in a task (a plan is none), or inside a function in C that "
               "calls back, as string.format does");
}
