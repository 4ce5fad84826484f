/* perigee.pick(service, { key, port }): the next endpoint, { id, address, port, status, weight,
 * version }, by the same code and from the same file as in any other process. Never waits. */
#include "client/perigee.h"
#include "vm/bind/bind_io.h"
#include "vm/pick/bind_pick.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/inside.h"
#include "vm/isolate/script.h"
#include "vm/pick/picker.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>

/* Handles are kept by the service's name, weakly: what is picked rarely is opened again, which is
 * a lookup, and a plugin that picks ever new names holds on to none. */
static const char HANDLE[] = "picked service", CACHE[] = "picked services";

/* What the userdata is. */
struct picked {
  struct perigee_service *service; /* first: bind_pick.h says so */
  uint64_t bound;                  /* the pickers' version; 0: the balancer picks */
  struct owned owned;
};

static void picked_give_back(struct owned *o) {
  struct picked *p = (struct picked *)((char *)o - offsetof(struct picked, owned));
  perigee_service_close(p->service);
  p->service = NULL;
}

static int handle_collect(lua_State *L) {
  struct picked *p = lua_touserdata(L, 1);
  owned_end(&p->owned);
  return 0;
}

static int give(struct vm *vm, const char *name, struct picked *p, struct perigee_service **out) {
  uint64_t version = vm->pickers ? pickers_version(vm->pickers) : 0;
  if (p->bound != version)
    pickers_bind(vm->pickers, name, p->service);
  p->bound = version;
  *out = p->service;
  return 0;
}

int picked_service(lua_State *L, const char *name, struct perigee_service **out) {
  if (scripted(L)) {
    lua_pushstring(L, name);
    script_tell(L, "service", 1, 0);
  }
  struct vm *vm = isolate_vm(isolate_of(L));
  lua_getfield(L, LUA_REGISTRYINDEX, CACHE);
  lua_getfield(L, -1, name);
  struct picked *kept = lua_touserdata(L, -1);
  if (kept)
    return give(vm, name, kept, out);
  struct perigee *catalog;
  int r = vm_catalog(vm, &catalog);
  if (r != 0)
    return r;
  kept = lua_newuserdata(L, sizeof *kept);
  *kept = (struct picked){0};
  luaL_getmetatable(L, HANDLE);
  lua_setmetatable(L, -2);
  owned_begin(L, &kept->owned, picked_give_back);
  r = perigee_service_open(catalog, name, &kept->service);
  if (r != 0)
    return r;
  lua_pushvalue(L, -1);
  lua_setfield(L, -4, name);
  return give(vm, name, kept, out);
}

const char *pick_reason(int error) {
  switch (error) {
  case -ENOENT:
    return "there is no such service";
  case -EHOSTUNREACH:
    return "there is nothing to pick";
  case -ENXIO:
    return "the endpoint has no port of that name";
  case -EINVAL:
    return "a service's name is 1 to 255 bytes";
  default:
    return strerror(-error);
  }
}

static void set_number(lua_State *L, const char *field, double n) {
  lua_pushnumber(L, n);
  lua_setfield(L, -2, field);
}

int push_endpoint(lua_State *L, const struct perigee_endpoint *e, const char *id) {
  static const char *const statuses[] = {"passing", "warning", "critical"};
  lua_createtable(L, 0, 6);
  lua_pushstring(L, id);
  lua_setfield(L, -2, "id");
  lua_pushlstring(L, e->address, e->address_length);
  lua_setfield(L, -2, "address");
  if (e->port)
    set_number(L, "port", e->port);
  lua_pushstring(L, statuses[e->status <= PERIGEE_CRITICAL ? e->status : PERIGEE_CRITICAL]);
  lua_setfield(L, -2, "status");
  set_number(L, "weight", (double)e->weight);
  set_number(L, "version", (double)e->version);
  return 1;
}

const char *push_key(lua_State *L, int index, size_t *length) {
  lua_getfield(L, index, "key");
  if (!lua_isnil(L, -1) && !lua_isstring(L, -1))
    luaL_error(L, "key: text expected, not a %s", luaL_typename(L, -1));
  *length = 0;
  return lua_tolstring(L, -1, length);
}

static int pick_call(lua_State *L) {
  static const char *const known[] = {"key", "port", NULL};
  const char *name = luaL_checkstring(L, 1);
  options_check(L, 2, known);
  struct perigee_pick_options options = {
      .size = sizeof options, .flags = PERIGEE_NO_REPORT, .port = option_text(L, 2, "port")};
  options.key = push_key(L, 2, &options.key_length);
  struct perigee_service *s = NULL;
  struct perigee_endpoint e;
  char id[256]; /* of an instance: at most 255 bytes */
  int r = picked_service(L, name, &s);
  if (r == 0)
    r = perigee_pick_id(s, &options, &e, id, sizeof id);
  if (r == 0)
    return push_endpoint(L, &e, id);
  return push_error(L, r, "%.255s: %s", name, pick_reason(r));
}

int open_pick(lua_State *L) {
  luaL_newmetatable(L, HANDLE);
  lua_pushcfunction(L, handle_collect);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, CACHE);
  lua_pushcfunction(L, pick_call);
  return 1;
}
