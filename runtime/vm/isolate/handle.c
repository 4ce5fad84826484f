#include "vm/isolate/inside.h"

#include <lauxlib.h>
#include <string.h>

static int close_call(lua_State *L) {
  struct handle **udata = lua_touserdata(L, 1);
  if (udata && *udata)
    handle_close(*udata);
  return 0;
}

static int collect_call(lua_State *L) {
  struct handle **udata = lua_touserdata(L, 1);
  struct handle *h = udata ? *udata : NULL;
  if (h) {
    *udata = NULL;
    h->udata = NULL;
    handle_close(h);
  }
  return 0;
}

/* handle:close(), for any type: raises on what is no handle of it. */
static int close_method(lua_State *L) {
  luaL_checkudata(L, 1, lua_tostring(L, lua_upvalueindex(1)));
  return close_call(L);
}

void handle_type(lua_State *L, const char *type, const struct luaL_Reg *methods) {
  luaL_newmetatable(L, type);
  lua_newtable(L);
  lua_pushstring(L, type);
  lua_pushcclosure(L, close_method, 1);
  lua_setfield(L, -2, "close");
  if (methods)
    luaL_register(L, NULL, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, collect_call);
  lua_setfield(L, -2, "__gc");
  lua_pushstring(L, type); /* what getmetatable answers a plugin */
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

int handle_udata(lua_State *L) {
  const char *type = lua_touserdata(L, 1);
  struct handle **udata = lua_newuserdata(L, sizeof *udata);
  *udata = NULL;
  luaL_getmetatable(L, type);
  lua_setmetatable(L, -2);
  return 1;
}

void handle_push(lua_State *L, struct handle *h, const char *type,
                 void (*close)(struct handle *h)) {
  struct isolate *iso = isolate_of(L);
  h->close = close;
  h->isolate = iso;
  h->udata = NULL;
  h->closing = false;
  h->opener = task_call(L);
  if (h->opener)
    task_opened(h->opener, 1);
  h->next = iso->handles;
  h->link = &iso->handles;
  if (h->next)
    h->next->link = &h->next;
  iso->handles = h;
  iso->handle_count++;
  if (iso->handle_count > iso->limits.max_handles) {
    handle_close(h);
    luaL_error(L, "%s: more than %d sockets, servers and watchers at once", type,
               (int)iso->limits.max_handles);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, iso->ref_udata);
  lua_pushlightuserdata(L, (void *)type);
  if (lua_pcall(L, 1, 1, 0) != 0) {
    handle_close(h);
    lua_error(L);
  }
  h->udata = lua_touserdata(L, -1);
  *h->udata = h;
}

struct handle *handle_check(lua_State *L, int index, const char *type) {
  struct handle **udata = luaL_checkudata(L, index, type);
  if (!*udata || (*udata)->closing)
    luaL_error(L, "%s: closed", type);
  return *udata;
}

static void handle_unlink(struct handle *h) {
  if (!h->isolate)
    return;
  if (h->opener)
    task_opened(h->opener, -1);
  *h->link = h->next;
  if (h->next)
    h->next->link = h->link;
  h->isolate->handle_count--;
  h->isolate = NULL;
}

void handle_gone(struct handle *h) {
  if (h->udata)
    *h->udata = NULL;
  h->udata = NULL;
  handle_unlink(h);
}

void handle_close(struct handle *h) {
  if (h->closing)
    return;
  h->closing = true;
  h->close(h);
}

/* What was opened last is in front. */
void handles_left(struct isolate *iso, const struct task *call, unsigned count) {
  for (struct handle *h = iso->handles; h && count > 0; h = h->next) {
    if (h->opener != call)
      continue;
    h->opener = NULL;
    count--;
  }
  memory_sweep(iso);
}

/* A handle that is still closing when its isolate ends goes on without it. */
void handles_end(struct isolate *iso) {
  struct handle *h;
  while ((h = iso->handles)) {
    if (h->udata)
      *h->udata = NULL;
    h->udata = NULL;
    handle_unlink(h);
    handle_close(h);
  }
}
