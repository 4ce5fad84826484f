/* perigee.endpoints(service): all that is published of it, as perigee.pick chooses from; and
 * perigee.services(): the names. Neither ever waits. */
#include "base/buf.h"
#include "client/perigee.h"
#include "vm/pick/bind_pick.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/inside.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 4096 };

/* Whether the endpoint has such a text, which is pushed. */
static bool push_text(lua_State *L, struct perigee_service *s, const struct perigee_endpoint *e,
                      const char *what) {
  char text[TEXT_MAX];
  int length = perigee_endpoint_text(s, e, what, text, sizeof text);
  if (length < 0)
    return false;
  lua_pushlstring(L, text, (size_t)length);
  return true;
}

static void set_tags(lua_State *L, struct perigee_service *s, const struct perigee_endpoint *e) {
  char what[20];
  lua_newtable(L);
  for (int i = 0; snprintf(what, sizeof what, "tag:%d", i) > 0 && push_text(L, s, e, what); i++)
    lua_rawseti(L, -2, i + 1);
  lua_setfield(L, -2, "tags");
}

static void set_meta(lua_State *L, struct perigee_service *s, const struct perigee_endpoint *e) {
  char what[TEXT_MAX] = "meta:", *key = what + 5;
  lua_newtable(L);
  for (int i = 0; perigee_endpoint_meta_key(s, e, i, key, sizeof what - 5) >= 0; i++)
    if (push_text(L, s, e, what))
      lua_setfield(L, -2, key);
  lua_setfield(L, -2, "meta");
}

/* False, and nothing pushed: it has just left the catalog. */
static bool push_whole(lua_State *L, struct perigee_service *s, const struct perigee_endpoint *e) {
  char id[256];
  if (perigee_endpoint_text(s, e, "id", id, sizeof id) < 0)
    return false;
  push_endpoint(L, e, id);
  if (push_text(L, s, e, "zone"))
    lua_setfield(L, -2, "zone");
  set_tags(L, s, e);
  set_meta(L, s, e);
  return true;
}

static int endpoints_call(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  struct perigee_service *s = NULL;
  struct perigee_endpoint *list = NULL;
  int r = picked_service(L, name, &s), room = 0;
  while (r == 0 && (r = perigee_list(s, list, room)) > room) {
    room = r;
    list = lua_newuserdata(L, (size_t)room * sizeof *list);
    r = 0;
  }
  if (r < 0)
    return push_error(L, r, "%.255s: %s", name, pick_reason(r));
  lua_createtable(L, r, 0);
  for (int i = 0, n = 0; i < r; i++)
    if (push_whole(L, s, &list[i]))
      lua_rawseti(L, -2, ++n);
  return 1;
}

static int add_name(void *names, const char *name) {
  buf_add(names, name, strlen(name) + 1);
  return 0;
}

static int services_call(lua_State *L) {
  struct perigee *catalog;
  struct buf *names = push_buf(L);
  int r = vm_catalog(isolate_vm(isolate_of(L)), &catalog), n = 0;
  if (r == 0)
    r = perigee_services(catalog, add_name, names);
  if (r != 0 || names->failed)
    return push_error(L, r ? r : -ENOMEM, "the catalog cannot be read: %s",
                      strerror(r ? -r : ENOMEM));
  lua_newtable(L);
  for (size_t at = 0; at < names->length; at += strlen(names->data + at) + 1) {
    lua_pushstring(L, names->data + at);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

int open_listing(lua_State *L) {
  lua_pushcfunction(L, endpoints_call);
  return 1;
}

int open_names(lua_State *L) {
  lua_pushcfunction(L, services_call);
  return 1;
}
