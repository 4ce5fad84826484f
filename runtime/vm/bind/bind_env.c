/* perigee.env(name): a variable of the agent's environment, with its grant; nil when it is unset.
 */
#include "vm/bind/bindings.h"
#include "vm/isolate/grant.h"
#include "vm/isolate/script.h"

#include <lauxlib.h>
#include <stdlib.h>

static int env_call(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  if (!granted(L, GRANT_ENV, name))
    return push_ungranted(L);
  lua_settop(L, 1);
  if (scripted(L))
    script_tell(L, "env", 1, 1);
  else
    lua_pushstring(L, getenv(name));
  return 1;
}

int open_env(lua_State *L) {
  lua_pushcfunction(L, env_call);
  return 1;
}
